/**
 * The shell's store port: where machines' states and stores' answers are kept. `postgres` implements it for real;
 * `memory-store.ts` for simulation. One contract suite runs against both.
 */
import type { OutRecord } from '../messages/grammar/record.ts';
import type { Outcome } from '../messages/grammar/envelope.ts';
import type { ItemRange, StoredItem } from './worker.ts';

/**
 * Among what a state has handled, and no stream: a number drawn for a save, by which whoever does not know whether it was done finds out when
 * it reads the state again (H3 of `ears.ts`).
 */
export const saveMark = '#';

/** What is kept of a key beside its items. */
export type StoredState = {
  readonly key: string;
  /** Counts from 1; a save names the version it replaces. */
  readonly version: number;
  /** `null` is a tombstone: the key was removed, but what it handled and owes is still known, so that a repeat is no rebirth. */
  readonly head: unknown;
  /** For each stream (`topic/partition`) the last offset this key has handled; and the mark of the save that had one last (`saveMark`). */
  readonly handled: Readonly<Record<string, number>>;
  /** Effects of the last step: sent again when the state is read from the store before they are known to be durable (W2). */
  readonly owed: readonly OutRecord[];
  readonly dueAt: number | null;
};

export type StateChange = {
  readonly key: string;
  /** The version this change replaces; 0 creates. */
  readonly versionBefore: number;
  /** `null` removes head and items and leaves a tombstone, which `sweep` removes when no repeat can come any more. */
  readonly head: unknown;
  readonly handled: Readonly<Record<string, number>>;
  readonly owed: readonly OutRecord[];
  readonly itemsAdded: readonly StoredItem<unknown>[];
  readonly itemsRemoved: readonly number[];
  readonly dueAt: number | null;
  readonly scope: string | null;
  readonly status: string | null;
  /** The key will hardly be saved again: nothing of it need be remembered. */
  readonly rests?: boolean;
};

export type ParkedRecord = {
  readonly id: string;
  readonly topic: string;
  /** -1 with an offset of -1: an effect that the bus would not take, which never had a place. */
  readonly partition: number;
  readonly offset: number;
  readonly key: string;
  readonly value: string;
  readonly reason: string;
  /** Milliseconds since the epoch. */
  readonly parkedAt: number;
};

export type KeyRange = ItemRange & { readonly key: string };

/** What another room does in the very transaction in which states are saved. Only stores know what it is made of. */
export type JointWork = { readonly joint: unknown };

/** States of one room's machine. */
export type StateStore = {
  /** States that exist among these keys, tombstones too. */
  load(keys: readonly string[]): Promise<readonly StoredState[]>;
  /** Items of these keys, all of them or those of some ranges, each once and in order of position. */
  loadItems(keys: readonly (string | KeyRange)[]): Promise<ReadonlyMap<string, readonly StoredItem<unknown>[]>>;
  /** Writes all changes whose version still stands, atomically, and returns their keys; the others conflict (W5). */
  save(changes: readonly StateChange[]): Promise<ReadonlySet<string>>;
  /**
   * Writes all changes and does the work of the other room, atomically; false where a version does not stand, or something is in the work's way:
   * then neither is done.
   */
  readonly saveWith?: (changes: readonly StateChange[], work: JointWork) => Promise<boolean>;
  /** Keys due at or before `now`, earliest first, and the time of the next one after them. */
  due(now: number, countMax: number): Promise<{ readonly keys: readonly { key: string; dueAt: number }[]; readonly nextDueAt: number | null }>;
  /** Heads by scope and status, the newest born first; `after` is the key of the last one of the page before, whether it is there still or a tombstone. */
  list(filter: { readonly scope: string; readonly status?: string; readonly countMax: number; readonly after?: string }): Promise<readonly StoredState[]>;
  /** Deletes tombstones made before this time, at most so many; returns how many. */
  sweep(before: number, countMax: number): Promise<number>;
};

/** Records that could not be handled (W4), of one room. */
export type ParkingLot = {
  /** Idempotent by id. */
  park(records: readonly ParkedRecord[]): Promise<void>;
  /** The newest first. */
  list(countMax: number): Promise<readonly ParkedRecord[]>;
  find(ids: readonly string[]): Promise<readonly ParkedRecord[]>;
  /** Takes records out, after they were published again. */
  take(ids: readonly string[]): Promise<readonly ParkedRecord[]>;
};

/** Transactions of a room of answers. `Tx` is what its handlers write with. */
export type AnswerStore<Tx> = {
  /**
   * Runs `work` in one transaction; what it throws rolls everything back and is thrown again. So does an answer that is stored already,
   * under the same id: then `work` is run once more and may find it.
   */
  transact<Result>(work: (tx: Tx, answers: StoredAnswers) => Promise<Result>): Promise<Result>;
  /**
   * Does what was foreseen and stores its answers in one statement, which is one transaction. False where something stands in the way, be it an
   * answer that is stored already: then nothing was written.
   */
  readonly atOnce?: (write: unknown, answers: readonly StoredAnswer[]) => Promise<boolean>;
  /** What was foreseen, to be done when another room of this database saves its states. No answers are stored: who saves with it never asks again. */
  readonly joint?: (write: unknown) => JointWork;
};

export type StoredAnswer = {
  readonly requestId: string;
  readonly outcome: Outcome;
  readonly effects: readonly OutRecord[];
  /** Of the request, where a repeat must say the same. */
  readonly digest?: string;
};

export type StoredAnswers = {
  find(requestIds: readonly string[]): Promise<readonly StoredAnswer[]>;
  add(answers: readonly StoredAnswer[]): Promise<void>;
};
