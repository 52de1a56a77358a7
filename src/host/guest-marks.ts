/** What a guest and its watch share: a count that moves with every piece of work, the batch under way (0 for none), its turn, and a place to sleep on. */
export const marksOf = (): Int32Array<SharedArrayBuffer> => new Int32Array(new SharedArrayBuffer(16));
