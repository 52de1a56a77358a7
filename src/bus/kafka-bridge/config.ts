/** Bounds of the Kafka bridge: each with its unit and its reason. */
import { recordValueCharsMax } from '../../messages/grammar/envelope.ts';

const mebi = 1024 * 1024;

export const bridgeLimits = {
  /** One record's value, UTF-16 units: the wires' own bound. */
  recordValueCharsMax,
  /** One record's key; keys are ids and hashes. */
  recordKeyCharsMax: 2_000,
  /** Bytes of one partition's batch in a produce request, unless one record is larger: small ones must not wait for large ones. */
  batchBytesMax: 1 * mebi,
  /** Bytes of one produce request; brokers take 100 MiB (socket.request.max.bytes). */
  produceBytesMax: 8 * mebi,
  /** Bytes that wait to be produced; beyond it publishers are told to come back, before memory runs out. */
  produceQueueBytesMax: 64 * mebi,
  /** Milliseconds in which a produce must succeed, with its repeats: less than HTTP clients wait for an answer (30 s). */
  produceMsMax: 20_000,
  /** Milliseconds that a broker may take for one produce request, acknowledged by all in-sync replicas. */
  produceAttemptMsMax: 10_000,
  /** Milliseconds between tries against a Kafka that does not answer as it should; doubles up to the maximum. */
  retryMsMin: 20,
  retryMsMax: 1_000,
  /** Milliseconds that a fetch may wait at the broker for a first record: longer waits only delay what changes meanwhile. */
  fetchMsMax: 5_000,
  /** Bytes of one partition in one fetch, and of a whole fetch: enough to keep a consumer busy for one round trip. */
  fetchPartitionBytesMax: 1 * mebi,
  fetchBytesMax: 4 * mebi,
  /** Bytes read ahead for one consumer; beyond it nothing is fetched until it polls. */
  prefetchBytesMax: 8 * mebi,
  /** Fetches of one reader under way at one broker: a second one begins where the first waits for other partitions. */
  fetchesMax: 2,
  /** Readers kept for stateless fetches between two polls, and how long (milliseconds): the pauses of a client that works. */
  readersMax: 200,
  readerIdleMsMax: 60_000,
  /** Milliseconds that a poll waits beyond its own time for a group to settle: a first join, or partitions on their way. */
  settleMsMax: 5_000,
  /** One poll's records where the caller names no bound. */
  pollRecordsMax: 1_000,
  /** One poll's text: a batch must fit the caller's memory and an HTTP answer. */
  pollCharsMax: 4 * mebi,
  pollTimeoutMsMax: 60_000,
  sessionTimeoutMsMin: 100,
  sessionTimeoutMsMax: 30 * 60_000,
  /** Names of superseded members remembered, to refuse a process that does not know that it was replaced. */
  formerMembersMax: 1_000,
  /** Consumers of HTTP clients in one bridge: each holds connections. */
  consumersMax: 1_000,
  /** Milliseconds after which the list of topics is read again, when somebody asks for one that is not in it. */
  topicsAgeMsMax: 1_000,
  /** The same where a topic of the wires is missing: it is being made, or a broker has not heard of it yet. */
  missingTopicsAgeMsMax: 50,
  /** Milliseconds to connect, and for an answer beyond the time that a request may wait. */
  connectMsMax: 5_000,
  answerMsMax: 10_000,
  /** Milliseconds that leaving a group may take when the bridge ends. */
  leaveMsMax: 3_000,
} as const;

export type BridgeLimits = { readonly [Name in keyof typeof bridgeLimits]: number };

/** Kafka's side of a group: how long a bridge that is gone keeps its partitions, and how soon the others hear of a change. */
export const groupTimes = {
  /** Milliseconds; brokers take no less than 6 s unless told (group.min.session.timeout.ms). */
  sessionTimeoutMs: 6_000,
  heartbeatMs: 500,
  /** Milliseconds in which every member must have joined again when a group changes; a bridge does so at its next heartbeat. */
  rebalanceTimeoutMs: 10_000,
} as const;
export type GroupTimes = { readonly [Name in keyof typeof groupTimes]: number };
