/**
 * Guests as a power: a module runs in a process of its own, within bounds of time and memory, and can be ended in the middle of
 * anything.
 *
 * A process and not a thread, because of what one line of foreign code can do to V8. `Array.prototype.sort.call({ length: 2 ** 53 })`
 * and an array that outgrows the heap in one step end the whole process, threads and all; `Array.prototype.includes.call` of the
 * same never returns and cannot be interrupted. A process ends alone, and always. (Its pipe is also quicker than a thread's port.)
 *
 * On Node, and on Deno by its `node:` modules: the same bounds hold there. Only Node itself refuses a guest files and processes
 * (`--permission`); on Deno a guest has what its host has, and what its module lets foreign code reach is all that stands between.
 */
import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';

export type Guest = {
  /** Sends a JSON value; lost without a word when the guest has ended. */
  post(message: unknown): void;
  /** Ends the guest at once, in the middle of whatever it does. */
  terminate(): Promise<void>;
};

/** A piece of work under way, as the guest marked it. */
export type GuestWork = { readonly batch: number; readonly turn: number };

export type GuestExit =
  /** We ended it. */
  | { readonly type: 'ended' }
  /** One piece of work used more processor time than it may, or did not end. */
  | { readonly type: 'time'; readonly message: string; readonly work: GuestWork }
  /** It outgrew its memory; which work did it is not known when V8 ended the process by itself. */
  | { readonly type: 'memory'; readonly message: string; readonly work?: GuestWork }
  /** It never was ready: no work of it is to blame. */
  | { readonly type: 'unready'; readonly message: string }
  /** It ended by itself: a fault of its module, or of the runtime under what its module ran. */
  | { readonly type: 'crash'; readonly message: string };

export type GuestLimits = {
  /** V8's heap in MiB. */
  readonly heapMbMax: number;
  /** All memory of the process in MiB: what is outside of the heap (buffers, code) is in here too. */
  readonly residentMbMax: number;
  /** Processor time of one piece of work, in milliseconds. */
  readonly workCpuMsMax: number;
  /** Time of one piece of work on the wall, in milliseconds: for work that waits for what never comes. */
  readonly workWallMsMax: number;
  /** Milliseconds until a new guest must be ready. */
  readonly startMsMax: number;
};

export type GuestOptions = {
  /** A module that exports `main: GuestMain`. */
  readonly module: URL;
  /** Handed to `main`: a JSON value. */
  readonly data: unknown;
  readonly limits: GuestLimits;
  readonly onMessage: (message: unknown) => void;
  /** Called once; nothing is received afterwards. */
  readonly onExit: (exit: GuestExit) => void;
};

export type StartGuest = (options: GuestOptions) => Guest;

/** What a guest's module is given. */
export type GuestPowers = {
  readonly data: unknown;
  readonly post: (message: unknown) => void;
  readonly receive: (hear: (message: unknown) => void) => void;
  /** Calls back when every promise that can move now has moved, and all that they set in motion. */
  readonly macrotask: (callback: () => void) => void;
  /** Says that another piece of work begins, each within the bounds of one. */
  readonly mark: (work: GuestWork) => void;
  /** Says that nothing is under way. */
  readonly rest: () => void;
  /** Milliseconds of a clock that only goes forward: how long work takes. */
  readonly elapsed: () => number;
  /** Milliseconds of processor time that the guest has used; dearer to ask than `elapsed`. */
  readonly used: () => number;
  /** Share of the heap bound that is in use, 0 to 1. */
  readonly heapShare: () => number;
};

export type GuestMain = (powers: GuestPowers) => void | Promise<void>;

/** What the two sides of a guest say to each other. */
export type GuestFrame = { readonly type: 'ready' } | { readonly type: 'message'; readonly message: unknown };

/** What crosses to a new guest in its arguments. */
export type GuestArguments = { readonly module: string; readonly data: unknown; readonly limits: GuestLimits };

/** Processors that this process may use. */
export const processorCount = (): number => availableParallelism();

/** How the watch of a guest begins the line in which it says why it ends the process. */
export const lastWordsMark = 'cordage-guest-ended: ';

/** What is kept of the beginning and of the end of what a guest writes: V8's own reason stands near the one, last words are the other. */
const writtenCharsMax = 4_000;

export const startGuest: StartGuest = (options) => {
  const { module, data, limits, onMessage } = options;
  const given: GuestArguments = { module: module.href, data, limits };
  const child = fork(fileURLToPath(new URL('./guest-main.ts', import.meta.url)), [JSON.stringify(given)], {
    serialization: 'json',
    // Foreign code gets nothing of our environment, and the runtime itself refuses its process files, processes and addons.
    env: {},
    execArgv: [`--max-old-space-size=${limits.heapMbMax}`, '--permission', '--allow-fs-read=*', '--allow-worker', '--no-warnings'],
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
  const written: Written = { first: '', last: '', isReady: false };
  child.stderr?.on('data', (chunk: Uint8Array) => {
    written.first = (written.first + String(chunk)).slice(0, writtenCharsMax);
    written.last = (written.last + String(chunk)).slice(-writtenCharsMax);
  });
  const late = setTimeout(() => child.kill('SIGKILL'), limits.startMsMax);
  child.on('message', (frame: GuestFrame) => {
    if (frame.type === 'message') return onMessage(frame.message);
    written.isReady = true;
    clearTimeout(late);
  });
  const ended = endOf(child, options, written);
  void ended.then(() => clearTimeout(late));
  return {
    // An ended guest hears nothing; who waits for it learns of its end by itself.
    post: (message) => void (child.connected && child.send(message as object, () => {})),
    terminate: async () => {
      ended.byUs = true;
      child.kill('SIGKILL');
      await ended;
    },
  };
};

/** What it wrote to its standard error, and whether it ever was ready. */
type Written = { first: string; last: string; isReady: boolean };

type Ending = Promise<void> & { byUs?: boolean };

const endOf = (child: ChildProcess, { onExit }: GuestOptions, written: Written): Ending => {
  const ending: Ending = new Promise<void>((resolve) => {
    let done = false;
    const end = (exit: GuestExit): void => {
      if (done) return;
      done = true;
      onExit(exit);
      resolve();
    };
    // It could not be started, or not be sent to; the latter ends soon by itself.
    child.on('error', (error) => child.pid === undefined && end({ type: 'unready', message: error.message }));
    // Not `exit`: what the guest wrote last is still on its way then.
    child.on('close', (code, signal) => end(ending.byUs === true ? { type: 'ended' } : exitOf(written, code, signal)));
  });
  return ending;
};

const exitOf = ({ first, last, isReady }: Written, code: number | null, signal: string | null): GuestExit => {
  const [, lastWords] = last.split(lastWordsMark);
  // Only the watch writes that.
  if (lastWords !== undefined) return JSON.parse(lastWords) as GuestExit;
  // V8's own words, as Node and Deno hand them on.
  const fatal = /^(?:FATAL ERROR|# Fatal .*?): (.*)$/m.exec(first)?.[1];
  if (fatal !== undefined && /heap|allocation/i.test(fatal)) return { type: 'memory', message: fatal };
  const said = fatal ?? first.trim().slice(0, 500);
  return { type: isReady ? 'crash' : 'unready', message: `it ended with ${signal ?? `code ${code}`}${said === '' ? '' : `: ${said}`}` };
};
