/** Bounds of the embedded broker: each with its unit and its reason. */
import { recordValueCharsMax } from '../../messages/grammar/envelope.ts';

const mebi = 1024 * 1024;

export const brokerLimits = {
  /** One record's value, UTF-16 units: the wires' own bound. */
  recordValueCharsMax,
  /** One record's key; keys are ids and hashes. The frame keeps the key's length in 16 bits. */
  recordKeyCharsMax: 2_000,
  /** One record's headers, as JSON text: only foreign HTTP clients send any. */
  recordHeadersCharsMax: 16_000,
  /** Names of groups, instances and members. */
  nameCharsMax: 255,
  /** Text gathered into one group commit: larger ones make the callers of small ones wait longer than a disk needs. */
  frameCharsMax: 4 * mebi,
  /** Text that waits for the disk; beyond it publishers are told to come back, before memory runs out. */
  publishQueueCharsMax: 128 * mebi,
  /** A segment is the unit of retention: small enough to give space back soon, large enough that files stay few. */
  segmentBytesMax: 16 * mebi,
  /** Zeros written ahead of the log's end: a write inside a file needs no journal commit, which halves its time. */
  zeroAheadBytes: 1 * mebi,
  /** Frames larger than this gain nothing from zeros ahead: their time is bandwidth. */
  zeroAheadFrameBytesMax: 64 * 1024,
  /** Log kept once every known group has committed it. Opening reads all of it, at about a gigabyte a second. */
  retentionBytesMax: 128 * mebi,
  /** Age at which committed log goes even when there is room: a day lets an operator look back. */
  retentionAgeMsMax: 24 * 3_600_000,
  /** How often retention looks, besides each new segment. */
  retentionIntervalMs: 60_000,
  /** A removed key's tombstone stays this long, so that a follower that was away sees the removal. */
  tombstoneKeepMs: 24 * 3_600_000,
  /** Text of recent records kept in memory: some seconds of a busy cluster, so that consumers who keep up never read the disk. */
  cacheCharsMax: 16 * mebi,
  /** Frames read back from disk for those who do not keep up. */
  coldCacheBytesMax: 8 * mebi,
  /** Group offsets without a publish to ride on are written after this time; losing them only repeats deliveries. */
  commitFlushMsMax: 100,
  /** A member that neither polls nor commits for this long loses its partitions. */
  sessionTimeoutMs: 10_000,
  sessionTimeoutMsMin: 100,
  sessionTimeoutMsMax: 30 * 60_000,
  /** One poll's records where the caller names no bound. */
  pollRecordsMax: 1_000,
  /** One poll's text: a batch must fit the caller's memory and an HTTP answer. */
  pollCharsMax: 4 * mebi,
  pollTimeoutMsMax: 60_000,
  groupsMax: 1_000,
  membersMax: 1_000,
  /** Names of superseded members remembered a group, to refuse a process that does not know that it was replaced. */
  formerMembersMax: 1_000,
  /** Partitions of all topics together: each costs memory for its index and a place in every snapshot. */
  partitionsMax: 20_000,
} as const;

/** In memory, what everybody has read is worth less than the room it takes. */
export const memoryLimits = { segmentBytesMax: 4 * mebi, retentionBytesMax: 32 * mebi } as const;

export type BrokerLimits = { readonly [Name in keyof typeof brokerLimits]: number };
