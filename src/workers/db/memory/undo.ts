/** Writes that can be taken back: what a transaction in memory needs of a database. */
export type Undo = {
  set<Key, Value>(map: Map<Key, Value>, key: Key, value: Value): void;
  delete<Key, Value>(map: Map<Key, Value>, key: Key): void;
  /** Takes back every write since the last `begin`, the latest first. */
  rollback(): void;
  begin(): void;
};

export const createUndo = (): Undo => {
  let steps: (() => void)[] = [];
  const remember = <Key, Value>(map: Map<Key, Value>, key: Key): void => {
    const before = map.get(key);
    steps.push(before === undefined ? () => void map.delete(key) : () => void map.set(key, before));
  };
  return {
    set: (map, key, value) => {
      remember(map, key);
      map.set(key, value);
    },
    delete: (map, key) => {
      remember(map, key);
      map.delete(key);
    },
    rollback: () => {
      for (const step of steps.toReversed()) step();
      steps = [];
    },
    begin: () => {
      steps = [];
    },
  };
};
