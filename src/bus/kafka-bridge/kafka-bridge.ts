/**
 * The bridge: the promises of the bus (B1–B6) kept by a real Kafka, behind the same HTTP protocol as the embedded broker.
 *
 *     HTTP client ──▶ protocol ──▶ producer ──one batch a partition──▶ leaders        (producer.ts, P1–P3)
 *                        ├───────▶ consumers ─▶ seat: membership + reader ─▶ groups   (membership.ts, K1–K3; reader.ts, R1–R3)
 *                        └───────▶ fetches ───▶ readers kept between two fetches      (fetches.ts)
 *
 * It keeps nothing that must survive: what is acknowledged is in Kafka, and a bridge that dies loses its partitions to others
 * within the session time-out, or to its successor of the same name at once.
 */
import { BusError } from '../bus.ts';
import type { BusEngine, LogRecord, NewRecord } from '../engine.ts';
import { partitionOf, type TopicConfig } from '../topics.ts';
import { pause, systemClock, type Clock } from '../../host/clock.ts';
import { removesKey } from '../../messages/grammar/envelope.ts';
import type { Retention } from '../../messages/grammar/wire.ts';
import type { Log } from '../../observability/log.ts';
import { createMetrics, type Metrics } from '../../observability/metrics.ts';
import { KafkaCluster, type KafkaSecurity } from './cluster.ts';
import { bridgeLimits, groupTimes, type BridgeLimits, type GroupTimes } from './config.ts';
import { Consumers } from './consumers.ts';
import { Fetches } from './fetches.ts';
import { createNames, type Names } from './names.ts';
import { earliestTime, latestTime, listOffsets } from './offsets.ts';
import { KafkaProducer } from './producer.ts';
import { outgoing, type Outgoing } from './records.ts';

export type KafkaBridgeOptions = KafkaSecurity & {
  /** `host:port`, separated by commas. */
  readonly brokers: string;
  /** Before the name of every topic and group. */
  readonly prefix?: string;
  /** What Kafka's own logs call this bridge. */
  readonly clientId: string;
  /** Topics that must be there, as far as this bridge's clients use them: until they are, it asks its clients to come back. */
  readonly topics: readonly TopicConfig[];
  /** Time of HTTP clients: their polls, sessions and records. */
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics?: Metrics;
  readonly limits?: Partial<BridgeLimits>;
  readonly times?: Partial<GroupTimes>;
};

export type KafkaBridge = BusEngine & {
  /** Ends polls, leaves the groups, waits for what is being produced. */
  close(): Promise<void>;
  /** Ends as if killed: nothing is said to Kafka. For tests. */
  abandon(): void;
};

/** Opens a bridge; where Kafka is not there yet, it goes on looking, and `ailment` says so meanwhile. */
export const openKafkaBridge = async (options: KafkaBridgeOptions): Promise<KafkaBridge> => {
  const limits: BridgeLimits = { ...bridgeLimits, ...options.limits };
  const { clock, log, tls, sasl, brokers, clientId } = options;
  const cluster = new KafkaCluster({ brokers, clientId, log, limits, tls, sasl });
  const names = createNames(options.prefix ?? '');
  const metrics = options.metrics ?? createMetrics();
  const rebalances = metrics.counter('cordage_bus_rebalances_total', 'Changes of who reads what in a consumer group');
  const published = metrics.counter('cordage_bus_records_published_total', 'Records that Kafka acknowledged to this bridge');
  const consumers = new Consumers({ cluster, names, clock, times: { ...groupTimes, ...options.times }, rebalanced: () => rebalances.add() });
  const fetches = new Fetches({ cluster, names, clock });
  const producer = new KafkaProducer(cluster);
  await cluster.refresh().catch((error: unknown) => log.warn('bus.kafka_unreachable', { error, next: 'tried again' }));
  return assemble({ cluster, names, consumers, fetches, producer, expected: new Map(options.topics.map(({ topic, retention }) => [topic, retention])), clock, published: (count) => published.add(count) });
};

type Parts = {
  readonly cluster: KafkaCluster;
  readonly names: Names;
  readonly consumers: Consumers;
  readonly fetches: Fetches;
  readonly producer: KafkaProducer;
  readonly expected: ReadonlyMap<string, Retention>;
  readonly clock: Clock;
  readonly published: (count: number) => void;
};

