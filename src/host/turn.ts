/**
 * The end of the event loop's turn: all that had arrived when it began has been read and handled by then. What many callers wait for is done there
 * together, so that it is one write to the disk, or one waking of whoever reads, and not one each.
 */
let ending: Promise<void> | undefined;

/** Resolves at the end of this turn, for all who ask in it. */
export const endOfTurn = (): Promise<void> => {
  ending ??= new Promise((resolve) => {
    setImmediate(() => {
      ending = undefined;
      resolve();
    });
  });
  return ending;
};
