/** What a tree of processes has used, by /proc (Linux). */
import { readdirSync, readFileSync } from 'node:fs';

/** Fields of /proc/<pid>/stat from the third on; `undefined` when the process has gone. */
const statOf = (pid: number | string): readonly string[] | undefined => {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return text.slice(text.lastIndexOf(')') + 2).split(' ');
  } catch {
    return undefined;
  }
};

/** The process and all its descendants. */
export const descendants = (pid: number): number[] => {
  const parents = readdirSync('/proc').flatMap((name) => {
    const parent = /^\d+$/.test(name) ? statOf(name)?.[1] : undefined;
    return parent === undefined ? [] : [{ pid: Number(name), parent: Number(parent) }];
  });
  const below = (one: number): number[] => [one, ...parents.filter(({ parent }) => parent === one).flatMap((child) => below(child.pid))];
  return below(pid);
};

/** Proportional set size in MiB, so that pages which processes share count once. */
export const pssMiB = (pid: number): number => Number(/^Pss:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1] ?? 0) / 1024;

/** Resident memory in MiB: what a container's limit counts, nearly. */
export const residentMiB = (pid: number): number => Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024;

/** Clock ticks a second: USER_HZ, 100 on every Linux that Node runs on. */
const ticksPerSecond = 100;

/** Milliseconds of processor time (user and system) of a process, with its children that have ended; 0 when it has gone. */
export const cpuMs = (pid: number): number => {
  const fields = statOf(pid) ?? [];
  return ([11, 12, 13, 14].reduce((sum, field) => sum + Number(fields[field] ?? 0), 0) / ticksPerSecond) * 1000;
};

const isPostgres = (pid: number): boolean => {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').startsWith('postgres');
  } catch {
    return false;
  }
};

/** The processes of a cluster (or of a benchmark that runs its parts): its own, those of the sandbox, its PostgreSQL. */
export const processesBelow = (pid: number): { readonly own: readonly number[]; readonly sandbox: readonly number[]; readonly PostgreSQL: readonly number[] } => {
  const others = descendants(pid).filter((one) => one !== pid);
  return { own: [pid], sandbox: others.filter((one) => !isPostgres(one)), PostgreSQL: others.filter(isPostgres) };
};

export const sumOf = (pids: readonly number[], figure: (pid: number) => number): number => pids.reduce((sum, pid) => sum + figure(pid), 0);
