/** A view is a compacted wire held in memory: the latest body of each key. Implemented in `open-view.ts`. */
export type View<Body> = {
  get(key: string): Body | undefined;
  entries(): IterableIterator<[string, Body]>;
  /** Reads everything published before the call; for a caller who missed a key that may just have been written. */
  refresh(): Promise<void>;
};
