/**
 * The store port in memory: for simulation, tests and rooms that keep nothing. What is saved is kept as JSON text, as
 * PostgreSQL keeps it, so that a machine that changes a head it has handed over is found out.
 */
import { utf8 } from '../cipher/bytes.ts';
import type { OutRecord } from '../messages/grammar/record.ts';
import type { AnswerStore, ParkedRecord, ParkingLot, StateChange, StateStore, StoredAnswer, StoredAnswers, StoredState } from './store.ts';
import type { ItemRange, StoredItem } from './worker.ts';

type Row = {
  readonly version: number;
  /** JSON text; `null` is a tombstone. */
  readonly head: string | null;
  readonly handled: string;
  readonly owed: string;
  readonly dueAt: number | null;
  readonly scope: string | null;
  readonly status: string | null;
  /** Milliseconds since the epoch. */
  readonly updatedAt: number;
  /** Which birth of a key this was, counted over all keys. */
  readonly birth: number;
};

// What was written by JSON.stringify reads back with the same shape.
const parseHandled = (text: string): Record<string, number> => JSON.parse(text) as Record<string, number>;
const parseOwed = (text: string): OutRecord[] => JSON.parse(text) as OutRecord[];

const stateOf = (key: string, row: Row): StoredState => ({
  key,
  version: row.version,
  head: row.head === null ? null : JSON.parse(row.head),
  handled: parseHandled(row.handled),
  owed: parseOwed(row.owed),
  dueAt: row.dueAt,
});

const rowOf = (change: StateChange, updatedAt: number, birth: number): Row => ({
  version: change.versionBefore + 1,
  head: change.head === null ? null : JSON.stringify(change.head),
  handled: JSON.stringify(change.handled),
  owed: JSON.stringify(change.owed),
  dueAt: change.dueAt,
  scope: change.scope,
  status: change.status,
  updatedAt,
  birth,
});

const saveItems = (items: Map<string, Map<number, string>>, change: StateChange): void => {
  if (change.head === null) return void items.delete(change.key);
  if (change.itemsAdded.length === 0 && change.itemsRemoved.length === 0) return;
  const own = items.get(change.key) ?? new Map<number, string>();
  items.set(change.key, own);
  for (const position of change.itemsRemoved) own.delete(position);
  for (const { position, value } of change.itemsAdded) own.set(position, JSON.stringify(value));
};

const readItems = (own: Map<number, string> | undefined): StoredItem<unknown>[] =>
  [...(own ?? [])].sort(([one], [other]) => one - other).map(([position, value]) => ({ position, value: JSON.parse(value) }));

const readRange = (own: Map<number, string> | undefined, { after, countMax, bytesMax }: ItemRange): StoredItem<unknown>[] => {
  const behind = [...(own ?? [])].filter(([position]) => position > after).sort(([one], [other]) => one - other);
  let bytes = 0;
  const fits = behind.slice(0, countMax).filter(([, value]) => (bytes += utf8(value).length) - utf8(value).length < bytesMax);
  return fits.map(([position, value]) => ({ position, value: JSON.parse(value) }));
};

export type MemoryStoreOptions = { readonly now?: () => number };

export const createMemoryStateStore = ({ now = Date.now }: MemoryStoreOptions = {}): StateStore => {
  const rows = new Map<string, Row>();
  const items = new Map<string, Map<number, string>>();
  let births = 0;
  const save = (changes: readonly StateChange[]): ReadonlySet<string> => {
    const saved = new Set<string>();
    for (const change of changes) {
      const before = rows.get(change.key);
      if ((before?.version ?? 0) !== change.versionBefore) continue;
      const livesOn = before !== undefined && (before.head !== null || change.head === null);
      rows.set(change.key, rowOf(change, now(), livesOn ? before.birth : ++births));
      saveItems(items, change);
      saved.add(change.key);
    }
    return saved;
  };
  return {
    load: async (keys) =>
      keys.flatMap((key) => {
        const row = rows.get(key);
        return row === undefined ? [] : [stateOf(key, row)];
      }),
    loadItems: async (wanted) => {
      const found = new Map<string, Map<number, StoredItem<unknown>>>();
      for (const one of wanted) {
        const key = typeof one === 'string' ? one : one.key;
        const known = found.get(key) ?? new Map<number, StoredItem<unknown>>();
        found.set(key, known);
        for (const item of typeof one === 'string' ? readItems(items.get(key)) : readRange(items.get(key), one)) known.set(item.position, item);
      }
      return new Map([...found].map(([key, known]) => [key, [...known.values()].sort((one, other) => one.position - other.position)]));
    },
    save: async (changes) => save(changes),
    saveWith: async (changes, { joint }) => {
      const stands = ({ key, versionBefore }: StateChange): boolean => (rows.get(key)?.version ?? 0) === versionBefore;
      // Made by a store of answers below.
      return (joint as MemoryJoint)(() => changes.every(stands) && save(changes).size === changes.length);
    },
    due: async (time, countMax) => {
      const timed = [...rows].flatMap(([key, { dueAt }]) => (dueAt === null ? [] : [{ key, dueAt }]));
      timed.sort((one, other) => one.dueAt - other.dueAt || (one.key < other.key ? -1 : 1));
      const keys = timed.filter(({ dueAt }) => dueAt <= time).slice(0, countMax);
      return { keys, nextDueAt: timed[keys.length]?.dueAt ?? null };
    },
    list: async ({ scope, status, countMax, after }) =>
      [...rows]
        .filter(([, row]) => (after === undefined || row.birth < (rows.get(after)?.birth ?? 0)) && row.head !== null && row.scope === scope && (status === undefined || row.status === status))
        .sort(([, one], [, other]) => other.birth - one.birth)
        .slice(0, countMax)
        .map(([key, row]) => stateOf(key, row)),
    sweep: async (before, countMax) => {
      const old = [...rows].filter(([, row]) => row.head === null && row.updatedAt < before).slice(0, countMax);
      for (const [key] of old) rows.delete(key);
      return old.length;
    },
  };
};

