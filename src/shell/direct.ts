/**
 * Requests from one room to another of the same process, answered at once and not by way of the bus.
 *
 *     ask ──▶ worked out together, in one transaction with their stored answers ──▶ outcomes
 *      └─ what fails, takes too long or belongs to a store apart: no outcome ──▶ asked on the bus
 *
 * It is the bus alone that is left out: wire, handler, transaction and stored answer are the same. So a request may go both ways, at the
 * same time even: it is worked out once, and told the same twice (W3). Who asks so before its own state is written must ask the same when
 * its input comes again (W1).
 *
 * Where both rooms are of one database, what is foreseen can be done with the save of who asks (`joint`): then it is done when the state is
 * written, neither before nor behind it, and nothing need be stored for a repeat.
 */
import type { Clock } from '../host/clock.ts';
import type { Carried, Outcome } from '../messages/grammar/envelope.ts';
import type { Log } from '../observability/log.ts';
import type { Metrics } from '../observability/metrics.ts';
import type { Room } from '../messages/grammar/wire.ts';
import { createShellMetrics } from './batch/metrics.ts';
import type { ShellLimits } from './config.ts';
import { messageOf } from './operational.ts';
import type { AnswerStore, JointWork } from './store.ts';
import { workOut, workOutAtOnce, type WorkOut } from './work-out.ts';
import type { Answering } from './worker.ts';

export type DirectAnswers = {
  /** In the order of the requests; `undefined` for one that is to be asked on the bus. Does not throw. */
  ask(requests: readonly Carried<unknown>[]): Promise<readonly (Outcome | undefined)[]>;
  /**
   * All of them with the outcomes that their room foresees, in one statement; `undefined` where that cannot be, or is not known. Then none
   * was done, or all were and are told so when they are asked again. Does not throw.
   */
  askAtOnce(requests: readonly Carried<unknown>[]): Promise<readonly Outcome[] | undefined>;
  /** All of them as part of a save of who asks: with the outcome `done`, and no answers stored. `undefined` where that cannot be. Does nothing yet, and does not throw. */
  joint?(requests: readonly Carried<unknown>[]): Promise<JointWork | undefined>;
};

/** The direct ways of one process: a topic's, where a room of it offers one. */
export type DirectWays = ReadonlyMap<string, DirectAnswers>;

export type DirectOptions = {
  readonly room: Room;
  readonly answering: Answering<any, any, any>;
  readonly answers: AnswerStore<any>;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly limits: ShellLimits;
};

/** Those that this room's own store answers; the others would wait for a store that may be slow or away. */
const ownAmong = async ({ apart }: Answering<any, any, any>, requests: readonly Carried<unknown>[]): Promise<readonly Carried<unknown>[]> => {
  const stores = await apart?.storesOf(requests);
  return stores === undefined ? requests : requests.filter((_, at) => stores[at] === undefined);
};

const outcomesBy = async (work: WorkOut, requests: readonly Carried<unknown>[]): Promise<ReadonlyMap<Carried<unknown>, Outcome>> => {
  const own = await ownAmong(work.answering, requests);
  if (own.length === 0) return new Map();
  const { told, effects } = await workOut(work, own);
  // What is owed beside an answer leaves by way of the bus, with the answer.
  return effects.length > 0 ? new Map() : new Map(told.map(({ request, outcome }) => [request, outcome]));
};

const outcomesAtOnce = async (work: WorkOut, requests: readonly Carried<unknown>[]): Promise<readonly Outcome[] | undefined> => {
  const own = await ownAmong(work.answering, requests);
  const worked = own.length < requests.length ? undefined : await workOutAtOnce(work, requests);
  return worked === undefined || worked.effects.length > 0 ? undefined : worked.told.map(({ outcome }) => outcome);
};

const jointOf = async ({ answering, answers, clock }: WorkOut, requests: readonly Carried<unknown>[]): Promise<JointWork | undefined> => {
  const own = await ownAmong(answering, requests);
  const foreseen = own.length < requests.length ? undefined : answering.foresee?.(requests, clock.now());
  const isPlain = foreseen?.answered.every(({ outcome, effects = [] }) => outcome.type === 'done' && effects.length === 0) === true;
  return isPlain ? answers?.joint?.(foreseen.write) : undefined;
};

export const createDirectAnswers = ({ room, answering, answers, clock, log, metrics: given, limits }: DirectOptions): DirectAnswers => {
  const { topic } = answering.wire;
  const metrics = createShellMetrics(given, room, `${topic} direct`);
  const work: WorkOut = { room, answering, answers, clock, metrics, looks: false };
  const inTime = async <Result>(asking: Promise<Result>, requests: number): Promise<Result | undefined> => {
    const { promise: over, resolve } = Promise.withResolvers<undefined>();
    const cancel = clock.after(limits.directMsMax, () => {
      log.warn('direct-answers-late', { topic, requests });
      resolve(undefined);
    });
    try {
      return await Promise.race([asking, over]);
    } finally {
      cancel();
    }
  };
  const tried = async <Result>(asking: Promise<Result>, requests: number): Promise<Result | undefined> => {
    try {
      return await inTime(asking, requests);
    } catch (error) {
      log.warn('direct-answers-failed', { topic, requests, reason: messageOf(error) });
      return undefined;
    }
  };
  return {
    ask: async (requests) => {
      const outcomes = await tried(outcomesBy(work, requests), requests.length);
      return requests.map((request) => outcomes?.get(request));
    },
    ...(answers.joint === undefined ? {} : { joint: (requests) => tried(jointOf(work, requests), requests.length) }),
    askAtOnce: (requests) => tried(outcomesAtOnce(work, requests), requests.length),
  };
};
