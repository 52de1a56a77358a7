/**
 * One thread of the sandbox and what runs on it: batches under way, fibers held, compartments loaded, and a watch on its progress.
 *
 * The thread is started again when the next batch comes; whoever ran on the old one is told that it is lost.
 */
import type { Clock } from '../../../host/clock.ts';
import type { StartThread, Thread, ThreadExit } from '../../../host/threads.ts';
import type { Log } from '../../../observability/log.ts';
import type { FiberLimits } from './fiber.ts';
import type { Turn, TurnResult } from './sandbox.ts';
import type { ThreadData, ToMain, ToThread } from './thread-messages.ts';

export type LaneLimits = FiberLimits & {
  readonly turnMsMax: number;
  readonly threadMemoryMbMax: number;
  readonly threadMemoryShareMax: number;
  readonly compartmentsMax: number;
};

export type LaneOptions = { readonly limits: LaneLimits; readonly startThread: StartThread; readonly clock: Clock; readonly log: Log };

export type LaneLoss = {
  readonly type: 'lost';
  readonly cause: 'time' | 'memory' | 'crash' | 'closed';
  readonly reason: string;
  /** Place in the batch of the turn that was running; absent for a batch that was only waiting. */
  readonly suspect?: number;
};
export type LaneRun = { readonly type: 'ran'; readonly results: readonly TurnResult[] } | LaneLoss;

export type Lane = {
  run(turns: readonly Turn[]): Promise<LaneRun>;
  holds(flowId: string): boolean;
  forget(flowIds: readonly string[]): void;
  close(): Promise<void>;
};

type Batch = { readonly turns: readonly Turn[]; readonly resolve: (run: LaneRun) => void };

type State = {
  readonly options: LaneOptions;
  readonly batches: Map<number, Batch>;
  /** Fibers held, longest idle first, and their compartments. */
  readonly flows: Map<string, string>;
  /** Compartments whose code the thread has, longest unused first. */
  readonly loaded: Map<string, true>;
  thread: Thread | undefined;
  marks: Int32Array;
  batchNext: number;
  /** Ends the watch; set while batches are under way. */
  unwatch: (() => void) | undefined;
  stopping: LaneLoss['cause'] | undefined;
};

/** How often the watch looks, as a share of the time a turn has. */
const looksPerTurn = 4;

export const createLane = (options: LaneOptions): Lane => {
  const state: State = {
    options,
    batches: new Map(),
    flows: new Map(),
    loaded: new Map(),
    thread: undefined,
    marks: newMarks(),
    batchNext: 1,
    unwatch: undefined,
    stopping: undefined,
  };
  start(state);
  return {
    run: (turns) => run(state, turns),
    holds: (flowId) => state.flows.has(flowId),
    forget: (flowIds) => forget(state, flowIds),
    close: async () => {
      state.stopping = 'closed';
      await state.thread?.terminate();
    },
  };
};

const newMarks = (): Int32Array<SharedArrayBuffer> => new Int32Array(new SharedArrayBuffer(12));

const start = (state: State): Thread => {
  const { limits, startThread } = state.options;
  const marks = newMarks();
  state.marks = marks;
  const data: ThreadData = { limits: fiberLimitsOf(limits), progress: marks.buffer };
  const thread = startThread({
    module: new URL('./thread.ts', import.meta.url),
    data,
    memoryMbMax: limits.threadMemoryMbMax,
    // Only thread.ts speaks to us, through its own type.
    onMessage: (message) => hear(state, thread, message as ToMain),
    onExit: (exit) => end(state, thread, exit),
  });
  state.thread = thread;
  return thread;
};

/** Only what the thread needs crosses to it. */
const fiberLimitsOf = (limits: FiberLimits): FiberLimits => ({
  operationsPendingMax: limits.operationsPendingMax,
  operationsMax: limits.operationsMax,
  operationCharsMax: limits.operationCharsMax,
  sessionsMax: limits.sessionsMax,
  logLinesMax: limits.logLinesMax,
  logCharsMax: limits.logCharsMax,
  errorCharsMax: limits.errorCharsMax,
});

// ── Batches ──────────────────────────────────────────────────────────────────────────────────────────────────────────

const run = (state: State, turns: readonly Turn[]): Promise<LaneRun> => {
  if (state.stopping === 'closed') return Promise.resolve({ type: 'lost', cause: 'closed', reason: 'the sandbox is closed' });
  const thread = state.thread ?? start(state);
  const codes: Record<string, string> = {};
  for (const { compartment, fresh } of turns) {
    if (fresh !== undefined && !state.loaded.has(compartment)) codes[compartment] = fresh.code;
    use(state.loaded, compartment, true);
  }
  const batch = state.batchNext++;
  const message: ToThread = { type: 'run', batch, turns: turns.map(withoutCode), codes };
  thread.post(message);
  return new Promise((resolve) => {
    state.batches.set(batch, { turns, resolve });
    watch(state);
  });
};

