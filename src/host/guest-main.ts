/** The guest's side of guests.ts: hands a module its powers and sets a watch over it. */
import { getHeapStatistics } from 'node:v8';
import { startWatch } from './guest-watch.ts';
import { lastWordsMark } from './guests.ts';
import type { GuestArguments, GuestFrame, GuestMain } from './guests.ts';

// What guests.ts put there.
const { module, data, limits } = JSON.parse(process.argv[2]!) as GuestArguments;

// Code that a guest runs for others may leave a rejection unheard; that is its own affair and must not end the process.
process.on('unhandledRejection', () => {});
// Whoever started us is gone, and nobody would hear us any more.
process.on('disconnect', () => process.exit());

const marks = new Int32Array(new SharedArrayBuffer(16));
const watch = startWatch({ marks, limits, lastWordsMark });
// A guest without a watch is not safe to talk to.
watch.on('error', (error) => {
  throw error;
});
watch.unref();

/** The channel is there: this file is only run by `fork`. */
const say = (frame: GuestFrame): void => void process.send!(frame);

const settled = Promise.resolve();

// The module named by guests.ts exports `main`, by its contract.
const { main } = (await import(module)) as { main: GuestMain };
await main({
  data,
  post: (message) => say({ type: 'message', message }),
  receive: (hear) => void process.on('message', hear),
  // A tick that is asked for among microtasks comes when none of them is left, and costs no way around the event loop. Not by `queueMicrotask`: it makes
  // a resource of its own for each call.
  macrotask: (callback) => void settled.then(() => process.nextTick(callback)),
  mark: ({ batch, turn }) => {
    Atomics.store(marks, 1, batch);
    Atomics.store(marks, 2, turn);
    Atomics.add(marks, 0, 1);
  },
  rest: () => {
    Atomics.store(marks, 1, 0);
    Atomics.add(marks, 0, 1);
  },
  elapsed: () => performance.now(),
  used: () => {
    const { user, system } = process.threadCpuUsage();
    return (user + system) / 1_000;
  },
  heapShare: () => {
    const { used_heap_size: used, heap_size_limit: limit } = getHeapStatistics();
    return used / limit;
  },
});
say({ type: 'ready' });
