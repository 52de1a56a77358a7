/** The thread's side of threads.ts: hands a module its powers. */
import { getHeapStatistics } from 'node:v8';
import { parentPort, workerData } from 'node:worker_threads';
import type { ThreadMain } from './threads.ts';

// What threads.ts put there.
const { module, data } = workerData as { module: string; data: unknown };
const port = parentPort!;

// Code that a thread runs for others may leave a rejection unheard; that is its own affair and must not end the thread.
process.on('unhandledRejection', () => {});

// The module named by threads.ts exports `main`, by its contract.
const { main } = (await import(module)) as { main: ThreadMain };
await main({
  data,
  post: (message) => port.postMessage(message),
  receive: (hear) => void port.on('message', hear),
  macrotask: (callback) => void setImmediate(callback),
  heapShare: () => {
    const { used_heap_size: used, heap_size_limit: limit } = getHeapStatistics();
    return used / limit;
  },
});
