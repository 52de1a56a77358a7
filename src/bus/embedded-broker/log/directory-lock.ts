/**
 * Keeps two processes out of one directory.
 *
 * The lock is the operating system's, taken through SQLite on an empty file of its own, because Node offers no file locks:
 * it ends with the process however that ends, so no lock is ever stale, whatever process ids say (in a container every
 * broker is process 1).
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { BusError } from '../../bus.ts';

/** Takes the lock and returns what gives it back. Throws BUS_REFUSED where another holds it. */
export const lockDirectory = (directory: string): (() => void) => {
  const holderPath = join(directory, 'lock-holder');
  const lock = new DatabaseSync(join(directory, 'lock'));
  try {
    lock.exec('BEGIN EXCLUSIVE');
  } catch (cause) {
    lock.close();
    throw new BusError('BUS_REFUSED', `the broker's directory ${directory} is in use by process ${holderOf(holderPath)}: stop that broker, or give this one a directory of its own`, { cause });
  }
  writeFileSync(holderPath, String(process.pid));
  return () => lock.close();
};

/** For the message only. */
const holderOf = (path: string): string => {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '(unknown)';
  }
};
