/** The topics of a cluster on Kafka: what they shall be, what stands there, and the difference. Derived from the wires; applied twice, nothing changes. */
import { Admin, ConfigResourceTypes, IncrementalAlterConfigOperationTypes } from '@platformatic/kafka';
import { BusError } from '../bus.ts';
import type { TopicConfig } from '../topics.ts';
import { pause, systemClock } from '../../host/clock.ts';
import type { Retention } from '../../messages/grammar/wire.ts';
import { parseBrokers, serverNameOf, type KafkaSecurity } from './cluster.ts';
import { busErrorOf, kafkaCodeOf } from './failure.ts';

export type KafkaAccount = KafkaSecurity & {
  /** `host:port`, separated by commas. */
  readonly brokers: string;
  readonly prefix: string;
};

/** Replicas of a partition, where there are as many brokers: one may be lost while another restarts. */
const replicasDefault = 3;
const dayMs = 24 * 3_600_000;

/** Bytes of a batch: a value of the wires' bound takes three bytes a character at most, with its key and headers. */
export const messageBytesMax = 4 * 1024 * 1024;

/** What a topic's records need, by how long they are kept; each with its reason. */
const settingsOf = (retention: Retention, replicas: number): Readonly<Record<string, string>> => ({
  'cleanup.policy': retention === 'compacted' ? 'compact' : 'delete',
  // With one replica of three away, what is acknowledged still stands twice.
  'min.insync.replicas': String(Math.max(1, replicas - 1)),
  'max.message.bytes': String(messageBytesMax),
  ...(retention === 'compacted'
    ? {
        // A follower that was away this long still sees that a key was removed.
        'delete.retention.ms': String(dayMs),
        // Only closed segments are compacted; who opens a view reads the open one whole.
        'segment.ms': String(dayMs / 24),
      }
    : {
        // A room that stood still for a week loses nothing.
        'retention.ms': String(7 * dayMs),
      }),
});

export type TopicChange = { readonly name: string; readonly from: string; readonly to: string };

export type TopicPlan =
  | { readonly action: 'create'; readonly topic: string; readonly partitions: number; readonly replicas: number; readonly settings: Readonly<Record<string, string>> }
  | { readonly action: 'change'; readonly topic: string; readonly changes: readonly TopicChange[] }
  | { readonly action: 'keep'; readonly topic: string }
  /** It stands there otherwise, and cannot be changed without harm. */
  | { readonly action: 'refuse'; readonly topic: string; readonly reason: string };

/** A topic as it stands. */
export type StandingTopic = { readonly partitions: number; readonly replicas: number; readonly settings: Readonly<Record<string, string>> };

/** What is to be done for one topic; `name` is Kafka's. */
export const planTopic = (name: string, wanted: Pick<TopicConfig, 'partitions' | 'retention'> & { replicas: number }, standing: StandingTopic | undefined): TopicPlan => {
  const { partitions, retention, replicas } = wanted;
  if (standing === undefined) return { action: 'create', topic: name, partitions, replicas, settings: settingsOf(retention, replicas) };
  if (standing.partitions !== partitions) {
    const reason = `it has ${standing.partitions} partitions, not ${partitions}: keys would change their partition and lose their order. Keep ${standing.partitions}, or let all consumers finish and make the topic anew`;
    return { action: 'refuse', topic: name, reason };
  }
  const changes = Object.entries(settingsOf(retention, standing.replicas)).flatMap(([setting, to]) => {
    const from = standing.settings[setting] ?? '';
    return from === to ? [] : [{ name: setting, from, to }];
  });
  return changes.length === 0 ? { action: 'keep', topic: name } : { action: 'change', topic: name, changes };
};

/** Asks Kafka as an administrator. Failures are BusErrors. */
export const withAdmin = async <Result>({ brokers, tls, sasl }: KafkaAccount, what: string, work: (admin: Admin) => Promise<Result>): Promise<Result> => {
  const bootstrapBrokers = parseBrokers(brokers);
  const admin = new Admin({
    clientId: 'cordage-topics',
    bootstrapBrokers,
    ...(tls === undefined ? {} : { tls: { ...tls }, ...serverNameOf(bootstrapBrokers[0]!.host) }),
    ...(sasl === undefined ? {} : { sasl: { mechanism: 'SCRAM-SHA-512' as const, ...sasl } }),
  });
  try {
    return await work(admin);
  } catch (error) {
    throw busErrorOf(error, what);
  } finally {
    await admin.close();
  }
};

