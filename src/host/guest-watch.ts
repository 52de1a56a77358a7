/**
 * The watch over a guest, in a thread beside it: ends the process when a piece of work takes too much.
 *
 * It counts the processor time of the process, which does nothing else meanwhile (the runtime's own collector works for it), so
 * that a busy machine harms nobody. It looks at times of its own choosing, so work costs nothing for being watched.
 */
import type { writeSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import type { GuestExit, GuestLimits } from './guests.ts';

export type WatchData = {
  /** A count that moves with every piece of work, the batch under way (0 for none), its turn, and a place to sleep on. */
  readonly marks: Int32Array<SharedArrayBuffer>;
  readonly limits: GuestLimits;
  /** Begins the line of last words. */
  readonly lastWordsMark: string;
};

/** Its text is all that the thread has: nothing outside of it may be used. A thread that loads modules would weigh twice as much. */
const watch = ({ marks, limits, lastWordsMark }: WatchData, write: typeof writeSync): void => {
  // Milliseconds between two looks: short while something is under way, since memory can fill at gigabytes a second.
  const lookBusyMs = 25;
  const lookIdleMs = 100;
  const standardError = 2;

  const usedMs = (): number => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1_000;
  };
  let seen = { count: -1, usedMs: 0, wallMs: 0 };

  /** What is wrong with the work that has been under way since it was first seen. */
  const faultOf = (): Pick<GuestExit & { message: string }, 'type' | 'message'> | undefined => {
    const residentMb = process.memoryUsage.rss() / 2 ** 20;
    if (residentMb > limits.residentMbMax) return { type: 'memory', message: `the process takes ${Math.round(residentMb)} MiB` };
    const used = usedMs() - seen.usedMs;
    if (used > limits.workCpuMsMax) return { type: 'time', message: `${Math.round(used)} ms of processor time` };
    const took = performance.now() - seen.wallMs;
    if (took > limits.workWallMsMax) return { type: 'time', message: `${Math.round(took)} ms on the wall` };
    return undefined;
  };

  const end = (exit: object): void => {
    try {
      write(standardError, `${lastWordsMark}${JSON.stringify(exit)}\n`);
    } catch {
      // Whoever would read it is gone; there is the more reason to end.
    }
    process.kill(process.pid, 'SIGKILL');
  };

  for (;;) {
    const count = Atomics.load(marks, 0);
    const work = { batch: Atomics.load(marks, 1), turn: Atomics.load(marks, 2) };
    const isBusy = work.batch !== 0;
    if (count !== seen.count) seen = { count, usedMs: usedMs(), wallMs: performance.now() };
    const fault = isBusy ? faultOf() : undefined;
    // What was read stands for one piece of work only if nothing moved meanwhile.
    if (fault !== undefined && (fault.type === 'memory' || Atomics.load(marks, 0) === count)) end({ ...fault, work });
    // Nobody ever wakes this up.
    Atomics.wait(marks, 3, 0, isBusy ? lookBusyMs : lookIdleMs);
  }
};

export const startWatch = (data: WatchData): Worker =>
  new Worker(`(${String(watch)})(require('node:worker_threads').workerData, require('node:fs').writeSync);`, { eval: true, workerData: data, env: {} });
