/** Limits of the flow room: each with its unit and its reason. */
export type FlowLimits = {
  /**
   * Milliseconds of processor time that one turn of a flow may use (Corda: 11,250 on the wall): beyond it the sandbox process is
   * stopped and the flow is suspected. Its own time, so that a busy machine harms nobody.
   */
  readonly turnMsMax: number;
  /** Milliseconds one turn may last on the wall, whatever it uses: for what waits for what never comes. */
  readonly turnWallMsMax: number;
  /** Milliseconds of one batch that a compartment may use beside others, before its other turns are sent back. */
  readonly sliceMsMax: number;
  /** The same for a compartment that has the batch to itself: a batch must end, or nothing else begins. */
  readonly sliceAloneMsMax: number;
  /** Milliseconds a compartment waits at most after it used more than its slice, while others are about. */
  readonly debtMsMax: number;
  /** Heap of one sandbox process in MiB: beyond it the process ends and the flow that was running is suspected. */
  readonly guestHeapMbMax: number;
  /** All memory of one sandbox process in MiB: its heap, the runtime (about 80), and what is outside of the heap. */
  readonly guestResidentMbMax: number;
  /** Share of a sandbox's heap above which its longest idle flows leave memory. */
  readonly guestHeapShareMax: number;
  /** Batches in a row that may end above it before the sandbox process is replaced. */
  readonly guestFillingsMax: number;
  /** Processes that run application code; a compartment stays on one. */
  readonly guestCount: number;
  /** Processes kept ready, so that one that was stopped is replaced at once: each is about 70 MiB. */
  readonly guestSpareCount: number;
  /** Milliseconds until a sandbox process must be ready. */
  readonly guestStartMsMax: number;
  /** Milliseconds during which flows of a compartment that stopped a sandbox process run apart, one at a time. */
  readonly quarantineMs: number;
  /** Milliseconds for which a batch waits for a flow that runs apart. */
  readonly patienceMs: number;
  /** Flows that wait to be run apart; more are told to come again. */
  readonly trialsWaitingMax: number;
  /** Compartments (code unit × virtual node) one sandbox process holds: each costs some tens of KiB and its bundle's own data. */
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
  /** Of those rounds, how many may wait for direct answers of other rooms: each holds the batch for a transaction. */
  readonly directRoundsMax: number;
  /** A batch waits for direct answers while at least one of so many of its flows needs them: few do not hold up many. */
  readonly directShareMax: number;
  /** Answers over which a turn goes on before they have come, and UTF-16 code units of what it asks for meanwhile: so much is done in vain where one is another. */
  readonly foreseenMax: number;
  readonly foreseenCharsMax: number;
  /** Milliseconds for which flows of a virtual node go step by step after an answer was another than foreseen. */
  readonly unforeseenMs: number;
  /** UTF-16 code units of the requests that are done together with foreseen answers, or none of them: one statement of the other room. */
  readonly foreseenRequestCharsMax: number;
  /** UTF-16 code units of one operation's parameters: nothing longer fits in a record of the bus. */
  readonly operationCharsMax: number;
  /** UTF-16 code units of the parameters of what is sent in a session: a value of the most allowed length, each quote escaped. */
  readonly messageCharsMax: number;
  /** UTF-16 code units of all that a flow asks for before it waits: bounds what one turn can put into memory here. */
  readonly stepCharsMax: number;
  /** UTF-16 code units of one batch's answer from a sandbox process: what comes beyond it waits for the next batch. */
  readonly answerCharsMax: number;
  /** UTF-16 code units of a flow's result as REST shows it: what fits in a status record. */
  readonly resultCharsMax: number;
  /** UTF-16 code units of an error message that REST or a counterparty is shown. */
  readonly errorCharsMax: number;
  /** Sessions of one flow in its life: bounds the head. */
  readonly sessionsMax: number;
  /** Messages of one session that arrived and were not read yet, or arrived before their turn. */
  readonly sessionUnreadMax: number;
  /** UTF-16 code units of one value sent in a session: it travels in pieces, and is whole in memory at both ends. */
  readonly sessionValueCharsMax: number;
  /** UTF-16 code units that wait to be read, in one session and in all sessions of one flow. */
  readonly sessionUnreadCharsMax: number;
  readonly flowUnreadCharsMax: number;
  /** UTF-16 code units of a flow's properties, and how many there may be: they ride in each session's first message. */
  readonly contextCharsMax: number;
  readonly contextCountMax: number;
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
  /** Flows of a virtual node that is deleted which are woken at once: their heads are in memory meanwhile. */
  readonly evictedAtOnceMax: number;
};

export const flowLimitsDefault: FlowLimits = {
  turnMsMax: 2_000,
  turnWallMsMax: 60_000,
  sliceMsMax: 250,
  sliceAloneMsMax: 2_000,
  debtMsMax: 1_000,
  guestHeapMbMax: 512,
  guestResidentMbMax: 900,
  guestHeapShareMax: 0.7,
  guestFillingsMax: 3,
  guestCount: 1,
  guestSpareCount: 1,
  guestStartMsMax: 60_000,
  quarantineMs: 60_000,
  patienceMs: 200,
  trialsWaitingMax: 1_000,
  compartmentsMax: 200,
  flowsLiveMax: 10_000,
  bundlesMax: 200,
  operationsPendingMax: 1_000,
  operationsMax: 100_000,
  roundsMax: 5_000,
  directRoundsMax: 8,
  directShareMax: 4,
  foreseenMax: 16,
  foreseenCharsMax: 100_000,
  unforeseenMs: 1_000,
  foreseenRequestCharsMax: 1_000_000,
  operationCharsMax: 1_100_000,
  messageCharsMax: 8_100_000,
  stepCharsMax: 10_000_000,
  answerCharsMax: 12_000_000,
  resultCharsMax: 250_000,
  errorCharsMax: 2_000,
  sessionsMax: 1_000,
  sessionUnreadMax: 1_000,
  sessionValueCharsMax: 4_000_000,
  sessionUnreadCharsMax: 8_000_000,
  flowUnreadCharsMax: 32_000_000,
  contextCharsMax: 30_000,
  contextCountMax: 120,
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
  evictedAtOnceMax: 100,
};

/** Processes by default: a processor is left to the rest of the room, and eight is what one room can feed. */
export const guestCountFor = (processorCount: number): number => Math.min(8, Math.max(1, processorCount - 1));
