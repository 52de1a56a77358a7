/**
 * Where suspects run: one at a time on a guest of their own, and nobody waits for them long.
 *
 * A turn that is not done within the patience of its batch goes on without it: its flow is told to come again, and what came
 * of the trial is known by then. Compartments take turns, so that an innocent suspect waits behind one flow of each guilty
 * compartment and not behind all of them.
 *
 *     suspect ──▶ waiting ──▶ alone on the guest ──┬─ runs, in time ──▶ its result
 *                                                  ├─ runs, late ──▶ cleared: next time it is waited for
 *                                                  └─ stopped ──▶ guilty: the fault, now or when it comes again
 */
import type { Clock } from '../../../host/clock.ts';
import type { Log } from '../../../observability/log.ts';
import type { Lane, LaneLoss } from './lane.ts';
import type { FaultCode, Turn, TurnResult } from './sandbox.ts';

export type QuarantineLimits = {
  readonly quarantineMs: number;
  /** Milliseconds for which a batch waits for a trial. */
  readonly patienceMs: number;
  /** Trials that wait; more are told to come again. */
  readonly trialsWaitingMax: number;
  /** Milliseconds of processor time of one turn, as the guest has them. */
  readonly turnMsMax: number;
  readonly guestHeapMbMax: number;
};

export type QuarantineOptions = { readonly limits: QuarantineLimits; readonly clock: Clock; readonly log: Log; readonly openLane: () => Lane };

export type Quarantine = {
  /** The guest, when there is one. */
  readonly lane: Lane | undefined;
  confines(turn: Turn): boolean;
  suspect(flowId: string): void;
  confine(compartment: string): void;
  run(turn: Turn): Promise<TurnResult>;
};

type Trial = { readonly turn: Turn; readonly resolve: (result: TurnResult) => void; isAwaited: boolean };
type Fault = Extract<TurnResult, { type: 'fault' }>;

type State = {
  readonly options: QuarantineOptions;
  lane: Lane | undefined;
  readonly suspects: Set<string>;
  /** Compartments in quarantine, and until when. */
  readonly confined: Map<string, number>;
  /** Trials that wait, by compartment; the compartment that was served longest ago stands first. */
  readonly waiting: Map<string, Trial[]>;
  readonly onTrial: Set<string>;
  readonly cleared: Set<string>;
  readonly guilty: Map<string, Fault>;
  isRunning: boolean;
};

/** Flows remembered in each of the lists: one that never comes back must not be remembered for ever. */
const rememberedMax = 10_000;

export const createQuarantine = (options: QuarantineOptions): Quarantine => {
  const state: State = {
    options,
    lane: undefined,
    suspects: new Set(),
    confined: new Map(),
    waiting: new Map(),
    onTrial: new Set(),
    cleared: new Set(),
    guilty: new Map(),
    isRunning: false,
  };
  return {
    get lane() {
      return state.lane;
    },
    confines: ({ flowId, compartment }) => state.suspects.has(flowId) || state.guilty.has(flowId) || state.cleared.has(flowId) || state.onTrial.has(flowId) || isConfined(state, compartment),
    suspect: (flowId) => void remember(state.suspects).add(flowId),
    confine: (compartment) => confine(state, compartment),
    run: (turn) => run(state, turn),
  };
};

const remember = <List extends { readonly size: number; clear(): void }>(list: List): List => {
  if (list.size >= rememberedMax) list.clear();
  return list;
};

const confine = ({ confined, options: { clock, limits } }: State, compartment: string): void => void remember(confined).set(compartment, clock.now() + limits.quarantineMs);

const isConfined = ({ confined, options }: State, compartment: string): boolean => {
  const until = confined.get(compartment);
  if (until === undefined) return false;
  if (until > options.clock.now()) return true;
  confined.delete(compartment);
  return false;
};

// ── Trials ───────────────────────────────────────────────────────────────────────────────────────────────────────────

