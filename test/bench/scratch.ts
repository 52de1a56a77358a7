/** What a benchmark leaves behind: nothing. Its folder and its processes go when it ends, when it fails and on Ctrl-C. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createClosing, type Closing } from '../../containers/platform.ts';

export type Scratch = {
  readonly directory: string;
  /** What is to be ended before the folder goes, the last begun first. */
  readonly closing: Closing;
};

const signals = ['SIGINT', 'SIGTERM'] as const;

export const inScratch = async (work: (scratch: Scratch) => Promise<void>): Promise<void> => {
  const directory = mkdtempSync(join(tmpdir(), 'cordage-bench-'));
  const closing = createClosing();
  let cleaned: Promise<void> | undefined;
  const clean = (): Promise<void> => (cleaned ??= closing.run().finally(() => rmSync(directory, { recursive: true, force: true })));
  const interrupted = (): void => {
    console.error('\n  interrupted: ends what was started');
    void clean().finally(() => process.exit(130));
  };
  for (const signal of signals) process.once(signal, interrupted);
  try {
    await work({ directory, closing });
  } finally {
    for (const signal of signals) process.off(signal, interrupted);
    await clean();
  }
};
