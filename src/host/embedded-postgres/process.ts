/** What the operating system knows of a process: whether it lives, and whether it is the one that was meant. */
import { execFile } from 'node:child_process';
import { readFile, readlink, realpath } from 'node:fs/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);

export const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: it lives, under another account.
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
};

const asked = async (pid: number, column: string): Promise<string> =>
  run('ps', ['-o', `${column}=`, '-p', String(pid)]).then(
    ({ stdout }) => stdout.trim(),
    () => '',
  );

/** Tells a process from a later one with the same id: its start time, in the system's own terms; empty when unknown. */
export const startOf = async (pid: number): Promise<string> => {
  try {
    const line = await readFile(`/proc/${pid}/stat`, 'utf8');
    // Field 22; the second, the name in parentheses, may hold spaces.
    return line.slice(line.lastIndexOf(')') + 2).split(' ')[19] ?? '';
  } catch {
    return process.platform === 'linux' ? '' : asked(pid, 'lstart');
  }
};

/** Whether this process is a PostgreSQL server of this data directory, which is where such a server stands. */
export const isServerOf = async (pid: number, data: string): Promise<boolean> => {
  if (!isAlive(pid)) return false;
  const real = await realpath(data).catch(() => data);
  try {
    return (await readlink(`/proc/${pid}/cwd`)) === real;
  } catch {
    return process.platform === 'linux' ? false : (await asked(pid, 'command')).includes(data);
  }
};
