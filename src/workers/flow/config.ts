/** Limits of the flow room: each with its unit and its reason. */
export type FlowLimits = {
  /** Milliseconds one turn of a flow may run in its thread (Corda: 11,250): beyond it the thread is stopped and the flow is suspected. */
  readonly turnMsMax: number;
  /** Heap of one sandbox thread in MiB: beyond it the thread ends and the flow that was running is suspected. */
  readonly threadMemoryMbMax: number;
  /** Share of a thread's heap above which its longest idle flows leave memory. */
  readonly threadMemoryShareMax: number;
  /** Threads that run application code; a compartment stays on one. */
  readonly threadCount: number;
  /** Milliseconds during which flows of a compartment that stopped a thread run apart, one at a time. */
  readonly quarantineMs: number;
  /** Compartments (code unit × virtual node) one thread holds: each costs some tens of KiB and its bundle's own data. */
  readonly compartmentsMax: number;
  /** Flows held in memory between events; the longest idle ones are rebuilt by replay when they are needed again. */
  readonly flowsLiveMax: number;
  /** Bundles held as text: one is some hundred KiB. */
  readonly bundlesMax: number;
  /** Operations of one flow under way at once: bounds the head. */
  readonly operationsPendingMax: number;
  /** Operations of one flow in its life: bounds its journal. */
  readonly operationsMax: number;
  /** Rounds of one step in which a flow may go on without waiting: a flow beyond it would hold its whole batch. */
  readonly roundsMax: number;
  /** UTF-16 code units of one operation's parameters: nothing longer fits in a record of the bus. */
  readonly operationCharsMax: number;
  /** UTF-16 code units of a flow's result as REST shows it: what fits in a status record. */
  readonly resultCharsMax: number;
  /** UTF-16 code units of an error message that REST or a counterparty is shown. */
  readonly errorCharsMax: number;
  /** Sessions of one flow in its life: bounds the head. */
  readonly sessionsMax: number;
  /** Messages of one session that arrived and were not read yet, or arrived before their turn. */
  readonly sessionUnreadMax: number;
  /** Milliseconds without a message after which an open session fails (Corda: session.timeout). */
  readonly sessionTimeoutMs: number;
  /** Milliseconds for which a message may be under way (Corda: session.p2pTTL). */
  readonly messageTtlMs: number;
  /** Milliseconds after which a request that nobody answered is asked again, later each time. */
  readonly requestRepeatMs: number;
  /** Milliseconds of the grid on which such times stand: coarse, so that the index of due times is seldom written. */
  readonly requestGridMs: number;
  /** Milliseconds after which such a request is refused to the code (Corda: maxRetryWindowDuration). */
  readonly requestWindowMs: number;
  /** How often a request is asked again that a room could not do now, and how long it waits in between (Corda: 5; 1 to 16 s). */
  readonly retriesMax: number;
  readonly retryDelayMsMin: number;
  readonly retryDelayMsMax: number;
  /** Milliseconds for which the counterparties of a flow are not told that its code could not go on: the time to mend it. */
  readonly redriveHoldMs: number;
  /** Milliseconds for which an ended flow and its journal are kept (Corda: flowStatusCleanupTimeMs). */
  readonly endedKeepMs: number;
  /** Log lines of one turn, and UTF-16 code units of one line. */
  readonly logLinesMax: number;
  readonly logCharsMax: number;
  /** UTF-16 code units of the results in one answer to a query: what fits in a record of the bus. */
  readonly queryCharsMax: number;
};

export const flowLimitsDefault: FlowLimits = {
  turnMsMax: 2_000,
  threadMemoryMbMax: 512,
  threadMemoryShareMax: 0.7,
  threadCount: 1,
  quarantineMs: 60_000,
  compartmentsMax: 200,
  flowsLiveMax: 10_000,
  bundlesMax: 200,
  operationsPendingMax: 1_000,
  operationsMax: 100_000,
  roundsMax: 5_000,
  operationCharsMax: 1_100_000,
  resultCharsMax: 250_000,
  errorCharsMax: 2_000,
  sessionsMax: 1_000,
  sessionUnreadMax: 1_000,
  sessionTimeoutMs: 1_800_000,
  messageTtlMs: 300_000,
  requestRepeatMs: 30_000,
  requestGridMs: 10_000,
  requestWindowMs: 300_000,
  retriesMax: 5,
  retryDelayMsMin: 1_000,
  retryDelayMsMax: 16_000,
  redriveHoldMs: 1_800_000,
  endedKeepMs: 7 * 24 * 60 * 60 * 1_000,
  logLinesMax: 100,
  logCharsMax: 2_000,
  queryCharsMax: 400_000,
};
