/** Lets a few pieces of work run at once and a few more wait; the rest is turned away. */

export type Gate = {
  pass<Value>(work: () => Promise<Value>): Promise<{ readonly value: Value } | 'full'>;
};

export const createGate = ({ atOnceMax, waitingMax }: { readonly atOnceMax: number; readonly waitingMax: number }): Gate => {
  const waiting: (() => void)[] = [];
  let running = 0;
  return {
    pass: async (work) => {
      if (running >= atOnceMax) {
        if (waiting.length >= waitingMax) return 'full';
        await new Promise<void>((resolve) => waiting.push(resolve));
      } else running++;
      try {
        return { value: await work() };
      } finally {
        // The place is handed on, so that nobody slips in between.
        const next = waiting.shift();
        if (next === undefined) running--;
        else next();
      }
    },
  };
};
