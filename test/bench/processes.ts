/** What a tree of processes has used, by /proc (Linux). */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** The process and all its descendants. */
export const descendants = (pid: number): number[] => {
  const table = execFileSync('ps', ['-eo', 'pid=,ppid='], { encoding: 'utf8' }).trim().split('\n').map((line) => line.trim().split(/\s+/).map(Number));
  const below = (parent: number): number[] => [parent, ...table.filter(([, ppid]) => ppid === parent).flatMap(([child]) => below(child!))];
  return below(pid);
};

/** Proportional set size in MiB, so that pages which processes share count once. */
export const pssMiB = (pid: number): number => Number(/^Pss:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1] ?? 0) / 1024;

/** Clock ticks a second: USER_HZ, 100 on every Linux that Node runs on. */
const ticksPerSecond = 100;

/** Milliseconds of processor time (user and system) of a process, with its children that have ended. */
export const cpuMs = (pid: number): number => {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ').map(Number);
  return ([11, 12, 13, 14].reduce((sum, field) => sum + fields[field]!, 0) / ticksPerSecond) * 1000;
};
