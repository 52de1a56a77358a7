/**
 * The watch over a guest, in a thread beside it: ends the process when a piece of work takes too much.
 *
 * It counts the processor time of the process, which does nothing else meanwhile (the runtime's own collector works for it), so
 * that a busy machine harms nobody. It looks at times of its own choosing, so work costs nothing for being watched.
 */
import { writeSync } from 'node:fs';
import { workerData } from 'node:worker_threads';
import { lastWordsMark } from './guests.ts';
import type { GuestExit, GuestLimits, GuestWork } from './guests.ts';

export type WatchData = { readonly marks: Int32Array<SharedArrayBuffer>; readonly limits: GuestLimits };

/** Milliseconds between two looks: short while something is under way, since memory can fill at gigabytes a second. */
const lookBusyMs = 25;
const lookIdleMs = 100;

const standardError = 2;

type Seen = { readonly count: number; readonly cpuMs: number; readonly wallMs: number };

const cpuMs = (): number => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1_000;
};

/** What is wrong with the work that has been under way since `seen`, if anything. */
const faultOf = (seen: Seen, limits: GuestLimits, work: GuestWork): GuestExit | undefined => {
  const residentMb = process.memoryUsage.rss() / 2 ** 20;
  if (residentMb > limits.residentMbMax) return { type: 'memory', message: `the process takes ${Math.round(residentMb)} MiB`, work };
  const usedMs = cpuMs() - seen.cpuMs;
  if (usedMs > limits.workCpuMsMax) return { type: 'time', message: `${Math.round(usedMs)} ms of processor time`, work };
  const tookMs = performance.now() - seen.wallMs;
  if (tookMs > limits.workWallMsMax) return { type: 'time', message: `${Math.round(tookMs)} ms on the wall`, work };
  return undefined;
};

const end = (exit: GuestExit): void => {
  try {
    writeSync(standardError, `${lastWordsMark}${JSON.stringify(exit)}\n`);
  } catch {
    // Whoever would read it is gone; there is the more reason to end.
  }
  process.kill(process.pid, 'SIGKILL');
};

const watch = ({ marks, limits }: WatchData): void => {
  let seen: Seen = { count: -1, cpuMs: 0, wallMs: 0 };
  for (;;) {
    const count = Atomics.load(marks, 0);
    const work = { batch: Atomics.load(marks, 1), turn: Atomics.load(marks, 2) };
    const isBusy = work.batch !== 0;
    if (count !== seen.count) seen = { count, cpuMs: cpuMs(), wallMs: performance.now() };
    const fault = isBusy ? faultOf(seen, limits, work) : undefined;
    // What was read stands for one piece of work only if nothing moved meanwhile.
    if (fault !== undefined && (fault.type === 'memory' || Atomics.load(marks, 0) === count)) end(fault);
    // Nobody ever wakes this up.
    Atomics.wait(marks, 3, 0, isBusy ? lookBusyMs : lookIdleMs);
  }
};

// Made by guest-main.ts.
watch(workerData as WatchData);