export const createMemoryParkingLot = (): ParkingLot => {
  const parked = new Map<string, ParkedRecord>();
  const find = (ids: readonly string[]): ParkedRecord[] =>
    [...new Set(ids)].flatMap((id) => {
      const record = parked.get(id);
      return record === undefined ? [] : [record];
    });
  return {
    park: async (records) => {
      for (const record of records) if (!parked.has(record.id)) parked.set(record.id, record);
    },
    list: async (countMax) => [...parked.values()].reverse().slice(0, countMax),
    find: async (ids) => find(ids),
    take: async (ids) => {
      const taken = find(ids);
      for (const { id } of taken) parked.delete(id);
      return taken;
    },
  };
};

/** A second answer under the id of a first. */
class AnswerStored extends Error {}
/** Of what was foreseen. */
class InTheWay extends Error {}

/** Does its work and then the save of whom it is joint with, if nothing is in the way of either; else neither. */
export type MemoryJoint = (save: () => boolean) => Promise<boolean>;

// As in a database's store, what is written is the room's own.
export type MemoryAtOnce<Tx> = (tx: Tx, write: any) => Promise<boolean>;

/**
 * Transactions run one after another, as under the strictest isolation. `rollback` undoes what the work did to the
 * caller's own data; without it only the answers are rolled back.
 */
export const createMemoryAnswerStore = <Tx>(makeTx: () => Tx, rollback?: (tx: Tx) => void, atOnce?: MemoryAtOnce<Tx>): AnswerStore<Tx> => {
  const stored = new Map<string, string>();
  let last: Promise<unknown> = Promise.resolve();
  const run = async <Result>(work: (tx: Tx, answers: StoredAnswers) => Promise<Result>): Promise<Result> => {
    const tx = makeTx();
    const added: StoredAnswer[] = [];
    const answers: StoredAnswers = {
      find: async (requestIds) =>
        requestIds.flatMap((id) => {
          const text = stored.get(id);
          // Written below from a StoredAnswer.
          return text === undefined ? [] : [JSON.parse(text) as StoredAnswer];
        }),
      add: async (more) => void added.push(...more),
    };
    try {
      const result = await work(tx, answers);
      if (added.some(({ requestId }) => stored.has(requestId))) throw new AnswerStored();
      for (const answer of added) stored.set(answer.requestId, JSON.stringify(answer));
      return result;
    } catch (error) {
      rollback?.(tx);
      throw error;
    }
  };
  const runAgain = async <Result>(work: (tx: Tx, answers: StoredAnswers) => Promise<Result>): Promise<Result> => {
    try {
      return await run(work);
    } catch (error) {
      if (!(error instanceof AnswerStored)) throw error;
      return run(work);
    }
  };
  const doAtOnce = async (write: MemoryAtOnce<Tx>, what: unknown, given: readonly StoredAnswer[], save = (): boolean => true): Promise<boolean> => {
    try {
      await run(async (tx, answers) => {
        if (!(await write(tx, what)) || !save()) throw new InTheWay();
        await answers.add(given);
      });
      return true;
    } catch (error) {
      if (error instanceof InTheWay || error instanceof AnswerStored) return false;
      throw error;
    }
  };
  const inTurn = <Result>(work: () => Promise<Result>): Promise<Result> => {
    const mine = last.then(work);
    last = mine.catch(() => {});
    return mine;
  };
  return {
    transact: (work) => inTurn(() => runAgain(work)),
    ...(atOnce === undefined
      ? {}
      : {
          atOnce: (write, answers) => inTurn(() => doAtOnce(atOnce, write, answers)),
          joint: (write) => ({ joint: ((save) => inTurn(() => doAtOnce(atOnce, write, [], save))) satisfies MemoryJoint }),
        }),
  };
};
