/**
 * One guest of the sandbox and what runs on it: batches under way, fibers held, compartments loaded.
 *
 * The guest is replaced when the next batch comes; whoever ran on the old one is told that it is lost.
 */
import type { Guest, GuestExit } from '../../../host/guests.ts';
import type { Log } from '../../../observability/log.ts';
import type { FromGuest, ToGuest } from './guest-messages.ts';
import { packTurns, unpackResults } from './packing.ts';
import type { Turn, TurnResult } from './sandbox.ts';
import type { Spares } from './spares.ts';

export type LaneLimits = {
  /** Share of the guest's heap above which its longest idle flows leave it. */
  readonly guestHeapShareMax: number;
  /** Batches in a row that end above it before the guest is replaced: what fills it are not the flows, then. */
  readonly guestFillingsMax: number;
  readonly compartmentsMax: number;
};

export type LaneOptions = { readonly limits: LaneLimits; readonly spares: Spares; readonly log: Log };

export type LaneLoss = {
  readonly type: 'lost';
  readonly cause: 'time' | 'memory' | 'crash' | 'unready' | 'closed';
  readonly reason: string;
  /** Places in the batch of the turns that may have done it: the one that was running, or all, where that is not known. */
  readonly suspects: readonly number[];
};
export type LaneRun = { readonly type: 'ran'; readonly results: readonly TurnResult[]; readonly spent: FromGuest['spent'] } | LaneLoss;

export type Lane = {
  run(turns: readonly Turn[]): Promise<LaneRun>;
  holds(flowId: string): boolean;
  forget(flowIds: readonly string[]): void;
  close(): Promise<void>;
};

type Batch = { readonly turns: readonly Turn[]; readonly resolve: (run: LaneRun) => void };

type State = {
  readonly options: LaneOptions;
  /** Oldest first; the guest runs them in this order. */
  readonly batches: Map<number, Batch>;
  /** Fibers held, longest idle first, and their compartments. */
  readonly flows: Map<string, string>;
  /** Compartments whose code the guest has, longest unused first. */
  readonly loaded: Map<string, true>;
  guest: Guest | undefined;
  batchNext: number;
  /** Batches in a row that ended with a heap too full. */
  fillings: number;
  closed: boolean;
};

export const createLane = (options: LaneOptions): Lane => {
  const state: State = { options, batches: new Map(), flows: new Map(), loaded: new Map(), guest: undefined, batchNext: 1, fillings: 0, closed: false };
  start(state);
  return {
    run: (turns) => run(state, turns),
    holds: (flowId) => state.flows.has(flowId),
    forget: (flowIds) => forget(state, flowIds),
    close: async () => {
      state.closed = true;
      await state.guest?.terminate();
    },
  };
};

const start = (state: State): Guest => {
  const guest = state.options.spares.take({
    // Only guest.ts speaks to us, through its own type.
    onMessage: (message) => hear(state, guest, message as FromGuest),
    onExit: (exit) => end(state, guest, exit),
  });
  state.guest = guest;
  return guest;
};

// ── Batches ──────────────────────────────────────────────────────────────────────────────────────────────────────────

const run = (state: State, turns: readonly Turn[]): Promise<LaneRun> => {
  if (state.closed) return Promise.resolve({ type: 'lost', cause: 'closed', reason: 'the sandbox is closed', suspects: [] });
  const guest = state.guest ?? start(state);
  const codes: Record<string, string> = {};
  for (const { compartment, fresh } of turns) {
    if (fresh !== undefined && !state.loaded.has(compartment)) codes[compartment] = fresh.code;
    use(state.loaded, compartment, true);
  }
  const batch = state.batchNext++;
  const message: ToGuest = { type: 'run', batch, turns: packTurns(turns), codes };
  return new Promise((resolve) => {
    state.batches.set(batch, { turns, resolve });
    guest.post(message);
  });
};

/** Moves an entry to the young end of a map kept in order of use. */
const use = <Value>(map: Map<string, Value>, key: string, value: Value): void => {
  map.delete(key);
  map.set(key, value);
};

const hear = (state: State, guest: Guest, message: FromGuest): void => {
  if (guest !== state.guest) return;
  const batch = state.batches.get(message.batch);
  if (batch === undefined) return;
  const results = unpackResults(message.results, batch.turns.length);
  if (results === undefined) return distrust(state, guest);
  state.batches.delete(message.batch);
  batch.turns.forEach((turn, i) => {
    const result = results[i]!;
    if (result.type === 'ran' && result.finished === undefined) use(state.flows, turn.flowId, turn.compartment);
    else state.flows.delete(turn.flowId);
    // Code that cannot be run is not kept there; whoever comes next sends it again and is told the same.
    if (result.type === 'fault' && result.code === 'FLOW_CODE_REFUSED') state.loaded.delete(turn.compartment);
  });
  state.options.spares.fill();
  makeRoom(state, message.heapShare, batch.turns);
  batch.resolve({ type: 'ran', results, spent: message.spent });
};

