/** Threads as a power: a module runs beside ours, with a heap bound, and can be ended in the middle of anything. */
import { Worker } from 'node:worker_threads';

export type Thread = {
  /** Sends a message; lost without a word when the thread has ended. */
  post(message: unknown): void;
  /** Ends the thread at once, in the middle of whatever it does. */
  terminate(): Promise<void>;
};

export type ThreadExit =
  /** We ended it, or its module closed it. */
  | { readonly type: 'ended' }
  /** Its heap outgrew `memoryMbMax`. */
  | { readonly type: 'memory'; readonly message: string }
  /** It threw what nobody caught. */
  | { readonly type: 'crash'; readonly message: string };

export type ThreadOptions = {
  /** A module that exports `main: ThreadMain`. */
  readonly module: URL;
  /** Handed to `main`: structured data; shared buffers stay shared. */
  readonly data: unknown;
  readonly memoryMbMax: number;
  readonly onMessage: (message: unknown) => void;
  /** Called once; nothing is received afterwards. */
  readonly onExit: (exit: ThreadExit) => void;
};

export type StartThread = (options: ThreadOptions) => Thread;

/** What a thread's module is given. */
export type ThreadPowers = {
  readonly data: unknown;
  readonly post: (message: unknown) => void;
  readonly receive: (hear: (message: unknown) => void) => void;
  /** Calls back in the next macrotask: when every promise that can move now has moved. */
  readonly macrotask: (callback: () => void) => void;
  /** Share of the heap bound that is in use, 0 to 1. */
  readonly heapShare: () => number;
};

export type ThreadMain = (powers: ThreadPowers) => void | Promise<void>;

export const startThread: StartThread = ({ module, data, memoryMbMax, onMessage, onExit }) => {
  const worker = new Worker(new URL('./thread-main.ts', import.meta.url), {
    workerData: { module: module.href, data },
    resourceLimits: { maxOldGenerationSizeMb: memoryMbMax },
    // A thread for foreign code gets nothing of our environment.
    env: {},
  });
  let exit: ThreadExit = { type: 'ended' };
  worker.on('message', onMessage);
  worker.on('error', (error) => {
    // Node sets `code` on its own errors; an error of the thread's module may have none.
    const code = (error as { code?: unknown }).code;
    exit = { type: code === 'ERR_WORKER_OUT_OF_MEMORY' ? 'memory' : 'crash', message: error.message };
  });
  worker.on('exit', () => onExit(exit));
  return {
    post: (message) => worker.postMessage(message),
    terminate: async () => void (await worker.terminate()),
  };
};
