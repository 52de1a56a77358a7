/** What a process is told by its environment. Every name, its meaning and its default stand here; errors name the variable. */
import * as z from 'zod';
import { createAddressGuard } from '../src/host/addresses.ts';
import { rooms } from '../src/messages/grammar/wire.ts';
import { poolers } from '../src/postgres/session.ts';
import type { KeyAgreement } from '../src/workers/link-manager/worker.ts';

const port = z.coerce.number().int().min(0).max(65_535);
const secret = z.string().min(8);

/** Written here too, so that reading the settings does not load the room. */
const keyAgreements = ['hybrid-required', 'hybrid-preferred', 'classical'] as const satisfies readonly KeyAgreement[];

/** The parts of a setting that holds several. */
export const listOf = (text: string, separator: string): string[] => text.split(separator).map((part) => part.trim()).filter((part) => part !== '');

const areRanges = (text: string): boolean => {
  try {
    createAddressGuard(listOf(text, ','));
    return true;
  } catch {
    return false;
  }
};

export const settingsShape = z.object({
  /** The cluster's name in logs. */
  CORDAGE_CLUSTER: z.string().default('cluster'),
  /** A stable name of this replica: a restarted process of the same name takes its partitions back at once. */
  CORDAGE_INSTANCE: z.string().regex(/^[-._A-Za-z0-9]{1,100}$/).default('0'),
  CORDAGE_LOG_LEVEL: z.enum(['debug', 'info', 'warn', 'error']).default('info'),
  /**
   * Milliseconds after SIGTERM by which the process has ended: it takes no more, finishes what is in work, commits and leaves. What is not done by
   * then is done by another replica. A second signal ends it at once. Kubernetes: less than `terminationGracePeriodSeconds`.
   */
  CORDAGE_STOP_TIMEOUT_MS: z.coerce.number().int().min(1_000).max(600_000).default(25_000),
  /**
   * Rest and gateway as processes of their own: milliseconds after SIGTERM for which they still answer while `/status` says 503, so that
   * whoever sends them requests learns of it first; a connection that comes later is refused, and one that waits to be taken in is cut. Part of
   * the time above. Kubernetes: some seconds, until every node has taken the pod out of its services.
   */
  CORDAGE_DRAIN_MS: z.coerce.number().int().min(0).max(300_000).default(1_000),
  /** When given, the process ends by itself once this process is gone. */
  CORDAGE_PARENT_PID: z.coerce.number().int().positive().optional(),

  /** Combined form and broker: the folder of everything that must survive. */
  CORDAGE_STATE_DIR: z.string().min(1).optional(),

  /** Separate processes: the HTTP bus and this worker's own credential for it. */
  CORDAGE_BUS_URL: z.url().optional(),
  CORDAGE_BUS_USERNAME: z.string().min(1).optional(),
  CORDAGE_BUS_PASSWORD: secret.optional(),
  /**
   * Milliseconds after which the keys of a replica that was killed are served by another; a live one says several times within them that it
   * lives. A real Kafka takes no less than its `group.min.session.timeout.ms`, 6 s by default.
   */
  CORDAGE_BUS_SESSION_TIMEOUT_MS: z.coerce.number().int().min(500).max(300_000).default(2_500),
  /** Broker: where it listens, and `user:password:room` separated by commas (`admin` as a room may do everything). */
  CORDAGE_BUS_HOST: z.string().default('127.0.0.1'),
  CORDAGE_BUS_PORT: port.default(7070),
  CORDAGE_BUS_CREDENTIALS: z.string().optional(),
  /** Broker and combined form: the `/push` URL of a gateway at the edge, which is handed the packets to send, and what signs them. */
  CORDAGE_BUS_PUSH_URL: z.url().optional(),
  CORDAGE_BUS_PUSH_SECRET: z.string().min(16).optional(),

  /**
   * Separate processes (rest and gateway touch none): PostgreSQL, with the login of this very room, `postgres://user:password@host:5432/name`;
   * for `migrate`, and for db with CORDAGE_MIGRATE=apply, the login of the database's owner, who may make roles (CREATEROLE).
   * `?sslmode=` is disable, require (encrypted), verify-ca (and of an authority that we trust) or verify-full (and of that host name); without
   * it, verify-full where an authority is given below, else disable.
   */
  DATABASE_URL: z.string().regex(/^postgres(ql)?:\/\//).optional(),
  /** PEM files: the authority of PostgreSQL's certificate; our own certificate and its key, where the server asks for one. */
  CORDAGE_DATABASE_CA_FILE: z.string().min(1).optional(),
  CORDAGE_DATABASE_CERTIFICATE_FILE: z.string().min(1).optional(),
  CORDAGE_DATABASE_KEY_FILE: z.string().min(1).optional(),
  /** `transaction` where DATABASE_URL names a pooler in transaction mode (PgBouncer and the like): nothing outlives a transaction then. */
  CORDAGE_DATABASE_POOLER: z.enum(poolers).default('none'),
  /** Connections of this process at most: 6 by default, 12 combined. A cluster needs the sum over its processes (30 for one of each room) and 4 for `migrate`. */
  CORDAGE_DATABASE_CONNECTIONS: z.coerce.number().int().min(4).max(200).optional(),
  /** Db: `apply` brings the schema up to date at each start, `wait` leaves that to a process of kind `migrate` and waits for it. */
  CORDAGE_MIGRATE: z.enum(['apply', 'wait']).default('apply'),
  /**
   * Migrate, and db where it applies migrations: logins to make or to give this password, `user:password:room` separated by commas, the room one of those with
   * a database. Each may touch what its room reads and writes, and nothing else.
   */
  CORDAGE_DATABASE_LOGINS: z.string().optional(),

  /** Bridge and topics: Kafka's brokers, `host:port` separated by commas. */
  KAFKA_BROKERS: z.string().min(1).optional(),
  /** Before the name of every topic and group, so that several clusters share one Kafka: each has its own. */
  CORDAGE_KAFKA_TOPIC_PREFIX: z.string().regex(/^[-._A-Za-z0-9]{0,100}$/).default(''),
  /** SASL/SCRAM-SHA-512; without a user name the bridge logs in nowhere. */
  CORDAGE_KAFKA_USERNAME: z.string().min(1).optional(),
  CORDAGE_KAFKA_PASSWORD: secret.optional(),
  CORDAGE_KAFKA_TLS: z.enum(['off', 'on']).default('off'),
  /** PEM files: what brokers' certificates chain to (else what the platform trusts), and our own certificate where brokers ask for one. */
  CORDAGE_KAFKA_CA_FILE: z.string().min(1).optional(),
  CORDAGE_KAFKA_CERTIFICATE_FILE: z.string().min(1).optional(),
  CORDAGE_KAFKA_KEY_FILE: z.string().min(1).optional(),
  /** Bridge: after this time (milliseconds) Kafka gives a dead bridge's partitions to others. Brokers take no less than 6 s by default. */
  CORDAGE_KAFKA_SESSION_TIMEOUT_MS: z.coerce.number().int().min(1_000).max(300_000).default(6_000),
  /** Topics: replicas of each partition; by default 3, or as many as there are brokers. */
  CORDAGE_KAFKA_REPLICAS: z.coerce.number().int().min(1).max(100).optional(),
  /** Topics: makes access lists too, for users of this beginning: with `cordage-` the flow room's bridge logs in as `cordage-flow`. */
  CORDAGE_KAFKA_ACLS: z.string().min(1).optional(),

  CORDAGE_REST_HOST: z.string().default('127.0.0.1'),
  CORDAGE_REST_PORT: port.default(8888),
  /**
   * Whether REST speaks TLS: `auto` does where others could listen, that is, on any address but the loopback's. With imported `rest-tls`
   * certificates, else with one that the cluster signs itself (`GET /certificate/cluster/rest-tls/rest-tls-cert`). `off` behind a proxy that ends TLS.
   */
  CORDAGE_REST_TLS: z.enum(['auto', 'on', 'off']).default('auto'),
  /** Names and addresses, separated by commas, under which clients reach REST: those of the certificate that the cluster signs itself. */
  CORDAGE_REST_NAMES: z.string().default('localhost,127.0.0.1'),
  CORDAGE_GATEWAY_HOST: z.string().default('127.0.0.1'),
  CORDAGE_GATEWAY_PORT: port.default(8080),
  /** Names and addresses, separated by commas, under which other clusters reach the gateway: those of its certificate. */
  CORDAGE_GATEWAY_NAMES: z.string().default('localhost,127.0.0.1'),
  /**
   * Ranges of private or special addresses, separated by commas (`10.0.0.0/8,fd00::/8`), that endpoints of members may be in.
   * Elsewhere in such ranges the gateway never connects, whatever a member list says.
   */
  CORDAGE_GATEWAY_PRIVATE_RANGES: z.string().default('').refine(areRanges, 'must be address ranges such as 10.0.0.0/8,fd00::/8'),
  /** Corda's `sslConfig.tlsType`, one for the whole cluster: `mutual` also asks the gateways that send us packets for a certificate. */
  CORDAGE_GATEWAY_TLS: z.enum(['one-way', 'mutual']).default('one-way'),
  /**
   * With mutual TLS: subjects of client certificates, separated by semicolons, that are let in beside those of members and those that the manager
   * of a network here allows. In a static network, where it is empty, whoever chains to the network's roots is let in.
   */
  CORDAGE_GATEWAY_CLIENT_SUBJECTS: z.string().default(''),
  /** Whether TLS certificates of other gateways were revoked: refuse what is (SOFT_FAIL), also what nobody tells (HARD_FAIL), or do not ask. */
  CORDAGE_GATEWAY_REVOCATION: z.enum(['SOFT_FAIL', 'HARD_FAIL', 'OFF']).default('SOFT_FAIL'),
  /** `/status`, `/isHealthy`, `/metrics` (Corda's worker port). 0 takes any free port. */
  CORDAGE_HEALTH_HOST: z.string().default('127.0.0.1'),
  CORDAGE_HEALTH_PORT: port.default(7000),

  /** Crypto: what the root wrapping key is derived from. The combined form makes them and keeps them in its folder. */
  CORDAGE_CRYPTO_PASSPHRASE: secret.optional(),
  CORDAGE_CRYPTO_SALT: secret.optional(),
  /**
   * Another root key that only opens, with the salt of today where none is given. To change the passphrase: name the new one here and restart the
   * crypto workers one by one; then the new one above and the old one here, and again; then `POST /wrappingkey/rotation/master`, and when
   * that is done, take the old one away. With one crypto worker the first round can be left out.
   */
  CORDAGE_CRYPTO_PASSPHRASE_BEFORE: secret.optional(),
  CORDAGE_CRYPTO_SALT_BEFORE: secret.optional(),

  /**
   * Link manager: what the key is derived from that seals sessions' secrets in the database and makes cookies; the same for all its
   * replicas. After a change of the passphrase the one before is named for eight days, until no session of its time is left.
   */
  CORDAGE_LINK_PASSPHRASE: secret.optional(),
  CORDAGE_LINK_SALT: secret.optional(),
  CORDAGE_LINK_PASSPHRASE_BEFORE: secret.optional(),
  /** Whether sessions with other clusters must (`hybrid-required`), may (`hybrid-preferred`) or shall not (`classical`) be post-quantum. */
  CORDAGE_LINK_KEY_AGREEMENT: z.enum(keyAgreements).default('hybrid-preferred'),

  /**
   * Crypto and db: what secrets inside the configuration are encrypted with (`cordage config encrypt`), and connections to databases of virtual
   * nodes. The combined form makes it; crypto opens the secrets of the configuration, db those of the connections.
   */
  CORDAGE_CONFIG_PASSPHRASE: secret.optional(),

  /** Flow: processes that run applications' code; by default one less than there are processors. Each takes some 70 MiB and more as it works. */
  CORDAGE_FLOW_SANDBOXES: z.coerce.number().int().min(1).max(64).optional(),

  /** Db: the password of the bootstrap administrator `admin`. */
  CORDAGE_ADMIN_PASSWORD: secret.optional(),
});
export type Settings = z.infer<typeof settingsShape>;

export const processKinds = [...rooms, 'combined', 'broker', 'bridge', 'migrate', 'topics'] as const;
export type ProcessKind = (typeof processKinds)[number];

/** Which variables a kind of process cannot do without. */
export const requiredBy = (kind: ProcessKind): readonly (keyof Settings)[] => {
  const bus = ['CORDAGE_BUS_URL', 'CORDAGE_BUS_USERNAME', 'CORDAGE_BUS_PASSWORD'] as const;
  switch (kind) {
    case 'combined':
      return ['CORDAGE_STATE_DIR'];
    case 'broker':
      return ['CORDAGE_STATE_DIR', 'CORDAGE_BUS_CREDENTIALS'];
    case 'bridge':
      return ['KAFKA_BROKERS', 'CORDAGE_BUS_CREDENTIALS'];
    case 'topics':
      return ['KAFKA_BROKERS'];
    case 'migrate':
      return ['DATABASE_URL'];
    case 'rest':
    case 'gateway':
      return bus;
    case 'crypto':
      return [...bus, 'DATABASE_URL', 'CORDAGE_CRYPTO_PASSPHRASE', 'CORDAGE_CRYPTO_SALT'];
    case 'db':
      return [...bus, 'DATABASE_URL', 'CORDAGE_ADMIN_PASSWORD'];
    case 'link-manager':
      return [...bus, 'DATABASE_URL', 'CORDAGE_LINK_PASSPHRASE', 'CORDAGE_LINK_SALT'];
    case 'flow':
    case 'member':
      return [...bus, 'DATABASE_URL'];
  }
};

/** Kinds with a door that others find by way of a balancer. */
const drains = (kind: ProcessKind): boolean => kind === 'rest' || kind === 'gateway';

export type SettingsResult = { readonly type: 'settings'; readonly settings: Settings } | { readonly type: 'invalid'; readonly reasons: readonly string[] };

export const readSettings = (kind: ProcessKind, environment: Readonly<Record<string, string | undefined>>): SettingsResult => {
  const parsed = settingsShape.safeParse(environment);
  if (!parsed.success) return { type: 'invalid', reasons: parsed.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`) };
  const missing = requiredBy(kind).filter((name) => parsed.data[name] === undefined);
  if (missing.length > 0) return { type: 'invalid', reasons: missing.map((name) => `${name}: must be set for ${kind}`) };
  const { CORDAGE_DRAIN_MS: drainMs, CORDAGE_STOP_TIMEOUT_MS: stopMs } = parsed.data;
  if (drains(kind) && drainMs >= stopMs) return { type: 'invalid', reasons: [`CORDAGE_DRAIN_MS: must be less than CORDAGE_STOP_TIMEOUT_MS (${stopMs}), of which it is a part`] };
  return { type: 'settings', settings: parsed.data };
};
