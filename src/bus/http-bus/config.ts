/** Bounds of the bus's HTTP client: each with its unit and its reason. */
export const httpBusLimits = {
  /** Records of one produce request: a few milliseconds of the broker's time. */
  produceRecordsMax: 1_000,
  /** Text of one produce request, UTF-16 units. Escaped at worst sixfold it still fits the server's 16 MiB. */
  produceCharsMax: 2_000_000,
  /** Text that waits to be produced; beyond it publishers are told to come back. */
  publishQueueCharsMax: 64_000_000,
  /** Tries of a request that may be repeated, before the caller hears of it. */
  attemptsMax: 3,
  retryDelayMs: 100,
  retryDelayMsMax: 2_000,
  /** A request without a long poll takes milliseconds; one that takes this long will not come back. */
  requestTimeoutMs: 30_000,
  /** How much longer than it was asked to wait a poll may take. */
  pollGraceMs: 10_000,
  /** The server's own bound on one poll. */
  pollTimeoutMsMax: 60_000,
  /** A consumer silent for this long loses its partitions, unless its owner says otherwise. */
  sessionTimeoutMs: 10_000,
  /** Between two polls a consumer says that it lives, this many times within a session: one that is lost does no harm. */
  beatsPerSession: 3,
  /** A batch that takes longer than this is stuck: then another may have the partitions. */
  batchMsMax: 60_000,
  /** Leaving a group is a courtesy: the session time-out does it, too. */
  leaveTimeoutMs: 2_000,
} as const;
