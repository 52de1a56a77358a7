/**
 * A fiber: one run of flow code, and the host that its context speaks to.
 *
 *            begin / deliver            everything at rest
 *     idle ──────────────────▶ running ───────────────────▶ idle … ▶ ended (finished or fault)
 *
 * Invariants:
 * - **FB1** operations are numbered in the order in which the code calls them, from 0;
 * - **FB2** the code moves only between `begin` or `deliver` and the following `rest`; what it asks for at another time is a fault;
 * - **FB3** clock, chance and ids come from the turn, the flow id and counters: the same in every replay;
 * - **FB4** values enter and leave as JSON text.
 */
import { runFlow } from '../../../flow-sdk/context.ts';
import type { FlowStart } from '../../../flow-sdk/context.ts';
import type { Flow } from '../../../flow-sdk/flow.ts';
import type { AnswerOf, ContextHost, OperationKind } from '../../../flow-sdk/operations.ts';
import { deriveId, sessionIdOf } from '../../../identity/derive.ts';
import { digestOf } from './ask.ts';
import type { Ask, AskKind, Completion, FaultCode, FiberStart, Finished, Fresh, LogLine, TurnStep, Where } from './sandbox.ts';

export type FiberLimits = {
  readonly operationsPendingMax: number;
  readonly operationsMax: number;
  readonly operationCharsMax: number;
  readonly stepCharsMax: number;
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

export type Fiber = {
  begin(at: number): void;
  deliver(completion: Completion, at: number): void;
  /** Called when everything that the last `begin` or `deliver` set in motion has come to rest: what came of it. */
  rest(): TurnStep;
  /** Number of the next operation. */
  readonly operationCount: number;
  readonly finished: Finished | undefined;
  readonly fault: FiberFault | undefined;
};

type Settle = { readonly resolve: (answer: unknown) => void; readonly reject: (refusal: unknown) => void };

type State = {
  readonly flowId: string;
  readonly limits: FiberLimits;
  readonly whereOf: FiberOptions['whereOf'];
  readonly trace: Trace | undefined;
  readonly pending: Map<number, Settle>;
  running: boolean;
  at: number;
  operations: number;
  sessions: number;
  uuids: number;
  chance: number;
  asks: Ask[];
  /** All asks so far, those of the steps before as well. */
  askCount: number;
  /** UTF-16 code units of the parameters of this step's asks. */
  askChars: number;
  logs: LogLine[];
  finished: Finished | undefined;
  fault: FiberFault | undefined;
};

export const createFiber = (flowId: string, flow: Flow, fresh: Fresh, options: FiberOptions): Fiber => {
  const state = initialState(flowId, options);
  const host = hostOf(state, fresh.me);
  return {
    begin: (at) => {
      state.running = true;
      state.at = at;
      void run(state, flow, host, fresh.start);
    },
    deliver: (completion, at) => {
      state.running = true;
      state.at = Math.max(at, state.at);
      settle(state, completion);
    },
    rest: () => {
      state.running = false;
      const step = { asks: state.asks, logs: state.logs };
      state.asks = [];
      state.askChars = 0;
      state.logs = [];
      return step;
    },
    get operationCount() {
      return state.operations;
    },
    get finished() {
      return state.finished;
    },
    get fault() {
      return state.fault;
    },
  };
};

const initialState = (flowId: string, { limits, whereOf, trace }: FiberOptions): State => ({
  flowId,
  limits,
  whereOf,
  trace,
  pending: new Map(),
  running: false,
  at: 0,
  operations: 0,
  sessions: 0,
  uuids: 0,
  chance: Number.parseInt(flowId.replaceAll('-', '').slice(0, 8), 16) | 0,
  asks: [],
  askCount: 0,
  askChars: 0,
  logs: [],
  finished: undefined,
  fault: undefined,
});

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

const breakOff = (state: State, code: FaultCode, message: string): void => {
  state.fault ??= { code, message };
};

const settle = (state: State, completion: Completion): void => {
  const settlers = state.pending.get(completion.op);
  if (settlers === undefined) return breakOff(state, 'FLOW_JOURNAL_CORRUPT', `operation ${completion.op} is completed, but nobody waits for it`);
  state.pending.delete(completion.op);
  if (completion.type === 'answer') settlers.resolve(JSON.parse(completion.json));
  else settlers.reject({ code: completion.code, message: completion.message });
};

// ── The host of the context ──────────────────────────────────────────────────────────────────────────────────────────

const hostOf = (state: State, me: Fresh['me']): ContextHost => ({
  me: Object.freeze({ ...me }),
  flowId: state.flowId,
  operation: (kind, params) => perform(state, kind, params),
  openSession: (params) => {
    if (state.sessions >= state.limits.sessionsMax) {
      breakOff(state, 'FLOW_OPERATIONS_EXCEEDED', `a flow may open ${state.limits.sessionsMax} sessions`);
      throw new Error('too many sessions');
    }
    const sessionId = sessionIdOf(state.flowId, state.sessions);
    ask(state, 'session.open', { sessionId, ...params });
    state.sessions += 1;
    return { sessionId };
  },
  now: () => state.at,
  random: () => drawNext(state),
  uuid: () => deriveId('uuid', state.flowId, String(state.uuids++)),
  log: (level, message, fields) => writeLog(state, level, message, fields),
});

/** Puts a question on the list of this step. Throws what writing the parameters throws, before anything is counted. */
const ask = (state: State, kind: AskKind, params: unknown): void => {
  const text = JSON.stringify(params);
  if (!state.running) {
    breakOff(state, 'FLOW_OUT_OF_TURN', `the flow asked for ${kind} while another flow was running: flows must not share promises`);
    throw new Error('a flow may act only in its own turn');
  }
  // A literal refusal, not an error: the SDK makes a FlowPlatformError of it.
  // oxlint-disable-next-line no-throw-literal -- see above
  if (text.length > state.limits.operationCharsMax) throw tooLarge(kind, text.length, state.limits.operationCharsMax);
  state.askChars += text.length;
  if (state.askChars > state.limits.stepCharsMax) {
    breakOff(state, 'FLOW_OPERATIONS_EXCEEDED', `a flow may ask for ${state.limits.stepCharsMax} characters of parameters before it waits`);
    throw new Error('too much at once');
  }
  state.asks.push({ kind, digest: digestOf(text), params: text });
  if (state.trace?.ask === state.askCount++) state.trace.where = state.whereOf?.(new Error('here'));
};

const tooLarge = (kind: AskKind, length: number, charsMax: number): { code: string; message: string } => ({
  code: kind.startsWith('session.') ? 'SESSION_DATA_TOO_LARGE' : 'OPERATION_INVALID',
  message: `the parameters of ${kind} are ${length} characters of JSON; at most ${charsMax} are allowed`,
});

const perform = <Kind extends OperationKind>(state: State, kind: Kind, params: unknown): Promise<AnswerOf<Kind>> => {
  const { limits, pending } = state;
  if (pending.size >= limits.operationsPendingMax) {
    breakOff(state, 'FLOW_OPERATIONS_EXCEEDED', `a flow may have ${limits.operationsPendingMax} operations under way at once`);
  }
  if (state.operations >= limits.operationsMax) {
    breakOff(state, 'FLOW_OPERATIONS_EXCEEDED', `a flow may perform ${limits.operationsMax} operations in its life`);
  }
  // A flow that broke a bound gets nothing more: it waits for its end.
  if (state.fault !== undefined) return new Promise(() => {});
  ask(state, kind, params);
  const op = state.operations++;
  const promise = new Promise<AnswerOf<Kind>>((resolve, reject) => {
    // The engine answers an operation with what its kind answers.
    pending.set(op, { resolve: resolve as (answer: unknown) => void, reject });
  });
  // An operation that the code does not wait for (the loser of a race) may be refused without anyone listening.
  promise.catch(() => {});
  return promise;
};

/** The next of a sequence that the flow id decides (mulberry32). */
const drawNext = (state: State): number => {
  state.chance = (state.chance + 0x6d2b79f5) | 0;
  let word = Math.imul(state.chance ^ (state.chance >>> 15), 1 | state.chance);
  word = (word + Math.imul(word ^ (word >>> 7), 61 | word)) ^ word;
  return ((word ^ (word >>> 14)) >>> 0) / 4294967296;
};

/** Reads message and fields in a replay too: they may be objects with code of their own, which must run each time. */
const writeLog = (state: State, level: LogLine['level'], message: unknown, fields: unknown): void => {
  const { logs, limits } = state;
  if (logs.length >= limits.logLinesMax) return;
  const text = String(message).slice(0, limits.logCharsMax);
  const fieldsText = fields === undefined ? undefined : fieldsTextOf(fields);
  const fits = fieldsText !== undefined && fieldsText.length <= limits.logCharsMax;
  logs.push({ level, message: text, ...(fits ? { fields: fieldsText } : {}) });
};

const fieldsTextOf = (fields: unknown): string | undefined => {
  try {
    return JSON.stringify(fields);
  } catch {
    return undefined;
  }
};