const run = async (state: State, turn: Turn): Promise<TurnResult> => {
  const { limits, clock } = state.options;
  const { flowId } = turn;
  const fault = state.guilty.get(flowId);
  if (fault !== undefined) {
    state.guilty.delete(flowId);
    return fault;
  }
  if (state.onTrial.has(flowId)) return { type: 'lost', reason: 'the flow runs apart from others, and is not done' };
  if (state.onTrial.size >= limits.trialsWaitingMax) return { type: 'lost', reason: 'too many flows wait to be run apart from others' };
  // What ran well but slowly is worth waiting for, within what a turn may take.
  const patienceMs = state.cleared.delete(flowId) ? limits.patienceMs + limits.turnMsMax : limits.patienceMs;
  return await new Promise<TurnResult>((resolve) => {
    const cancel = clock.after(patienceMs, () => {
      trial.isAwaited = false;
      resolve({ type: 'lost', reason: 'the flow takes long, and runs apart from others' });
    });
    const trial: Trial = {
      turn,
      isAwaited: true,
      resolve: (result) => {
        cancel();
        resolve(result);
      },
    };
    enqueue(state, trial);
    void pump(state);
  });
};

const enqueue = ({ onTrial, waiting }: State, trial: Trial): void => {
  const { flowId, compartment } = trial.turn;
  onTrial.add(flowId);
  const others = waiting.get(compartment);
  if (others === undefined) waiting.set(compartment, [trial]);
  else others.push(trial);
};

/** The next trial; its compartment goes to the end of the line. */
const dequeue = ({ waiting }: State): Trial | undefined => {
  const [first] = waiting;
  if (first === undefined) return undefined;
  const [compartment, trials] = first;
  const trial = trials.shift();
  waiting.delete(compartment);
  if (trials.length > 0) waiting.set(compartment, trials);
  return trial;
};

const pump = async (state: State): Promise<void> => {
  if (state.isRunning) return;
  state.isRunning = true;
  for (let trial = dequeue(state); trial !== undefined; trial = dequeue(state)) await hold(state, trial);
  state.isRunning = false;
};

const hold = async (state: State, trial: Trial): Promise<void> => {
  const { turn } = trial;
  const lane = (state.lane ??= state.options.openLane());
  // What is suspected goes step by step: what it did before it breaks a bound is done, as it would be elsewhere.
  const ran = await lane.run([{ ...turn, foresees: false }]);
  const result = ran.type === 'lost' ? sentence(state, turn, ran) : ran.results[0]!;
  if (ran.type === 'ran') state.suspects.delete(turn.flowId);
  state.onTrial.delete(turn.flowId);
  if (trial.isAwaited) return trial.resolve(result);
  // The flow is ahead of what its store knows of it; it begins again from there.
  lane.forget([turn.flowId]);
  if (result.type === 'fault') remember(state.guilty).set(turn.flowId, result);
  else if (result.type === 'ran') remember(state.cleared).add(turn.flowId);
};

// ── Verdicts ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Alone, a turn's time is its own. Memory may be another's that lives there, so it is tried once more on a new guest. */
const sentence = (state: State, { flowId, compartment }: Turn, loss: LaneLoss): TurnResult => {
  if (loss.suspects.length === 0) return { type: 'lost', reason: loss.reason };
  confine(state, compartment);
  if (!state.suspects.delete(flowId) && loss.cause !== 'time') {
    remember(state.suspects).add(flowId);
    return { type: 'lost', reason: loss.reason };
  }
  state.options.log.warn('flow-sandbox-flow-stopped', { flowId, compartment, reason: loss.reason });
  return faultOf(loss, state.options.limits);
};

const faultOf = ({ cause, reason }: LaneLoss, { turnMsMax, guestHeapMbMax }: QuarantineLimits): Fault => {
  const fault = (code: FaultCode, message: string): Fault => ({ type: 'fault', code, message });
  if (cause === 'time') return fault('FLOW_TIME_EXCEEDED', `the flow ran ${turnMsMax} ms without waiting for anything; is it in an endless loop?`);
  if (cause === 'memory') return fault('FLOW_MEMORY_EXCEEDED', `the flow needs more than ${guestHeapMbMax} MiB of memory`);
  return fault('FLOW_CODE_REFUSED', `the flow ended its sandbox twice: ${reason}`);
};