const withoutCode = (turn: Turn): Turn => (turn.fresh === undefined ? turn : { ...turn, fresh: { ...turn.fresh, code: '' } });

/** Moves an entry to the young end of a map kept in order of use. */
const use = <Value>(map: Map<string, Value>, key: string, value: Value): void => {
  map.delete(key);
  map.set(key, value);
};

const hear = (state: State, thread: Thread, message: ToMain): void => {
  if (thread !== state.thread) return;
  const batch = state.batches.get(message.batch);
  if (batch === undefined) return;
  state.batches.delete(message.batch);
  batch.turns.forEach((turn, i) => {
    const result = message.results[i]!;
    if (result.type === 'ran' && result.finished === undefined) use(state.flows, turn.flowId, turn.compartment);
    else state.flows.delete(turn.flowId);
    // Code that cannot be run is not kept there; whoever comes next sends it again and is told the same.
    if (result.type === 'fault' && result.code === 'FLOW_CODE_REFUSED') state.loaded.delete(turn.compartment);
  });
  if (state.batches.size === 0) state.unwatch?.();
  makeRoom(state, message.heapShare, new Set(batch.turns.map(({ flowId }) => flowId)));
  batch.resolve({ type: 'ran', results: message.results });
};

// ── Room ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

const forget = (state: State, flowIds: readonly string[]): void => {
  const known = flowIds.filter((flowId) => state.flows.delete(flowId));
  const message: ToThread = { type: 'forget', flowIds: known };
  if (known.length > 0) state.thread?.post(message);
};

/** Lets the longest idle half go when the heap is filling, and compartments beyond the bound with all their fibers. */
const makeRoom = (state: State, heapShare: number, busy: ReadonlySet<string>): void => {
  const { limits, log } = state.options;
  if (state.batches.size > 0) return;
  if (heapShare > limits.threadMemoryShareMax) {
    const idle = [...state.flows.keys()].filter((flowId) => !busy.has(flowId));
    const leaving = idle.slice(0, Math.ceil(idle.length / 2));
    log.info('flow-sandbox-memory-filling', { heapShare, held: state.flows.size, forgotten: leaving.length });
    forget(state, leaving);
  }
  for (const compartment of state.loaded.keys()) {
    if (state.loaded.size <= limits.compartmentsMax) return;
    const inside = [...state.flows].filter(([, home]) => home === compartment).map(([flowId]) => flowId);
    forget(state, inside);
    state.loaded.delete(compartment);
    const message: ToThread = { type: 'unload', compartment };
    state.thread?.post(message);
  }
};

// ── The watch, and the end of a thread ───────────────────────────────────────────────────────────────────────────────

/** Looks whether steps are being made while a batch is under way, and stops a thread that makes none for a whole turn's time. */
const watch = (state: State): void => {
  if (state.unwatch !== undefined) return;
  const { clock, limits } = state.options;
  let count = -1;
  let looks = 0;
  let cancel = (): void => {};
  const look = (): void => {
    const now = Atomics.load(state.marks, 0);
    looks = now === count ? looks + 1 : 0;
    count = now;
    // Until the thread has begun, it is starting, which is not the flows' time.
    const begun = Atomics.load(state.marks, 1) !== 0;
    if (begun && looks > looksPerTurn) return stop(state);
    cancel = clock.after(limits.turnMsMax / looksPerTurn, look);
  };
  state.unwatch = () => {
    cancel();
    state.unwatch = undefined;
  };
  look();
};

const stop = (state: State): void => {
  state.stopping = 'time';
  void state.thread?.terminate();
};

const causeOf = (state: State, exit: ThreadExit): LaneLoss['cause'] => state.stopping ?? (exit.type === 'memory' ? 'memory' : 'crash');

const end = (state: State, thread: Thread, exit: ThreadExit): void => {
  if (thread !== state.thread) return;
  const cause = causeOf(state, exit);
  const running = Atomics.load(state.marks, 1);
  const place = Atomics.load(state.marks, 2);
  const batches = [...state.batches];
  state.batches.clear();
  state.flows.clear();
  state.loaded.clear();
  state.thread = undefined;
  state.unwatch?.();
  if (cause === 'time') state.stopping = undefined;
  if (cause === 'crash') state.options.log.error('flow-sandbox-thread-crashed', { exit });
  const reason = reasonOf(cause, exit);
  for (const [batch, { resolve }] of batches) resolve({ type: 'lost', cause, reason, ...(batch === running ? { suspect: place } : {}) });
};

const reasonOf = (cause: LaneLoss['cause'], exit: ThreadExit): string => {
  if (cause === 'time') return 'a flow ran too long and its thread was stopped';
  if (cause === 'memory') return 'a flow used too much memory and its thread ended';
  if (cause === 'closed') return 'the sandbox is closed';
  return `the sandbox thread ended: ${exit.type === 'crash' ? exit.message : exit.type}`;
};
