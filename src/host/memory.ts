/** Memory that a start or a burst of work took and no longer needs: V8 keeps it for the next one, a machine with many processes wants it back. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** How often a process looks whether it is quiet, in milliseconds: long beside the tenth of a second that a collection stops it for. */
const lookMsDefault = 5_000;
/** A process is quiet when it used no more than this part of one processor since it looked last: its beats and long polls are less. */
const quietShareMax = 0.05;
/** What a collection should bring at least, in bytes; for less a quiet process is left alone. */
const worthBytesMin = 16 * 1024 * 1024;

type Collect = (options: { readonly type: 'major'; readonly execution: 'sync'; readonly flavor: 'last-resort' }) => void;

/** V8's own collector, which it shows only where it is asked to. */
const findCollector = (): Collect => {
  setFlagsFromString('--expose-gc');
  // A context that is made while the flag stands has the function; this is its signature in V8's extension of that name.
  const collect = runInNewContext('gc') as Collect;
  setFlagsFromString('--no-expose-gc');
  return collect;
};

/** From now on whatever this process took and does not need goes back to the machine while it is quiet. */
export const giveBackMemory = (lookMs: number = lookMsDefault): void => {
  const collect = findCollector();
  /** What the process had when it had given back all it could. */
  let leastBytes = 0;
  let used = process.cpuUsage();
  setInterval(() => {
    const { user, system } = process.cpuUsage(used);
    used = process.cpuUsage();
    const isQuiet = user + system <= quietShareMax * lookMs * 1_000;
    if (!isQuiet || process.memoryUsage.rss() - leastBytes < worthBytesMin) return;
    collect({ type: 'major', execution: 'sync', flavor: 'last-resort' });
    leastBytes = process.memoryUsage.rss();
    used = process.cpuUsage();
  }, lookMs).unref();
};
