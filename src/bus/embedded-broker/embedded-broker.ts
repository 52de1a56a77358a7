/**
 * The embedded broker: Kafka's promises (B1–B7) for one machine, on a log of its own, on disk or in memory.
 *
 * The way of a record: appender (offset) → log (group commit) → partition (shown) → readers (woken). Workers of the same
 * process use `connect()`; the HTTP server (`../http-server.ts`) uses the verbs beside it.
 */
import { BusError } from '../bus.ts';
import type { Bus } from '../bus.ts';
import type { BusEngine, FetchRequest, LogRecord, MemberName } from '../engine.ts';
import type { TopicConfig } from '../topics.ts';
import { removesKey } from '../../messages/grammar/envelope.ts';
import type { TopicPartition, TopicPartitionOffset } from '../../messages/grammar/record.ts';
import type { Clock } from '../../host/clock.ts';
import type { Log as Logger } from '../../observability/log.ts';
import { createMetrics } from '../../observability/metrics.ts';
import type { Metrics } from '../../observability/metrics.ts';
import { Appender } from './appender.ts';
import { ColdFrames } from './cold-frames.ts';
import { brokerLimits, memoryLimits } from './config.ts';
import type { BrokerLimits } from './config.ts';
import { Groups } from './groups.ts';
import { createInProcessBus } from './in-process-bus.ts';
import type { Snapshot } from './log/entry.ts';
import { createMemoryLog, openDiskLog } from './log/log.ts';
import type { DiskLogOpening, Log, LogOptions } from './log/log.ts';
import { offsetAtTime } from './offset-at-time.ts';
import { pollReader } from './poll.ts';
import { Reader } from './reader.ts';
import { segmentOf } from './record.ts';
import { Retention, SegmentContents } from './retention.ts';
import { TopicTable } from './topic-table.ts';

export type BrokerStorage = { readonly type: 'memory' } | { readonly type: 'disk'; readonly directory: string };

export type EmbeddedBrokerOptions = {
  readonly storage: BrokerStorage;
  readonly topics: readonly TopicConfig[];
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics?: Metrics;
  /** Whether a value removes its key from a compacted topic. Default: an envelope whose body is `null`. */
  readonly isTombstone?: (value: string) => boolean;
  readonly limits?: Partial<BrokerLimits>;
};

/** Its verbs answer at once where the engine's port leaves room to wait. */
export type EmbeddedBroker = Omit<BusEngine, 'commit' | 'leave' | 'committed' | 'topics' | 'hasTopic' | 'limits'> & {
  /** A bus in this process. */
  connect(): Bus;
  commit(by: MemberName, positions: readonly TopicPartitionOffset[] | 'consumed'): void;
  leave(by: MemberName): void;
  committed(group: string, partitions: readonly TopicPartition[]): readonly TopicPartitionOffset[];
  topics(): readonly TopicConfig[];
  hasTopic(topic: string): boolean;
  /** Looks for what may be deleted now, not only at the next interval. */
  applyRetention(): Promise<void>;
  readonly limits: BrokerLimits;
  /** Ends polls, writes what is queued, gives the directory back. */
  close(): Promise<void>;
};

/** Opens a broker. Throws BusError: BUS_REFUSED (directory in use, topics changed), BUS_CORRUPT (damage). */
export const openEmbeddedBroker = async (options: EmbeddedBrokerOptions): Promise<EmbeddedBroker> => {
  const { clock, log: logger, storage } = options;
  const limits: BrokerLimits = { ...brokerLimits, ...(storage.type === 'memory' ? memoryLimits : {}), ...options.limits };
  const instruments = instrumentsOf(options.metrics ?? createMetrics());
  const topics = new TopicTable({ isTombstone: options.isTombstone ?? removesKey, partitionsMax: limits.partitionsMax });
  const contents = new SegmentContents();
  /** Made last, from what the others say; they call it only afterwards. */
  const late: { log?: Log; retention?: Retention } = {};
  const cold = new ColdFrames({ log: () => late.log!, bytesMax: limits.coldCacheBytesMax, read: () => instruments.framesRead.add() });
  const groups = new Groups({ topics, clock, cold, limits, log: logger, rebalanced: () => instruments.rebalances.add(), kick: () => late.log?.kick() });
  const evicts = storage.type === 'disk';
  const appender = new Appender({ topics, contents, clock, limits, log: () => late.log!, evicts, segmentBegun: () => void late.retention?.run() });
  const snapshot = (segments: readonly number[]): Snapshot => ({ v: 1, segments: [...segments], topics: topics.snapshot(), groups: groups.snapshot() });
  const configure = (): void => {
    groups.clampCommitted();
    const orphans = topics.configure(options.topics);
    if (orphans.length > 0) logger.warn('bus.topics_not_configured', { topics: orphans, meaning: 'the log holds topics that no wire names; they are kept' });
  };
  const logOptions: LogOptions = { limits, clock, log: logger, riders: groups, snapshot, measured: instruments.frame, shown: appender.wakeReaders };
  const log = await openLog(storage, logOptions, { sink: sinkOf({ topics, groups, contents }), recovered: configure });
  const retention = new Retention({ log, topics, groups, contents, cold, clock, limits, logger, snapshot });
  Object.assign(late, { log, retention });
  return assemble({ limits, clock, topics, groups, cold, appender, log, retention });
};

