/**
 * Turns and what came of them, as they cross the border of a guest: lists without the names of their fields, since these take longer to read
 * than what they name. What comes out is checked: where it is made, foreign code runs.
 */
import type { FiberCounters } from '../../../flow-sdk/operations.ts';
import type { Ask, AskKind, Completion, FiberStart, Finished, Fresh, LogLine, Properties, Recalled, ReplayStep, Turn, TurnResult, TurnStep } from './sandbox.ts';

type PackedCompletion = readonly [op: number, json: string] | readonly [op: number, code: string, message: string];
/** What flows of one class at one virtual node have in common, as a rule: most of what a turn that begins one would say. */
type PackedKind = readonly [x500Name: string, groupId: string, shortHash: string, flowClassName: string, flags: readonly string[], context: Properties];
/** What the kind does not say; of a session, the third is a number. */
type PackedStart =
  | readonly [json: string, incarnation: string | null, counters?: FiberCounters]
  | readonly [sessionId: string, counterparty: string, protocolVersion: number, incarnation?: string];
/** `kind`: its place in the list of the batch. */
type PackedFresh = readonly [kind: number, start: PackedStart, journal: readonly ReplayStep[], recall?: readonly number[]];

/** `compartment`: its place in the list of the batch. `after`: milliseconds after the time of the batch. The code does not travel with a turn. */
type PackedTurn = readonly [flowId: string, compartment: number, after: number, completions: readonly PackedCompletion[], fresh?: PackedFresh | 0, foresees?: 1];
export type PackedTurns = {
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly compartments: readonly string[];
  readonly kinds: readonly PackedKind[];
  readonly turns: readonly PackedTurn[];
};

/** Its log lines, where there are any, and then kind, digest and parameters of each ask; nothing of a completion that was dropped. */
type PackedStep = readonly [logs: readonly LogLine[] | 0, ...asks: string[]] | null;
/** The text of a result stands alone. */
type PackedFinished = readonly [result: string | null] | Extract<Finished, { type: 'error' }>;
type PackedRan = readonly [steps: readonly PackedStep[], finished?: PackedFinished | null, recalled?: readonly Recalled[] | 0, foreseen?: readonly number[]];
export type PackedResult = PackedRan | Exclude<TurnResult, { type: 'ran' }>;

// ── To the guest ─────────────────────────────────────────────────────────────────────────────────────────────────────

const packCompletion = (completion: Completion): PackedCompletion =>
  completion.type === 'answer' ? [completion.op, completion.json] : [completion.op, completion.code, completion.message];

const unpackCompletion = ([op, first, second]: PackedCompletion): Completion =>
  second === undefined ? { op, type: 'answer', json: first } : { op, type: 'refused', code: first, message: second };

const packStart = (start: FiberStart): PackedStart => {
  const { incarnation } = start;
  if (start.type === 'input') return start.counters === undefined ? [start.json, incarnation ?? null] : [start.json, incarnation ?? null, start.counters];
  const one = [start.sessionId, start.counterparty, start.protocolVersion] as const;
  return incarnation === undefined ? one : [...one, incarnation];
};

const unpackStart = (packed: PackedStart, context: Properties): FiberStart => {
  if (typeof packed[2] === 'number') {
    // A list of the two kinds whose third is a number is a session's.
    const [sessionId, counterparty, protocolVersion, incarnation] = packed as Extract<PackedStart, readonly [string, string, number, string?]>;
    return { type: 'session', sessionId, counterparty, protocolVersion, context, ...(incarnation === undefined ? {} : { incarnation }) };
  }
  const [json, incarnation, counters] = packed;
  return { type: 'input', json, context, ...(incarnation === null ? {} : { incarnation }), ...(counters === undefined ? {} : { counters }) };
};

const packKind = ({ me, flowClassName, flags, start }: Fresh): PackedKind => [me.x500Name, me.groupId, me.shortHash, flowClassName, flags, start.context];

