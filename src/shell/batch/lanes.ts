/**
 * Records that wait to be stepped: one lane a key, in the order in which they came. A lane that must wait holds up no other, and a
 * lane that a round has taken is in no other round until that one gives it back.
 */
import type { HeardRecord } from '../../messages/grammar/record.ts';
import type { Tell } from '../ears.ts';

export type Queued = {
  readonly record: HeardRecord;
  readonly stream: string;
  readonly event: unknown;
  /** Present on wake records: the time for which the key was woken. */
  readonly wakeDueAt: number | undefined;
  /** It was heard early, and the bus could not write it: it was never there. */
  isVoid: boolean;
  /** What its step has for those who wait in this process, until its state is known to be saved (H3 of `ears.ts`). */
  unsaid: Unsaid | undefined;
};

/** `mark`: what the state bears once it is saved (`saveMark` of `store.ts`). */
export type Unsaid = { readonly mark: number; readonly tells: readonly Tell[] };

export type Lane = {
  readonly key: string;
  queue: Queued[];
  /** A step of several records threw: they are stepped one at a time until the culprit is found. */
  oneByOne: boolean;
  /** Not before this time; 0 is at once. */
  waitUntil: number;
  /** A round has it. */
  taken: boolean;
  /** When the key was first not to be stepped, and how often since. */
  refusedSince: number | undefined;
  refusals: number;
  conflicts: number;
  /** Its last round came to nothing, or nobody knows to what: it is looked for in the store, and is stepped by itself. */
  again: boolean;
};

export type Lanes = {
  add(queued: Queued): void;
  /** Those that may be stepped now, the longest known first. */
  ready(now: number): readonly Lane[];
  isTaken(key: string): boolean;
  /** These records are done; the lane leaves when nothing is left in it. */
  remove(lane: Lane, done: ReadonlySet<Queued>): void;
  /** Removes records that were never there. */
  sweep(lane: Lane): void;
  /** When the first lane that waits and is not taken becomes ready. */
  readyAt(): number | undefined;
  /** Records in all lanes. */
  count(): number;
};

export const createLanes = (): Lanes => {
  const lanes = new Map<string, Lane>();
  let held = 0;
  const remove = (lane: Lane, done: ReadonlySet<Queued>): void => {
    const before = lane.queue.length;
    lane.queue = done.size === before ? [] : lane.queue.filter((queued) => !done.has(queued));
    held -= before - lane.queue.length;
    if (lane.queue.length === 0) lanes.delete(lane.key);
  };
  return {
    add: (queued) => {
      const { key } = queued.record;
      held++;
      const lane = lanes.get(key);
      if (lane !== undefined) lane.queue.push(queued);
      else lanes.set(key, { key, queue: [queued], oneByOne: false, waitUntil: 0, taken: false, refusedSince: undefined, refusals: 0, conflicts: 0, again: false });
    },
    ready: (now) => [...lanes.values()].filter(({ waitUntil, taken }) => !taken && waitUntil <= now),
    isTaken: (key) => lanes.get(key)?.taken === true,
    remove,
    sweep: (lane) => remove(lane, new Set(lane.queue.filter(({ isVoid }) => isVoid))),
    readyAt: () => {
      let first: number | undefined;
      for (const { waitUntil, taken } of lanes.values()) if (!taken && (first === undefined || waitUntil < first)) first = waitUntil;
      return first;
    },
    count: () => held,
  };
};

/** The lane moved on: what stood against it is over. */
export const forgive = (lane: Lane): void => {
  lane.refusedSince = undefined;
  lane.refusals = 0;
  lane.conflicts = 0;
  lane.again = false;
  lane.waitUntil = 0;
};
