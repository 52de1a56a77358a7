/**
 * Works requests of one wire out, together: one transaction, in which stored answers are found, the others are worked out and stored (W3).
 *
 * Where a repeat must say the same (`isIndependent`), the digest of the request is stored with its answer: one that comes again under the
 * same id and says something else is refused, so that nobody takes an answer for one to another question.
 */
import { digestOf } from '../messages/grammar/digest.ts';
import type { Carried, Outcome, Refusal } from '../messages/grammar/envelope.ts';
import type { OutRecord } from '../messages/grammar/record.ts';
import type { Room } from '../messages/grammar/wire.ts';
import type { Clock } from '../host/clock.ts';
import { withoutTombstones } from './batch/readers.ts';
import type { ShellMetrics } from './batch/metrics.ts';
import type { Probe } from './operational.ts';
import type { AnswerStore, StateStore, StoredAnswer, StoredAnswers } from './store.ts';
import type { Answered, Answering } from './worker.ts';

export type WorkOut = {
  readonly room: Room;
  readonly answering: Answering<any, any, any>;
  /** Required unless the wire stores no answers. */
  readonly answers: AnswerStore<any> | undefined;
  /** What handlers without an answer store read from: the states of the room's machine. */
  readonly states?: StateStore | undefined;
  readonly clock: Clock;
  readonly metrics: ShellMetrics;
  readonly probe?: Probe | undefined;
  /**
   * Whether stored answers are looked for at the first try. Repeats are rare: an independent wire looks for their answers only when the
   * store would not take one twice, and all is worked out again.
   */
  readonly looks: boolean;
};

type Asked = Carried<unknown>;
export type Told<Of extends Asked> = { readonly request: Of; readonly outcome: Outcome };
export type WorkedOut<Of extends Asked> = { readonly told: readonly Told<Of>[]; readonly effects: readonly OutRecord[] };

/** What a probe throws is the end of the process, not a request's fault. */
export class ProbeCrash extends Error {}

const crashing = async (probe: () => void | Promise<void>): Promise<void> => {
  try {
    await probe();
  } catch (cause) {
    throw new ProbeCrash('crashed by a probe', { cause });
  }
};

/** Answers of several wires may share a table: the same request id on two wires is two requests. */
const storedIdOf = ({ record, id }: Asked): string => `${record.topic}/${id}`;

const nothingStored: StoredAnswers = { find: async () => [], add: async () => {} };

export const storesAnswers = ({ storesAnswers: stores = true }: Answering<any, any, any>): boolean => stores;

/** Runs the work where this wire's answers live. */
const transact = <Result>({ answering, answers, states }: WorkOut, work: (tx: unknown, answers: StoredAnswers) => Promise<Result>): Promise<Result> => {
  if (answers === undefined) {
    return work(states === undefined ? undefined : { states: withoutTombstones(states) }, nothingStored);
  }
  return answers.transact((tx, stored) => work(tx, storesAnswers(answering) ? stored : nothingStored));
};

const uniqueById = <Of extends Asked>(requests: readonly Of[]): ReadonlyMap<string, Of> => {
  const unique = new Map<string, Of>();
  for (const request of requests) {
    const id = storedIdOf(request);
    if (!unique.has(id)) unique.set(id, request);
  }
  return unique;
};

const storedOf = ({ answering }: WorkOut, requestId: string, { record }: Asked, { outcome, effects = [] }: Answered<unknown>): StoredAnswer => ({
  requestId,
  outcome,
  effects,
  ...(answering.isIndependent === true ? { digest: digestOf(record.value) } : {}),
});

/** Where all of it is foreseen and its store can do it in one statement. A repeat is not looked for: it stands in the way of its answer. */
const answersAtOnce = async (options: WorkOut, unique: ReadonlyMap<string, Asked>): Promise<ReadonlyMap<string, StoredAnswer> | undefined> => {
  const { answering, answers, clock, looks } = options;
  if (looks || answers?.atOnce === undefined) return undefined;
  const foreseen = answering.foresee?.([...unique.values()], clock.now());
  if (foreseen === undefined) return undefined;
  const added = [...unique].map(([requestId, request], i) => storedOf(options, requestId, request, foreseen.answered[i]!));
  return (await answers.atOnce(foreseen.write, added)) ? new Map(added.map((one) => [one.requestId, one])) : undefined;
};

/** All answers by stored id: those found and those worked out now. */
const answersTo = (options: WorkOut, unique: ReadonlyMap<string, Asked>): Promise<ReadonlyMap<string, StoredAnswer>> => {
  let tries = 0;
  return transact(options, async (tx, stored) => {
    const { answering, clock, metrics, probe, looks } = options;
    const found = looks || tries++ > 0 ? await stored.find([...unique.keys()]) : [];
    const answers = new Map(found.map((one) => [one.requestId, one]));
    metrics.count('repeat', answering.wire.topic, found.length);
    const fresh = [...unique].filter(([id]) => !answers.has(id));
    if (fresh.length === 0) return answers;
    const answered: readonly Answered<unknown>[] = await answering.answer(fresh.map(([, request]) => request), tx, clock.now());
    if (answered.length !== fresh.length) throw new Error(`${answering.wire.topic}: ${answered.length} answers for ${fresh.length} requests`);
    const added = fresh.map(([requestId, request], i) => storedOf(options, requestId, request, answered[i]!));
    await stored.add(added);
    for (const one of added) answers.set(one.requestId, one);
    await crashing(() => probe?.('stepped'));
    return answers;
  });
};

/** All of them with the outcomes that are foreseen, in one statement; `undefined` where that cannot be, and then none of them is done. */
export const workOutAtOnce = async (options: WorkOut, requests: readonly Asked[]): Promise<WorkedOut<Asked> | undefined> => {
  const unique = uniqueById(requests);
  if (unique.size < requests.length) return undefined;
  const answers = await options.metrics.timed('step', () => answersAtOnce(options, unique));
  if (answers === undefined) return undefined;
  const all = [...answers.values()];
  return { told: requests.map((request, i) => ({ request, outcome: all[i]!.outcome })), effects: all.flatMap(({ effects }) => effects) };
};

const changed = ({ room }: WorkOut, { id }: Asked): Refusal => ({
  type: 'refused',
  code: `${room.toUpperCase().replaceAll('-', '_')}_REQUEST_CHANGED`,
  message: `the request ${id} was answered before, and then it said something else`,
  fault: 'fatal',
});

const outcomeFor = (options: WorkOut, request: Asked, { outcome, digest }: StoredAnswer): Outcome =>
  digest === undefined || digest === digestOf(request.record.value) ? outcome : changed(options, request);

export const workOut = async <Of extends Asked>(options: WorkOut, requests: readonly Of[]): Promise<WorkedOut<Of>> => {
  const unique = uniqueById(requests);
  const answers = await options.metrics.timed('step', async () => (await answersAtOnce(options, unique)) ?? answersTo(options, unique));
  return {
    told: requests.map((request) => ({ request, outcome: outcomeFor(options, request, answers.get(storedIdOf(request))!) })),
    effects: [...answers.values()].flatMap(({ effects }) => effects),
  };
};
