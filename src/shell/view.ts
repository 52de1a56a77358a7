/** A view is a compacted wire held in memory: the latest body of each key. Implemented in `open-view.ts`. */
export type View<Body> = {
  get(key: string): Body | undefined;
  entries(): IterableIterator<[string, Body]>;
  /** Reads everything published before the call; for a caller who missed a key that may just have been written. */
  refresh(): Promise<void>;
};

/** A view that tells when something in it may have changed. */
export type ChangingView<Body> = View<Body> & {
  /** Calls back after records were applied, once for all that came together; the returned function ends it. */
  onChange(listener: () => void): () => void;
};
