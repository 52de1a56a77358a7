/** Names that several manifests share, and the few numbers that belong to Kubernetes alone. */
import type { Room } from '../../src/messages/grammar/wire.ts';
import type { ProcessKind, Settings } from '../settings.ts';
import { settingsShape } from '../settings.ts';

export const version = '0.1.0';
export const partOf = 'cordage';

export const nameOf = (kind: ProcessKind): string => `cordage-${kind}`;
export const imageOf = (kind: ProcessKind): string => `cordage/${kind}`;
export const configName = 'cordage-settings';

/** An example, to be set by overlays. */
export const kafkaAddress = 'kafka-bootstrap.kafka:9092';
export const kafkaTopicPrefix = 'cordage.';

/** What selects the pods of one kind. */
export const selectorOf = (kind: ProcessKind) => ({ 'app.kubernetes.io/part-of': partOf, 'app.kubernetes.io/component': kind });
export const labelsOf = (kind: ProcessKind) => ({ 'app.kubernetes.io/name': nameOf(kind), ...selectorOf(kind) });

const defaults: Settings = settingsShape.parse({});
/** Every process listens where settings.ts says by default. */
export const ports = {
  rest: defaults.CORDAGE_REST_PORT,
  gateway: defaults.CORDAGE_GATEWAY_PORT,
  health: defaults.CORDAGE_HEALTH_PORT,
  bus: defaults.CORDAGE_BUS_PORT,
  postgres: 5432,
  dns: 53,
} as const;

/** Where a variable's value comes from: a Secret that whoever runs the cluster makes. */
export type SecretKey = { readonly secret: string; readonly key: string };

/** Secrets by name and key; `docs/operations.md` says how to make them. */
export const secretOf = (name: keyof Settings, kind: ProcessKind): SecretKey | undefined => {
  switch (name) {
    case 'DATABASE_URL':
      return { secret: 'cordage-database', key: kind };
    case 'CORDAGE_BUS_PASSWORD':
      return { secret: 'cordage-bus', key: kind };
    case 'CORDAGE_CRYPTO_PASSPHRASE':
      return { secret: 'cordage-crypto', key: 'passphrase' };
    case 'CORDAGE_CRYPTO_SALT':
      return { secret: 'cordage-crypto', key: 'salt' };
    case 'CORDAGE_LINK_PASSPHRASE':
      return { secret: 'cordage-link', key: 'passphrase' };
    case 'CORDAGE_LINK_SALT':
      return { secret: 'cordage-link', key: 'salt' };
    case 'CORDAGE_ADMIN_PASSWORD':
      return { secret: 'cordage-admin', key: 'password' };
    default:
      return undefined;
  }
};

export type Resources = { readonly cpu: string; readonly memory: string; readonly memoryMax: string };

/** From what one process was measured to take, idle and under load (`docs/operations.md`, sizing), with half as much again as a limit. */
export const resourcesOf: Readonly<Record<Room, Resources>> = {
  rest: { cpu: '100m', memory: '160Mi', memoryMax: '384Mi' },
  flow: { cpu: '500m', memory: '512Mi', memoryMax: '1Gi' },
  db: { cpu: '250m', memory: '192Mi', memoryMax: '512Mi' },
  crypto: { cpu: '100m', memory: '160Mi', memoryMax: '384Mi' },
  member: { cpu: '50m', memory: '160Mi', memoryMax: '384Mi' },
  'link-manager': { cpu: '250m', memory: '192Mi', memoryMax: '512Mi' },
  gateway: { cpu: '100m', memory: '160Mi', memoryMax: '384Mi' },
};