const isOfKind = ([x500Name, groupId, shortHash, flowClassName, flags, context]: PackedKind, { me, flowClassName: name, flags: own, start }: Fresh): boolean =>
  flowClassName === name && shortHash === me.shortHash && groupId === me.groupId && x500Name === me.x500Name && areFlags(flags, own) && areProperties(context, start.context);

const areFlags = (some: readonly string[], others: readonly string[]): boolean =>
  some === others || (some.length === others.length && some.every((flag, i) => flag === others[i]));

/** Flows that begin at one virtual node are given one object; those of a journal have each their own, and another of the same content perhaps. */
const areProperties = (some: Properties, others: Properties): boolean => {
  if (some === others) return true;
  const names = Object.keys(some);
  return names.length === Object.keys(others).length && names.every((name) => some[name] === others[name]);
};

/** The kinds of a batch. Of one class in one compartment only the last is compared: others are seldom, and are named once more. */
class Kinds {
  readonly all: PackedKind[] = [];
  readonly #last = new Map<string, number>();

  placeOf(compartment: number, fresh: Fresh): number {
    const key = `${compartment} ${fresh.flowClassName}`;
    const last = this.#last.get(key);
    if (last !== undefined && isOfKind(this.all[last]!, fresh)) return last;
    this.#last.set(key, this.all.length);
    return this.all.push(packKind(fresh)) - 1;
  }
}

const packFresh = (fresh: Fresh, kind: number): PackedFresh => {
  const { start, journal, recall } = fresh;
  return recall === undefined ? [kind, packStart(start), journal] : [kind, packStart(start), journal, recall];
};

/** The kind's own values are shared by all flows of it: a fiber keeps no value that its flow could change, nor hands one out. */
const unpackFresh = ([kind, start, journal, recall]: PackedFresh, kinds: readonly PackedKind[]): Fresh => {
  const [x500Name, groupId, shortHash, flowClassName, flags, context] = kinds[kind]!;
  const fresh = { code: '', me: { x500Name, groupId, shortHash }, flowClassName, flags, start: unpackStart(start, context), journal };
  return recall === undefined ? fresh : { ...fresh, recall };
};

export const packTurns = (turns: readonly Turn[]): PackedTurns => {
  const batchAt = turns[0]?.at ?? 0;
  const places = new Map<string, number>();
  const kinds = new Kinds();
  const packed = turns.map(({ flowId, compartment, at, completions, fresh, foresees }): PackedTurn => {
    let place = places.get(compartment);
    if (place === undefined) places.set(compartment, (place = places.size));
    const one = [flowId, place, at - batchAt, completions.map(packCompletion)] as const;
    const begun = fresh === undefined ? undefined : packFresh(fresh, kinds.placeOf(place, fresh));
    if (foresees === true) return [...one, begun ?? 0, 1];
    return begun === undefined ? one : [...one, begun];
  });
  return { at: batchAt, compartments: [...places.keys()], kinds: kinds.all, turns: packed };
};

/** Fresh turns have no code. */
export const unpackTurns = ({ at, compartments, kinds, turns }: PackedTurns): Turn[] =>
  turns.map(([flowId, place, after, completions, fresh, foresees]) => ({
    flowId,
    compartment: compartments[place]!,
    at: at + after,
    completions: completions.map(unpackCompletion),
    ...(fresh === undefined || fresh === 0 ? {} : { fresh: unpackFresh(fresh, kinds) }),
    ...(foresees === 1 ? { foresees: true } : {}),
  }));

// ── From the guest ───────────────────────────────────────────────────────────────────────────────────────────────────

const packStep = ({ asks, logs, dropped }: TurnStep): PackedStep => {
  if (dropped === true) return null;
  const packed: [logs: readonly LogLine[] | 0, ...asks: string[]] = [logs.length === 0 ? 0 : logs];
  for (const { kind, digest, params } of asks) packed.push(kind, digest, params);
  return packed;
};