const assemble = (parts: Parts): KafkaBridge => {
  const { cluster, names, consumers, fetches, producer } = parts;
  const place = placer(parts);
  let closing: Promise<void> | undefined;
  const assertOpen = (): void => {
    if (closing !== undefined) throw new BusError('BUS_CLOSED', 'the bridge is closed');
  };
  const close = async (): Promise<void> => {
    fetches.close();
    await Promise.race([Promise.all([consumers.close(), producer.drain()]), pause(systemClock, cluster.limits.leaveMsMax)]);
    cluster.close();
  };
  return {
    limits: cluster.limits,
    append: async (records) => {
      assertOpen();
      const placed = records.map(place);
      const offsets = await producer.append(placed);
      parts.published(placed.length);
      return placed.map(({ record }, i): LogRecord => ({ ...record, offset: offsets[i]! }));
    },
    fetch: async (request) => {
      assertOpen();
      for (const position of request.positions) requirePartition(parts, position.topic, position.partition);
      return fetches.fetch(request);
    },
    consume: async (request) => {
      assertOpen();
      return consumers.consume(request);
    },
    commit: async (by, positions) => {
      assertOpen();
      await consumers.commit(by, positions);
    },
    leave: async (by) => {
      assertOpen();
      await consumers.leave(by);
    },
    committed: async (group, places) => {
      const offsets = await consumers.committed(group, places);
      return places.map(({ topic, partition }, i) => ({ topic, partition, offset: offsets[i]! }));
    },
    offsets: (at, places) => offsetsAt(parts, at, places),
    topics: async () => {
      await cluster.refreshIfOld();
      const reason = await missing(parts, parts.expected.keys());
      if (reason !== undefined) throw new BusError('BUS_UNREACHABLE', reason);
      return [...cluster.topics()].flatMap(([name, leaders]) => (name.startsWith(names.prefix) ? { topic: names.callersTopic(name), partitions: leaders.length } : []));
    },
    hasTopic: async (topic) => {
      const name = names.topic(topic);
      if (cluster.topics().has(name)) return true;
      const reason = parts.expected.has(topic) ? await missing(parts, [topic]) : undefined;
      if (reason !== undefined) throw new BusError('BUS_UNREACHABLE', reason);
      await cluster.refreshIfOld();
      return cluster.topics().has(name);
    },
    groups: () => consumers.views(),
    ailment: async () => {
      await cluster.refreshIfOld().catch(() => {});
      if (closing !== undefined) return 'the bridge is closed';
      return cluster.ailment ?? missing(parts, parts.expected.keys());
    },
    close: () => (closing ??= close()),
    abandon: () => {
      closing ??= Promise.resolve();
      cluster.close();
    },
  };
};

/** Which of these topics Kafka does not show, looked for anew; `undefined` where all are there. */
const missing = async ({ cluster, names }: Parts, topics: Iterable<string>): Promise<string | undefined> => {
  const kafka = [...topics].map(names.topic);
  const absent = (): string[] => kafka.filter((name) => !cluster.topics().has(name));
  if (absent().length > 0) await cluster.refreshIfOld(cluster.limits.missingTopicsAgeMsMax);
  const [first, ...rest] = absent();
  if (first === undefined) return undefined;
  return `Kafka shows no topic "${first}"${rest.length === 0 ? '' : ` and ${rest.length} others`} to this bridge; "cordage topics apply" makes the topics, with --acls what the bridge may touch`;
};

const requirePartition = ({ cluster, names }: Parts, topic: string, partition: number): number => {
  const count = cluster.topics().get(names.topic(topic))?.length;
  if (count === undefined) throw new BusError('BUS_UNKNOWN_TOPIC', `Kafka has no topic "${names.topic(topic)}"; "cordage topics apply" makes those of src/messages`);
  if (partition >= count) throw new BusError('BUS_REFUSED', `topic ${topic} has partitions 0 to ${count - 1}, not ${partition}`);
  return count;
};

/** Checks a record and gives it its partition. */
const placer = (parts: Parts): ((given: NewRecord) => Outgoing) => {
  const { cluster, names, expected, clock } = parts;
  const { recordValueCharsMax, recordKeyCharsMax } = cluster.limits;
  let turn = 0;
  return (given) => {
    const { topic, key, value } = given;
    const count = requirePartition(parts, topic, given.partition ?? 0);
    if (value.length > recordValueCharsMax) throw tooLarge(topic, 'value', value.length, recordValueCharsMax);
    if (key !== undefined && key.length > recordKeyCharsMax) throw tooLarge(topic, 'key', key.length, recordKeyCharsMax);
    const keeps = expected.get(topic) === 'compacted';
    if (keeps && key === undefined) throw new BusError('BUS_REFUSED', `topic ${topic} is compacted: its records need a key`);
    const partition = given.partition ?? (key === undefined ? turn++ % count : partitionOf(key, count));
    return outgoing(names.topic(topic), { given, partition, now: clock.now(), removes: keeps && removesKey(value) });
  };
};

const tooLarge = (topic: string, what: string, length: number, max: number): BusError =>
  new BusError('BUS_RECORD_TOO_LARGE', `the ${what} of a record for ${topic} has ${length} characters, the most is ${max}; send it in chunks, or store it once and name it by its hash`);

const offsetsAt = async (parts: Parts, at: number | 'earliest' | 'latest', places: readonly { readonly topic: string; readonly partition: number }[]) => {
  const { cluster, names } = parts;
  for (const { topic, partition } of places) requirePartition(parts, topic, partition);
  const named = places.map(({ topic, partition }) => ({ topic: names.topic(topic), partition }));
  const time = at === 'latest' ? latestTime : at === 'earliest' ? earliestTime : BigInt(at);
  const offsets = await listOffsets(cluster, time, named);
  // None is as late: what comes next is.
  const ends = offsets.some((offset) => offset < 0) ? await listOffsets(cluster, latestTime, named) : offsets;
  return places.map(({ topic, partition }, i) => ({ topic, partition, offset: offsets[i]! < 0 ? ends[i]! : offsets[i]! }));
};
