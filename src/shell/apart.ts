/**
 * Requests of one wire whose work is done, and whose answers are kept, in stores of their own: a lane for each such store, so that one that is
 * slow or away holds up nobody else (W5).
 *
 *     taken ──▶ here                     answered by the batch that took them
 *           └─▶ lane of its store ──▶ answered by that store ──▶ on the bus ──▶ done
 *                        └─ the store is away: answered `away`, which is kept nowhere, so whoever asks again is answered then
 */
import type { Carried, Delivery, Refusal } from '../messages/grammar/envelope.ts';
import type { Log } from '../observability/log.ts';
import { isOperational } from './operational.ts';
import type { AnswerStore } from './store.ts';

type Stores = readonly (AnswerStore<any> | undefined)[] | undefined;

export type Apart<Body> = {
  /** In the order of the requests; `undefined` for one, or for all together, that is worked out in the room's own store. A lane's store is always the same object. */
  readonly storesOf: (requests: readonly Carried<Body>[]) => Stores | Promise<Stores>;
  /** Must be transient: whether the work was done may be unknown, and asking again tells. */
  readonly away: () => Refusal;
};

type Request = Delivery<unknown>;

export type LanesOptions = {
  readonly apart: Apart<any>;
  /** Of one batch. */
  readonly requestsMax: number;
  /** Requests that wait in one lane; what comes beyond them is answered `away`, so that they fill no memory. */
  readonly waitingMax: number;
  /** Works the requests out in this store; their answers are then on their way. */
  readonly answer: (store: AnswerStore<any>, requests: readonly Request[]) => Promise<void>;
  /** Answers all of them so. */
  readonly refuse: (requests: readonly Request[], refusal: Refusal) => void;
  /** Sees what is on its way onto the bus; a batch does so by itself. */
  readonly deliver: () => Promise<void>;
  /** They are to be taken again. */
  readonly giveBack: (requests: readonly Request[]) => void;
  readonly log: Log;
};

export type Lanes = {
  /** Takes charge of what belongs elsewhere and gives the rest back. When it throws, it has taken nothing; what a lane died of is the loop's, too. */
  take(requests: readonly Request[]): Promise<readonly Request[]>;
};

export const createLanes = ({ apart, requestsMax, waitingMax, answer, refuse, deliver, giveBack, log }: LanesOptions): Lanes => {
  const lanes = new Map<AnswerStore<any>, Request[]>();
  let failure: { readonly error: unknown } | undefined;

  const answerBatch = async (store: AnswerStore<any>, requests: readonly Request[]): Promise<void> => {
    try {
      await answer(store, requests);
    } catch (error) {
      if (!isOperational(error)) throw error;
      log.warn('store-away', { requests: requests.length, error });
      refuse(requests, apart.away());
    }
  };
  /** Until nothing waits; then the lane is no more. */
  const run = async (store: AnswerStore<any>, waiting: Request[]): Promise<void> => {
    while (waiting.length > 0) {
      const requests = waiting.splice(0, requestsMax);
      try {
        await answerBatch(store, requests);
      } catch (error) {
        failure ??= { error };
        giveBack([...requests, ...waiting.splice(0)]);
      }
      // What the bus does not take now leaves with the next batch.
      await deliver().catch((error: unknown) => log.warn('lane-not-delivered', { error }));
    }
    lanes.delete(store);
  };
  const put = (store: AnswerStore<any>, requests: readonly Request[]): readonly Request[] => {
    const waiting = lanes.get(store);
    if (waiting === undefined) {
      const begun = [...requests];
      lanes.set(store, begun);
      void run(store, begun);
      return [];
    }
    const room = Math.max(0, waitingMax - waiting.length);
    waiting.push(...requests.slice(0, room));
    return requests.slice(room);
  };

  return {
    take: async (requests) => {
      if (failure !== undefined) {
        const { error } = failure;
        failure = undefined;
        throw error;
      }
      const stores = await apart.storesOf(requests);
      if (stores === undefined) return requests;
      const here: Request[] = [];
      const elsewhere = new Map<AnswerStore<any>, Request[]>();
      for (const [at, request] of requests.entries()) {
        const store = stores[at];
        if (store === undefined) here.push(request);
        else elsewhere.set(store, [...(elsewhere.get(store) ?? []), request]);
      }
      const surplus = [...elsewhere].flatMap(([store, group]) => put(store, group));
      if (surplus.length > 0) refuse(surplus, apart.away());
      return here;
    },
  };
};
