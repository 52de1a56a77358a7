/**
 * The host of a fiber's context: what flow code may ask for becomes asks of the step, numbered and bounded.
 */
import type { AnswerOf, ContextHost, FiberCounters, HostScope, OperationKind } from '../../../flow-sdk/operations.ts';
import { deriveId, originOf, sessionIdOf } from '../../../identity/derive.ts';
import { digestOf } from '../../../messages/grammar/digest.ts';
import type { FiberFault, FiberLimits, FiberOptions, Trace } from './fiber.ts';
import { digest, specsOfKey } from './pure-host.ts';
import type { Ask, AskKind, FaultCode, Finished, Fresh, LogLine } from './sandbox.ts';

type Settle = { readonly kind: OperationKind; readonly resolve: (answer: unknown) => void; readonly reject: (refusal: unknown) => void };

export type FiberState = {
  readonly flowId: string;
  /** What its ids and its chance are derived from: no other flow has it, not even one of the same flow id. */
  readonly origin: string;
  readonly limits: FiberLimits;
  readonly whereOf: FiberOptions['whereOf'];
  readonly trace: Trace | undefined;
  readonly pending: Map<number, Settle>;
  /** Made when the first is given up: few flows do that. */
  givenUp: Set<number> | undefined;
  /** Number of this run's first operation. */
  readonly operationsBefore: number;
  running: boolean;
  at: number;
  operations: number;
  sessions: number;
  uuids: number;
  /** Where its chance stands; nothing before the first time that somebody asks. */
  chance: number | undefined;
  asks: Ask[];
  /** All asks so far, those of the steps before as well. */
  askCount: number;
  /** UTF-16 code units of the parameters of this step's asks. */
  askChars: number;
  logs: LogLine[];
  finished: Finished | undefined;
  fault: FiberFault | undefined;
};

export const initialState = (flowId: string, { start }: Fresh, { limits, whereOf, trace }: FiberOptions): FiberState => {
  const counters = start.type === 'input' ? start.counters : undefined;
  return {
    flowId,
    origin: originOf(flowId, start.incarnation),
    limits,
    whereOf,
    trace,
    pending: new Map(),
    givenUp: undefined,
    operationsBefore: counters?.operations ?? 0,
    running: false,
    at: 0,
    operations: counters?.operations ?? 0,
    sessions: counters?.sessions ?? 0,
    uuids: counters?.uuids ?? 0,
    chance: counters?.chance,
    asks: [],
    askCount: 0,
    askChars: 0,
    logs: [],
    finished: undefined,
    fault: undefined,
  };
};

export const breakOff = (state: FiberState, code: FaultCode, message: string): void => {
  state.fault ??= { code, message };
};

// ── The host of the context ──────────────────────────────────────────────────────────────────────────────────────────

/** Operations that are given up together; a scope inside another is given up with it. */
type Scope = { readonly outer: Scope | undefined; readonly pending: Set<number>; refusal: Refusal | undefined };
type Refusal = { readonly code: string; readonly message: string };

/** What of its beginning a flow may ask for as long as it lives. The rest of it, a journal perhaps, is not kept. */
type Given = Pick<ContextHost, 'me' | 'context'> & { readonly flags: readonly string[] };

export const givenOf = ({ me, flags, start }: Fresh): Given => ({ me: Object.freeze({ ...me }), flags, context: start.context });

/** Flow code never meets it: the context asks it by functions of its own. A class because one is made for every flow. */
export class FiberHost implements ContextHost {
  readonly flowId: string;
  readonly context: ContextHost['context'];
  readonly me: ContextHost['me'];
  readonly #state: FiberState;
  readonly #flags: readonly string[];
  readonly #scope: Scope | undefined;

  constructor(state: FiberState, { me, flags, context }: Given, scope?: Scope) {
    this.flowId = state.flowId;
    this.context = context;
    this.me = me;
    this.#state = state;
    this.#flags = flags;
    this.#scope = scope;
  }

  has(flag: string): boolean {
    return this.#flags.includes(flag);
  }

