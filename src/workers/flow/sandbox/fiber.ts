/**
 * A fiber: one run of flow code. The host that its context speaks to stands in fiber-host.ts.
 *
 *            begin / deliver            everything at rest
 *     idle ──────────────────▶ running ───────────────────▶ idle … ▶ ended (finished or fault)
 *
 * Invariants:
 * - **FB1** operations are numbered in the order in which the code calls them, from 0, or from where the run before it ended;
 * - **FB2** the code moves only between `begin` or `deliver` and the following `rest`; what it asks for at another time is a fault;
 * - **FB3** clock, chance and ids come from the turn, the flow id, its incarnation and counters: the same in every replay;
 * - **FB4** values enter and leave as JSON text;
 * - **FB5** an operation that was given up is never completed: what comes for it is handed back.
 */
import { runFlow } from '../../../flow-sdk/context.ts';
import type { FlowStart } from '../../../flow-sdk/context.ts';
import type { Flow } from '../../../flow-sdk/flow.ts';
import type { ContextHost } from '../../../flow-sdk/operations.ts';
import { foreseeableKinds } from './ask.ts';
import { breakOff, FiberHost, givenOf, initialState } from './fiber-host.ts';
import type { FiberState as State } from './fiber-host.ts';
import type { Completion, FaultCode, FiberStart, Finished, Fresh, TurnStep, Where } from './sandbox.ts';

export type FiberLimits = {
  readonly operationsPendingMax: number;
  readonly operationsMax: number;
  readonly operationCharsMax: number;
  readonly messageCharsMax: number;
  readonly stepCharsMax: number;
  readonly foreseenMax: number;
  readonly foreseenCharsMax: number;
  readonly resultCharsMax: number;
  readonly sessionsMax: number;
  readonly logLinesMax: number;
  readonly logCharsMax: number;
  readonly errorCharsMax: number;
};

/** One ask of a flow whose place in the code is wanted: its number among all of them, from 0. */
export type Trace = { readonly ask: number; where: Where | undefined };

export type FiberOptions = {
  readonly limits: FiberLimits;
  readonly whereOf: ((error: unknown) => Where) | undefined;
  readonly trace: Trace | undefined;
};

export type FiberFault = { readonly code: FaultCode; readonly message: string };

/** Begins once. A class because one is made for every flow: its functions are everybody's. */
export class Fiber {
  readonly #state: State;
  #beginning: { readonly flow: Flow; readonly fresh: Fresh } | undefined;

  constructor(flowId: string, flow: Flow, fresh: Fresh, options: FiberOptions) {
    this.#state = initialState(flowId, fresh, options);
    this.#beginning = { flow, fresh };
  }

  begin(at: number): void {
    const { flow, fresh } = this.#beginning!;
    this.#beginning = undefined;
    this.#state.running = true;
    this.#state.at = at;
    void run(this.#state, flow, new FiberHost(this.#state, givenOf(fresh)), fresh.start);
  }

  deliver(completion: Completion, at: number): void {
    const state = this.#state;
    state.running = true;
    state.at = Math.max(at, state.at);
    settle(state, completion);
  }

  /** False for an operation that the code has given up: what completes it must not be delivered. */
  wants(op: number): boolean {
    return this.#state.givenUp?.has(op) !== true;
  }

  /** Called when everything that the last `begin` or `deliver` set in motion has come to rest: what came of it. */
  rest(): TurnStep {
    const state = this.#state;
    state.running = false;
    const step = { asks: state.asks, logs: state.logs };
    state.asks = [];
    state.askChars = 0;
    state.logs = [];
    return step;
  }

  /** The operation to be completed next, where all that the fiber waits for are answers that can be foreseen. */
  get foreseeable(): number | undefined {
    const { pending, fault, finished } = this.#state;
    if (fault !== undefined || finished !== undefined) return undefined;
    let first: number | undefined;
    for (const [op, { kind }] of pending) {
      if (!foreseeableKinds.has(kind)) return undefined;
      first ??= op;
    }
    return first;
  }

  /** Number of the next operation. */
  get operationCount(): number {
    return this.#state.operations;
  }

  get finished(): Finished | undefined {
    return this.#state.finished;
  }

  get fault(): FiberFault | undefined {
    return this.#state.fault;
  }
}

// ── The beginning and the end ────────────────────────────────────────────────────────────────────────────────────────

const run = async (state: State, flow: Flow, host: ContextHost, start: FiberStart): Promise<void> => {
  let finished: Finished;
  try {
    finished = finishedBy(await runFlow(flow, host, startOf(start)), state);
  } catch (error) {
    const where = state.whereOf?.(error) ?? [];
    finished = { type: 'error', message: describeError(error, state.limits.errorCharsMax), ...(where.length === 0 ? {} : { where }) };
  }
  if (!state.running) breakOff(state, 'FLOW_OUT_OF_TURN', 'the flow ended while another flow was running: flows must not share promises');
  state.finished = finished;
};

/** A result beyond its bound does not even leave the sandbox. */
const finishedBy = (result: string | null, state: State): Finished => {
  const charsMax = state.limits.resultCharsMax;
  if (result === null || result.length <= charsMax) return { type: 'result', result };
  breakOff(state, 'FLOW_RESULT_TOO_LARGE', `the result is ${result.length} characters long; at most ${charsMax} are kept: store it with ctx.db and return its id`);
  return { type: 'result', result: null };
};

const startOf = (start: FiberStart): FlowStart => {
  if (start.type === 'input') return { type: 'input', input: JSON.parse(start.json) };
  const { sessionId, counterparty, protocolVersion } = start;
  return { type: 'session', session: { sessionId, counterparty, protocolVersion } };
};

/** Reads what was thrown, which may be anything, hostile getters included. */
const describeError = (error: unknown, charsMax: number): string => {
  try {
    if (typeof error !== 'object' || error === null) return String(error).slice(0, charsMax);
    // Any object may be asked for these properties; what they give is checked.
    const { message, name, code, cordageError } = error as Record<string, unknown>;
    const text = typeof message === 'string' && message !== '' ? message : typeof name === 'string' ? name : 'an error without a message';
    return (cordageError === 1 && typeof code === 'string' ? `${code}: ${text}` : text).slice(0, charsMax);
  } catch {
    return 'an error that cannot be read';
  }
};

const settle = (state: State, completion: Completion): void => {
  const settlers = state.pending.get(completion.op);
  if (settlers === undefined) return breakOff(state, 'FLOW_JOURNAL_CORRUPT', `operation ${completion.op} is completed, but nobody waits for it`);
  state.pending.delete(completion.op);
  if (completion.type === 'answer') settlers.resolve(JSON.parse(completion.json));
  else settlers.reject({ code: completion.code, message: completion.message });
};
