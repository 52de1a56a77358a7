/** A map that forgets what was used longest ago once it is full. */
export type BoundedCache<Value> = {
  get(key: string): Value | undefined;
  set(key: string, value: Value): void;
};

export const createBoundedCache = <Value>(countMax: number): BoundedCache<Value> => {
  // A Map keeps the order of insertion: the first key is the one used longest ago.
  const entries = new Map<string, Value>();
  return {
    get: (key) => {
      const value = entries.get(key);
      // Until it is half full nothing is forgotten for long; to put a key in order again makes garbage, and costs four times what finding it does.
      if (value === undefined || entries.size * 2 <= countMax) return value;
      entries.delete(key);
      entries.set(key, value);
      return value;
    },
    set: (key, value) => {
      entries.delete(key);
      entries.set(key, value);
      if (entries.size <= countMax) return;
      for (const oldest of entries.keys()) {
        entries.delete(oldest);
        return;
      }
    },
  };
};
