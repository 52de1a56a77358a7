/** What every pod of Cordage is: its containers within the restricted profile of Kubernetes' pod security standards. */
import type { IContainer, IEnvVar, IPodSpec, IProbe } from 'kubernetes-models/v1';
import type { Room } from '../../src/messages/grammar/wire.ts';
import { requiredBy, settingsShape, type ProcessKind, type Settings } from '../settings.ts';
import { configName, imageOf, kafkaAddress, kafkaTopicPrefix, labelsOf, nameOf, ports, resourcesOf, secretOf, selectorOf, version, type Resources } from './names.ts';

/** Seconds between SIGTERM and SIGKILL: longer than a process gives itself to finish what it took. */
const graceSeconds = settingsShape.parse({}).CORDAGE_STOP_TIMEOUT_MS / 1_000 + 5;
const startSecondsMax = 120;
/** A pod is told to end before every node has taken it out of its services. */
const drainMs = 5_000;

export const user = 65_532;

/** What a variable is where no Secret and not the ConfigMap says it. */
const valueOf = (name: keyof Settings, kind: ProcessKind): IEnvVar => {
  const from = secretOf(name, kind);
  if (from !== undefined) return { name, valueFrom: { secretKeyRef: { name: from.secret, key: from.key } } };
  return { name, value: name === 'CORDAGE_BUS_USERNAME' ? kind : '' };
};

/** In the ConfigMap that all pods read. */
export const configured: Partial<Record<keyof Settings, string>> = {
  CORDAGE_CLUSTER: 'cordage',
  CORDAGE_LOG_LEVEL: 'info',
  // The bridge beside the worker.
  CORDAGE_BUS_URL: `http://127.0.0.1:${ports.bus}`,
  KAFKA_BROKERS: kafkaAddress,
  CORDAGE_KAFKA_TOPIC_PREFIX: kafkaTopicPrefix,
  CORDAGE_REST_NAMES: 'localhost,cordage-rest',
  CORDAGE_GATEWAY_NAMES: 'localhost',
  // A Job does it.
  CORDAGE_MIGRATE: 'wait',
};

const extrasOf = (kind: ProcessKind): IEnvVar[] => {
  switch (kind) {
    case 'flow':
      return [{ name: 'CORDAGE_FLOW_SANDBOXES', value: '2' }];
    case 'rest':
    case 'gateway':
      return [{ name: 'CORDAGE_DRAIN_MS', value: String(drainMs) }];
    case 'db':
    case 'crypto':
      return [{ name: 'CORDAGE_CONFIG_PASSPHRASE', valueFrom: { secretKeyRef: { name: 'cordage-config', key: 'passphrase', optional: true } } }];
    case 'migrate':
      return [{ name: 'CORDAGE_DATABASE_LOGINS', valueFrom: { secretKeyRef: { name: 'cordage-database', key: 'logins', optional: true } } }];
    default:
      return [];
  }
};

const environmentOf = (kind: ProcessKind): IEnvVar[] => [
  // A stable name of the replica, as long as it lives.
  { name: 'CORDAGE_INSTANCE', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
  ...requiredBy(kind)
    .filter((name) => !(name in configured))
    .map((name) => valueOf(name, kind)),
  ...extrasOf(kind),
];

const get = (path: string, port: string): Pick<IProbe, 'httpGet'> => ({ httpGet: { path, port } });

const startPeriodSeconds = 2;
/** `/isHealthy` says whether to restart, `/status` whether to send work. */
export const probesOn = (port: string): Pick<IContainer, 'startupProbe' | 'livenessProbe' | 'readinessProbe'> => ({
  startupProbe: { ...get('/isHealthy', port), periodSeconds: startPeriodSeconds, failureThreshold: startSecondsMax / startPeriodSeconds },
  livenessProbe: { ...get('/isHealthy', port), periodSeconds: 10, timeoutSeconds: 5 },
  readinessProbe: { ...get('/status', port), periodSeconds: 5, timeoutSeconds: 5, failureThreshold: 2 },
});

const restricted: NonNullable<IContainer['securityContext']> = {
  allowPrivilegeEscalation: false,
  readOnlyRootFilesystem: true,
  capabilities: { drop: ['ALL'] },
};

const resourcesFrom = ({ cpu, memory, memoryMax }: Resources): IContainer['resources'] => ({ requests: { cpu, memory }, limits: { memory: memoryMax } });

const portsOf = (kind: Room): IContainer['ports'] => [
  ...(kind === 'rest' ? [{ name: 'rest', containerPort: ports.rest }] : []),
  ...(kind === 'gateway' ? [{ name: 'gateway', containerPort: ports.gateway }] : []),
  { name: 'health', containerPort: ports.health },
];

/** What all containers of Cordage have in common. */
export const containerOf = (kind: ProcessKind): IContainer => ({
  name: kind,
  image: `${imageOf(kind)}:${version}`,
  args: [kind],
  envFrom: [{ configMapRef: { name: configName } }],
  env: environmentOf(kind),
  securityContext: restricted,
  volumeMounts: [{ name: 'tmp', mountPath: '/tmp' }],
});

const roomContainer = (room: Room): IContainer => ({
  ...containerOf(room),
  ports: portsOf(room)!,
  ...probesOn('health'),
  resources: resourcesFrom(resourcesOf[room])!,
});

/** What all pods of Cordage have in common. */
export const podOf = (kind: ProcessKind, containers: IContainer[]): IPodSpec => ({
  serviceAccountName: nameOf(kind),
  // Nothing here speaks to the Kubernetes API.
  automountServiceAccountToken: false,
  enableServiceLinks: false,
  securityContext: { runAsNonRoot: true, runAsUser: user, runAsGroup: user, fsGroup: user, seccompProfile: { type: 'RuntimeDefault' } },
  containers,
  volumes: [{ name: 'tmp', emptyDir: { sizeLimit: '64Mi' } }],
});

const spreadOver = (topologyKey: string, room: Room) => ({
  maxSkew: 1,
  topologyKey,
  whenUnsatisfiable: 'ScheduleAnyway' as const,
  labelSelector: { matchLabels: selectorOf(room) },
});

export const roomPod = (room: Room, sidecars: IContainer[]): { metadata: { labels: Record<string, string> }; spec: IPodSpec } => ({
  metadata: { labels: labelsOf(room) },
  spec: {
    ...podOf(room, [roomContainer(room)]),
    initContainers: sidecars,
    terminationGracePeriodSeconds: graceSeconds,
    topologySpreadConstraints: [spreadOver('topology.kubernetes.io/zone', room), spreadOver('kubernetes.io/hostname', room)],
  },
});
