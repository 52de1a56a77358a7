/** Bounds of the shell, with unit and reason. A worker's host may set others. */
export type ShellConfig = typeof shellConfigDefault;

const second = 1_000;
const minute = 60 * second;
const hour = 60 * minute;

export const shellConfigDefault = {
  /** Records of one poll: large enough that a batch's fixed costs vanish, small enough that one batch takes milliseconds. */
  recordsPerPollMax: 500,
  /** Keys of one round: what is beyond it waits for the next, so that scopes take turns and a round stays short. */
  keysPerRoundMax: 200,
  /**
   * Batches of a machine under way at once: while one is saved and sent, the next is polled and stepped. Two keep thread, database
   * and disk busy; more would only make batches smaller. One more for each further step that may be under way.
   */
  batchesAtOnceMax: 2,
  /** A batch of a machine with several steps at once waits so long for more, where it has fewer records than this and others are under way. */
  lingerMs: 2,
  lingerRecordsMax: 64,
  /**
   * Batches of an independent wire under way at once: while one waits for the database, the next is worked out and the one before is
   * sent. More would only make batches smaller.
   */
  answerBatchesAtOnceMax: 2,
  /** How long a direct answer of another room is waited for: whoever waits holds its batch. Then the bus brings it. */
  directMsMax: second,
  /** Requests that wait for one store that is kept apart: those of some seconds. */
  apartWaitingMax: 1_000,
  /** How long one poll waits for a first record. Also how late a failed commit is tried again when nothing comes. */
  pollWaitMsMax: 10 * second,
  /** Records kept in memory because their key must wait; above it nothing new is polled. */
  recordsHeldMax: 5_000,
  /** Heads kept in memory between batches, so that a busy key is not read from the store each time. */
  headsCachedMax: 10_000,
  /** Versions remembered of heads that left memory, so that their effects are not sent again when they are read back. */
  versionsRememberedMax: 50_000,
  /** How often a key is stepped again at once when another replica had written it; after that it waits like `later`. */
  conflictTriesMax: 5,
  /** Back-off of one key that is not to be stepped now. */
  laterDelayMsMin: 50,
  laterDelayMsMax: 5 * second,
  /** How long a key is tried again before its records are parked: long enough for a view to catch up or a thread to be born again. */
  laterWindowMs: 2 * minute,
  /** Back-off of a whole loop while the bus or the database is away. */
  retryDelayMsMin: 50,
  retryDelayMsMax: 5 * second,
  /** One publish: bounded so that its request stays small beside the bus's own bounds. */
  recordsPerPublishMax: 1_000,
  charsPerPublishMax: 4_000_000,
  /** UTF-16 code units of a parked record's reason. */
  parkedReasonCharsMax: 2_000,
  /** Parked records shown at once. */
  parkedListMax: 1_000,
  /** Due keys asked of the store at once. */
  wakeKeysPerAskMax: 500,
  /**
   * UTF-16 code units of records that were told within a process and have not come by its bus yet: those of a second at thousands of flows
   * a second. What does not fit is read twice.
   */
  toldCharsMax: 8_000_000,
  /** The store is asked at least this often, for keys whose replica died before it could set its timer. */
  wakeRereadMs: 30 * second,
  /** A wake that was published and not handled is published again after this. */
  wakeRepeatMs: 10 * second,
  /** After a full page of due keys the store is asked again this soon: there is a backlog. */
  wakeBacklogMs: 200,
  /** Least time between two questions to the store: due times close together share one. */
  wakeAskMsMin: 5,
  /** A tombstone outlives every repeat of its key's records: commits follow within milliseconds, or seconds after a crash. */
  tombstoneKeepMs: 24 * hour,
  sweepIntervalMs: 10 * minute,
  /** Tombstones deleted in one statement. */
  sweepCountMax: 1_000,
  /** How long `stop` waits for a batch in work. What is not done by then is done by the next owner. */
  stopMsMax: 10 * second,
} as const satisfies Record<string, number>;

/** The same names with any numbers. */
export type ShellLimits = { readonly [Name in keyof ShellConfig]: number };

export const shellLimits = (changes: Partial<ShellLimits> = {}): ShellLimits => ({ ...shellConfigDefault, ...changes });

/** Of the TLS keys that a process is given by crypto. */
const tlsKeyLimitsDefault = {
  /** Wait for crypto to answer with a TLS key, each time, and in all. */
  tlsKeyAskMs: 5 * second,
  tlsKeyMsMax: 2 * minute,
  tlsKeyPauseMs: 250,
  /** Between two looks at whether the cluster's own certificate has to be renewed; an import is noticed at once. */
  tlsKeyLookMs: 6 * hour,
  /** Imported certificates that are served with. */
  tlsCertificatesMax: 100,
} as const satisfies Record<string, number>;

export type TlsKeyLimits = { readonly [Name in keyof typeof tlsKeyLimitsDefault]: number };
export const tlsKeyLimits: TlsKeyLimits = tlsKeyLimitsDefault;

/** Doubles from the least to the most, less up to half of it by chance, so that replicas do not come back in step. */
export const backOffMs = (tries: number, least: number, most: number, random: () => number): number =>
  Math.min(most, least * 2 ** Math.min(tries, 30)) * (1 - random() / 2);