/** Code that got out of its compartment may say anything; nothing of what such a guest says is believed. */
const distrust = (state: State, guest: Guest): void => {
  end(state, guest, { type: 'crash', message: 'it said what no guest says' });
  void guest.terminate();
};

// ── Room ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

const forget = (state: State, flowIds: readonly string[]): void => {
  const known = flowIds.filter((flowId) => state.flows.delete(flowId));
  const message: ToGuest = { type: 'forget', flowIds: known };
  if (known.length > 0) state.guest?.post(message);
};

/**
 * Lets the longest idle half go when the heap is filling, and compartments beyond the bound with all their fibers. A heap that
 * stays full holds what an application keeps in its module: the guest is replaced, and nobody is suspected. Other batches may be under way: what they run stays.
 */
const makeRoom = (state: State, heapShare: number, ran: readonly Turn[]): void => {
  const { limits, log } = state.options;
  state.fillings = heapShare > limits.guestHeapShareMax ? state.fillings + 1 : 0;
  if (state.fillings > limits.guestFillingsMax) return retire(state, heapShare);
  if (state.fillings === 0 && state.loaded.size <= limits.compartmentsMax) return;
  const underWay = [...state.batches.values()].flatMap(({ turns }) => turns);
  if (state.fillings > 0) {
    const busy = new Set([...ran, ...underWay].map(({ flowId }) => flowId));
    const idle = [...state.flows.keys()].filter((flowId) => !busy.has(flowId));
    const leaving = idle.slice(0, Math.ceil(idle.length / 2));
    log.info('flow-sandbox-memory-filling', { heapShare, held: state.flows.size, forgotten: leaving.length });
    forget(state, leaving);
  }
  const running = new Set(underWay.map(({ compartment }) => compartment));
  for (const compartment of state.loaded.keys()) {
    if (state.loaded.size <= limits.compartmentsMax) return;
    if (running.has(compartment)) continue;
    const inside = [...state.flows].filter(([, home]) => home === compartment).map(([flowId]) => flowId);
    forget(state, inside);
    state.loaded.delete(compartment);
    const message: ToGuest = { type: 'unload', compartment };
    state.guest?.post(message);
  }
};

const retire = (state: State, heapShare: number): void => {
  const { guest, options, batches } = state;
  const underWay = [...batches.values()];
  options.log.warn('flow-sandbox-guest-replaced', { heapShare, held: state.flows.size, compartments: state.loaded.size, batches: underWay.length });
  clear(state);
  void guest?.terminate();
  for (const { resolve } of underWay) resolve({ type: 'lost', cause: 'closed', reason: 'the sandbox process was replaced', suspects: [] });
};

const clear = (state: State): void => {
  state.batches.clear();
  state.flows.clear();
  state.loaded.clear();
  state.guest = undefined;
  state.fillings = 0;
};

// ── The end of a guest ───────────────────────────────────────────────────────────────────────────────────────────────

const end = (state: State, guest: Guest, exit: GuestExit): void => {
  if (guest !== state.guest) return;
  const batches = [...state.batches];
  const [oldest] = state.batches.keys();
  clear(state);
  const cause = exit.type === 'ended' ? 'closed' : exit.type;
  if (cause === 'crash' || cause === 'unready') state.options.log.error('flow-sandbox-guest-crashed', { exit });
  const reason = reasonOf(exit);
  for (const [batch, { turns, resolve }] of batches) {
    resolve({ type: 'lost', cause, reason, suspects: batch === oldest ? suspectsOf(exit, batch, turns) : [] });
  }
};

const suspectsOf = (exit: GuestExit, batch: number, turns: readonly Turn[]): number[] => {
  if (exit.type === 'ended' || exit.type === 'unready') return [];
  const work = 'work' in exit ? exit.work : undefined;
  return work?.batch === batch ? [work.turn] : turns.map((_, place) => place);
};

const reasonOf = (exit: GuestExit): string => {
  if (exit.type === 'ended') return 'the sandbox is closed';
  const what = { time: 'a flow ran too long', memory: 'a flow used too much memory', crash: 'the sandbox process ended', unready: 'the sandbox process did not start' }[exit.type];
  return `${what} (${exit.message})`;
};