const openLog = async (storage: BrokerStorage, options: LogOptions, recovery: Pick<DiskLogOpening, 'sink' | 'recovered'>): Promise<Log> => {
  if (storage.type === 'disk') return openDiskLog({ ...options, ...recovery, directory: storage.directory });
  recovery.recovered();
  return createMemoryLog(options);
};

/** What the log shows when it is opened. */
const sinkOf = ({ topics, groups, contents }: { topics: TopicTable; groups: Groups; contents: SegmentContents }): DiskLogOpening['sink'] => ({
  snapshot: (snapshot) => {
    topics.restore(snapshot);
    for (const group of snapshot.groups) groups.restore(group);
  },
  group: (entry) => groups.restore(entry),
  record: (view, location) => {
    const topic = topics.byNumber(view.topic);
    const partition = topic?.partitions[view.partition];
    if (partition === undefined) {
      throw new BusError('BUS_CORRUPT', `the log has a record of topic ${view.topic}/${view.partition}, which no snapshot before it names; restore the directory from a copy`);
    }
    if (partition.retention === 'compacted') return partition.restore(view.offset, location, view);
    partition.restore(view.offset, location);
    contents.of(segmentOf(location)).set(partition, view.offset);
  },
});

type Parts = {
  readonly limits: BrokerLimits;
  readonly clock: Clock;
  readonly topics: TopicTable;
  readonly groups: Groups;
  readonly cold: ColdFrames;
  readonly appender: Appender;
  readonly log: Log;
  readonly retention: Retention;
};

const assemble = (parts: Parts): EmbeddedBroker => {
  const { limits, clock, topics, groups, cold, appender, log, retention } = parts;
  const buses = new Set<Bus>();
  const fetches = new Set<Reader>();
  let members = 0;
  let closing: Promise<void> | undefined;
  const assertOpen = (): void => {
    if (closing !== undefined) throw new BusError('BUS_CLOSED', 'the broker is closed');
  };
  const close = async (): Promise<void> => {
    await Promise.all([...buses].map((bus) => bus.close()));
    for (const reader of fetches) reader.wake();
    groups.close();
    await retention.close();
    await log.close();
  };
  return {
    limits,
    connect: () => {
      assertOpen();
      const bus = createInProcessBus({ appender, groups, topics, cold, clock, limits, assertOpen, nextMember: () => `in-process ${++members}` });
      buses.add(bus);
      return bus;
    },
    append: async (records) => {
      assertOpen();
      return appender.append(records);
    },
    fetch: async (request) => {
      assertOpen();
      return fetchOnce(parts, request, { fetches, closed: () => closing !== undefined });
    },
    consume: async (request) => {
      assertOpen();
      return groups.consume(request);
    },
    commit: (by, positions) => {
      assertOpen();
      groups.commit(by, positions);
    },
    leave: (by) => {
      assertOpen();
      groups.leave(by);
    },
    committed: (group, partitions) =>
      partitions.map(({ topic, partition }) => ({ topic, partition, offset: groups.committed(group, topics.partition(topic, partition)) ?? -1 })),
    offsets: (at, partitions) =>
      Promise.all(partitions.map(async ({ topic, partition }) => ({ topic, partition, offset: await offsetAtTime(topics.partition(topic, partition), at, cold) }))),
    topics: () => topics.all().map((topic): TopicConfig => ({ topic: topic.name, partitions: topic.partitions.length, retention: topic.retention })),
    hasTopic: (topic) => topics.find(topic) !== undefined,
    groups: () => groups.views(),
    ailment: () => (closing === undefined ? undefined : 'the broker is closed'),
    applyRetention: () => retention.run(),
    close: () => (closing ??= close()),
  };
};

const fetchOnce = async (
  parts: Parts,
  request: FetchRequest,
  { fetches, closed }: { fetches: Set<Reader>; closed: () => boolean },
): Promise<readonly LogRecord[]> => {
  const { topics, limits } = parts;
  const places = request.positions.map(({ topic, partition, offset }) => ({ partition: topics.partition(topic, partition), offset }));
  const reader = new Reader();
  for (const { partition, offset } of places) reader.add(partition, offset);
  fetches.add(reader);
  try {
    const budget = { recordsMax: request.recordsMax ?? limits.pollRecordsMax, charsMax: limits.pollCharsMax };
    return await pollReader(reader, { budget, timeoutMs: request.timeoutMs, signal: request.signal, ended: closed }, parts);
  } finally {
    fetches.delete(reader);
    reader.close();
  }
};

const instrumentsOf = (metrics: Metrics) => {
  const records = metrics.counter('cordage_bus_records_published_total', 'Records made durable by the embedded broker');
  const bytes = metrics.counter('cordage_bus_log_bytes_written_total', 'Bytes of frames written to the log');
  const seconds = metrics.histogram('cordage_bus_group_commit_seconds', 'Time of one group commit, from building its frame to the disk');
  return {
    framesRead: metrics.counter('cordage_bus_frames_read_total', 'Frames read back from the log, for consumers that do not keep up'),
    rebalances: metrics.counter('cordage_bus_rebalances_total', 'Changes of who reads what in a consumer group'),
    frame: (frame: { records: number; bytes: number; seconds: number }) => {
      records.add(frame.records);
      bytes.add(frame.bytes);
      seconds.observe(frame.seconds);
    },
  };
};

export type { BrokerLimits };