  operation<Kind extends OperationKind>(kind: Kind, params: unknown): Promise<AnswerOf<Kind>> {
    return perform(this.#state, kind, params, this.#scope);
  }

  openScope(): HostScope {
    const state = this.#state;
    const inner: Scope = { outer: this.#scope, pending: new Set(), refusal: undefined };
    const given = { me: this.me, flags: this.#flags, context: this.context };
    return { host: new FiberHost(state, given, inner), cancel: (refusal) => giveUp(state, inner, refusal) };
  }

  openSession(params: Parameters<ContextHost['openSession']>[0]): { readonly sessionId: string } {
    const state = this.#state;
    if (state.sessions >= state.limits.sessionsMax) {
      breakOff(state, 'FLOW_OPERATIONS_EXCEEDED', `a flow may open ${state.limits.sessionsMax} sessions`);
      throw new Error('too many sessions');
    }
    const sessionId = sessionIdOf(state.origin, state.sessions);
    ask(state, 'session.open', { sessionId, ...params });
    state.sessions += 1;
    return { sessionId };
  }

  counters(): FiberCounters {
    const { operations, sessions, uuids } = this.#state;
    return { operations: operations + 1, sessions, uuids, chance: chanceOf(this.#state) };
  }

  now(): number {
    return this.#state.at;
  }

  random(): number {
    return drawNext(this.#state);
  }

  uuid(): string {
    return deriveId('uuid', this.#state.origin, String(this.#state.uuids++));
  }

  digest(...[algorithm, data]: Parameters<ContextHost['digest']>): string {
    return digest(algorithm, data);
  }

  specsOf(publicKey: string): readonly string[] {
    return specsOfKey(publicKey);
  }

  log(level: LogLine['level'], message: string, fields?: unknown): void {
    writeLog(this.#state, level, message, fields);
  }
}

/** Refuses what is pending in a scope, and tells the engine that nobody waits for it any more. */
const giveUp = (state: FiberState, scope: Scope, refusal: Refusal): void => {
  scope.refusal ??= refusal;
  const ops = [...scope.pending].filter((op) => state.pending.has(op));
  if (ops.length === 0) return;
  ask(state, 'cancel', { ops });
  for (const op of ops) {
    const settlers = state.pending.get(op)!;
    state.pending.delete(op);
    (state.givenUp ??= new Set()).add(op);
    settlers.reject(refusal);
  }
};

const refusalOf = (scope: Scope | undefined): Refusal | undefined => scope?.refusal ?? (scope === undefined ? undefined : refusalOf(scope.outer));

const enter = (scope: Scope | undefined, op: number): void => {
  for (let one = scope; one !== undefined; one = one.outer) one.pending.add(op);
};

/** Puts a question on the list of this step. Throws what writing the parameters throws, before anything is counted. */
const ask = (state: FiberState, kind: AskKind, params: unknown): void => {
  const text = JSON.stringify(params);
  if (!state.running) {
    breakOff(state, 'FLOW_OUT_OF_TURN', `the flow asked for ${kind} while another flow was running: flows must not share promises`);
    throw new Error('a flow may act only in its own turn');
  }
  // A literal refusal, not an error: the SDK makes a FlowPlatformError of it.
  // oxlint-disable-next-line no-throw-literal -- see above
  if (text.length > charsMaxOf(kind, state.limits)) throw tooLarge(kind, text.length, charsMaxOf(kind, state.limits));
  state.askChars += text.length;
  if (state.askChars > state.limits.stepCharsMax) {
    breakOff(state, 'FLOW_OPERATIONS_EXCEEDED', `a flow may ask for ${state.limits.stepCharsMax} characters of parameters before it waits`);
    throw new Error('too much at once');
  }
  state.asks.push({ kind, digest: digestOf(text), params: text });
  if (state.trace?.ask === state.askCount++) state.trace.where = state.whereOf?.(new Error('here'));
};

/** What is sent in a session may be longer than any other parameters: it travels in several messages. */
const charsMaxOf = (kind: AskKind, { operationCharsMax, messageCharsMax }: FiberLimits): number =>
  kind === 'session.send' || kind === 'session.sendAndReceive' || kind === 'session.sendAll' ? messageCharsMax : operationCharsMax;

const tooLarge = (kind: AskKind, length: number, charsMax: number): { code: string; message: string } => ({
  code: kind.startsWith('session.') ? 'SESSION_DATA_TOO_LARGE' : 'OPERATION_INVALID',
  message: `the parameters of ${kind} are ${length} characters of JSON; at most ${charsMax} are allowed`,
});

const perform = <Kind extends OperationKind>(state: FiberState, kind: Kind, params: unknown, scope: Scope | undefined): Promise<AnswerOf<Kind>> => {
  const { limits, pending } = state;
  if (pending.size >= limits.operationsPendingMax) {
    breakOff(state, 'FLOW_OPERATIONS_EXCEEDED', `a flow may have ${limits.operationsPendingMax} operations under way at once`);
  }
  if (state.operations - state.operationsBefore >= limits.operationsMax) {
    breakOff(state, 'FLOW_OPERATIONS_EXCEEDED', `a flow may perform ${limits.operationsMax} operations; one that lives longer goes on with ctx.continueAs`);
  }
  // A flow that broke a bound gets nothing more: it waits for its end.
  if (state.fault !== undefined) return new Promise(() => {});
  const refusal = refusalOf(scope);
  if (refusal !== undefined) return Promise.reject(refusal);
  ask(state, kind, params);
  const op = state.operations++;
  enter(scope, op);
  const promise = new Promise<AnswerOf<Kind>>((resolve, reject) => {
    // The engine answers an operation with what its kind answers.
    pending.set(op, { kind, resolve: resolve as (answer: unknown) => void, reject });
  });
  // An operation that the code does not wait for (the loser of a race) may be refused without anyone listening.
  promise.catch(() => {});
  return promise;
};

/** Hex digits that a sequence begins with. A flow id is digits of chance itself. */
const seedOf = ({ flowId, origin }: FiberState): string => (origin === flowId ? flowId : deriveId('chance', origin));

const chanceOf = (state: FiberState): number => state.chance ?? Number.parseInt(seedOf(state).replaceAll('-', '').slice(0, 8), 16) | 0;

/** The next of a sequence that the origin decides (mulberry32). */
const drawNext = (state: FiberState): number => {
  const chance = (chanceOf(state) + 0x6d2b79f5) | 0;
  state.chance = chance;
  let word = Math.imul(chance ^ (chance >>> 15), 1 | chance);
  word = (word + Math.imul(word ^ (word >>> 7), 61 | word)) ^ word;
  return ((word ^ (word >>> 14)) >>> 0) / 4294967296;
};

/** Reads message and fields in a replay too: they may be objects with code of their own, which must run each time. */
const writeLog = (state: FiberState, level: LogLine['level'], message: unknown, fields: unknown): void => {
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
