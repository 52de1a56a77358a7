/** Progress for a person: one line when a step begins, its time when it ends. */
export type Progress = {
  /** Runs a step and prints how long it took; `done` may say what came of it. */
  step<Result>(title: string, work: () => Promise<Result>, done?: (result: Result) => string): Promise<Result>;
  say(line?: string): void;
};

export const createProgress = (write: (text: string) => void = (text) => process.stdout.write(text)): Progress => {
  const begun = performance.now();
  const seconds = (from: number): string => `${((performance.now() - from) / 1000).toFixed(2)} s`;
  return {
    say: (line = '') => write(`${line}\n`),
    step: async (title, work, done) => {
      const start = performance.now();
      try {
        const result = await work();
        const outcome = done?.(result);
        write(`  ✓ ${title}${outcome === undefined ? '' : `: ${outcome}`}  (${seconds(start)}, at ${seconds(begun)})\n`);
        return result;
      } catch (error) {
        write(`  ✗ ${title}  (after ${seconds(start)})\n`);
        throw error;
      }
    },
  };
};

/** For steps that are one step of something larger. */
export const silentProgress: Progress = { say: () => {}, step: (_, work) => work() };