export const packResult = (result: TurnResult): PackedResult => {
  if (result.type !== 'ran') return result;
  const { finished, recalled, foreseen } = result;
  const steps = result.steps.map(packStep);
  if (finished === undefined && recalled === undefined && foreseen === undefined) return [steps];
  const end = finished?.type === 'result' ? ([finished.result] as const) : (finished ?? null);
  if (foreseen !== undefined) return [steps, end, recalled ?? 0, foreseen];
  return recalled === undefined ? [steps, end] : [steps, end, recalled];
};

/** What a guest said of its turns; `undefined` for what no guest of ours says. */
export const unpackResults = (packed: unknown, count: number): readonly TurnResult[] | undefined => {
  if (!Array.isArray(packed) || packed.length !== count) return undefined;
  const results: TurnResult[] = [];
  for (const one of packed as unknown[]) {
    const result = Array.isArray(one) ? unpackRan(one) : unpackEnd(one);
    if (result === undefined) return undefined;
    results.push(result);
  }
  return results;
};

const unpackRan = ([packed, end, recalled, foreseen]: readonly unknown[]): TurnResult | undefined => {
  if (!Array.isArray(packed)) return undefined;
  const steps: TurnStep[] = [];
  for (const one of packed as unknown[]) {
    const step = unpackStep(one);
    if (step === undefined) return undefined;
    steps.push(step);
  }
  const finished = end === undefined || end === null ? undefined : unpackFinished(end);
  if (finished === undefined && end !== undefined && end !== null) return undefined;
  if (recalled !== undefined && recalled !== 0 && !Array.isArray(recalled)) return undefined;
  if (foreseen !== undefined && !(Array.isArray(foreseen) && foreseen.length <= steps.length && foreseen.every(Number.isSafeInteger))) return undefined;
  return {
    type: 'ran',
    steps,
    ...(finished === undefined ? {} : { finished }),
    // Written by packResult.
    ...(Array.isArray(recalled) ? { recalled: recalled as Recalled[] } : {}),
    ...(foreseen === undefined ? {} : { foreseen: foreseen as number[] }),
  };
};

const droppedStep: TurnStep = { asks: [], logs: [], dropped: true };

const unpackStep = (packed: unknown): TurnStep | undefined => {
  if (packed === null) return droppedStep;
  if (!Array.isArray(packed)) return undefined;
  const asks: Ask[] = [];
  for (let at = 1; at < packed.length; at += 3) {
    const [kind, digest, params] = [packed[at], packed[at + 1], packed[at + 2]] as readonly unknown[];
    if (typeof kind !== 'string' || typeof digest !== 'string' || typeof params !== 'string') return undefined;
    // Which kinds there are is the engine's to know: one that it does not know fails the flow's step there.
    asks.push({ kind: kind as AskKind, digest, params });
  }
  const [logs] = packed as readonly unknown[];
  if (logs === 0) return { asks, logs: [] };
  return Array.isArray(logs) ? { asks, logs: logs as LogLine[] } : undefined;
};

const unpackFinished = (end: unknown): Finished | undefined => {
  if (Array.isArray(end)) {
    const [result] = end as readonly unknown[];
    return result === null || typeof result === 'string' ? { type: 'result', result } : undefined;
  }
  const { type, message } = end as Partial<Extract<Finished, { type: 'error' }>>;
  return type === 'error' && typeof message === 'string' ? (end as Finished) : undefined;
};

const unpackEnd = (one: unknown): TurnResult | undefined => {
  if (typeof one !== 'object' || one === null) return undefined;
  const { type, message, reason } = one as { readonly [field: string]: unknown };
  if (type === 'unforeseen') return { type };
  const isEnd = type === 'lost' ? typeof reason === 'string' : (type === 'fault' || type === 'diverged') && typeof message === 'string';
  return isEnd ? (one as TurnResult) : undefined;
};