export type TopicsOptions = {
  readonly account: KafkaAccount;
  readonly topics: readonly TopicConfig[];
  /** Default 3, or as many as there are brokers. */
  readonly replicas?: number | undefined;
};

export const planTopics = ({ account, topics, replicas }: TopicsOptions): Promise<readonly TopicPlan[]> =>
  withAdmin(account, 'tell its topics', async (admin) => {
    const names = new Set(await admin.listTopics());
    const present = topics.map(({ topic }) => account.prefix + topic).filter((name) => names.has(name));
    const standing = await readStanding(admin, present);
    const { brokers } = await admin.metadata({ topics: [] });
    const copies = replicas ?? Math.min(replicasDefault, brokers.size);
    if (copies > brokers.size) throw new BusError('BUS_REFUSED', `${copies} replicas want as many brokers; Kafka has ${brokers.size}`);
    return topics.map(({ topic, partitions, retention }) => planTopic(account.prefix + topic, { partitions, retention, replicas: copies }, standing.get(account.prefix + topic)));
  });

const readStanding = async (admin: Admin, names: readonly string[]): Promise<ReadonlyMap<string, StandingTopic>> => {
  if (names.length === 0) return new Map();
  const { topics } = await admin.metadata({ topics: [...names], forceUpdate: true });
  const configs = await admin.describeConfigs({ resources: names.map((resourceName) => ({ resourceType: ConfigResourceTypes.TOPIC, resourceName })) });
  const settings = new Map(configs.map(({ resourceName, configs: all }) => [resourceName, Object.fromEntries(all.map(({ name, value }) => [name, value ?? '']))]));
  return new Map(
    [...topics].map(([name, { partitions }]) => [name, { partitions: partitions.length, replicas: partitions[0]?.replicas.length ?? 0, settings: settings.get(name) ?? {} }]),
  );
};

/** How long (milliseconds) brokers may take to hear of a topic that was made, and how often they are asked. */
const visibleMsMax = 30_000;
const visibleEveryMs = 100;

/** Makes and changes what the plan says, and waits until it shows; what it refuses stays as it is. */
export const applyTopics = (account: KafkaAccount, plans: readonly TopicPlan[]): Promise<void> =>
  withAdmin(account, 'make topics', async (admin) => {
    await createAll(admin, plans.filter((plan) => plan.action === 'create'));
    const resources = plans.flatMap((plan) => {
      if (plan.action !== 'change') return [];
      const configs = plan.changes.map(({ name, to }) => ({ name, value: to, configOperation: IncrementalAlterConfigOperationTypes.SET }));
      return [{ resourceType: ConfigResourceTypes.TOPIC, resourceName: plan.topic, configs }];
    });
    if (resources.length > 0) await admin.incrementalAlterConfigs({ resources });
  });

/** One request for all that are kept alike. */
const createAll = async (admin: Admin, plans: readonly (TopicPlan & { action: 'create' })[]): Promise<void> => {
  const alike = Map.groupBy(plans, ({ settings, partitions, replicas }) => JSON.stringify([settings, partitions, replicas]));
  for (const same of alike.values()) {
    const { partitions, replicas, settings } = same[0]!;
    const configs = Object.entries(settings).map(([name, value]) => ({ name, value }));
    try {
      await admin.createTopics({ topics: same.map(({ topic }) => topic), partitions, replicas, configs });
    } catch (error) {
      // Another run is at it, or the plan was made before a broker had heard of them.
      if (kafkaCodeOf(error) !== 'TOPIC_ALREADY_EXISTS') throw error;
    }
  }
  const until = Date.now() + visibleMsMax;
  for (;;) {
    const names = new Set(await admin.listTopics());
    const absent = plans.filter(({ topic }) => !names.has(topic));
    if (absent.length === 0) return;
    if (Date.now() >= until) throw new BusError('BUS_UNREACHABLE', `Kafka took ${absent[0]!.topic} and does not show it after ${visibleMsMax} ms`);
    await pause(systemClock, visibleEveryMs);
  }
};
