/**
 * One process owns a directory. A file says which; it counts only while that very process lives.
 *
 * A server whose owner was killed stops by itself within moments (see server.ts). One that did not is stopped here, and a
 * pid file that names some other, later process is removed, before a new server is started.
 */
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pause, systemClock } from '../clock.ts';
import type { ServerLog } from './log.ts';
import { EmbeddedPostgresError } from './error.ts';
import { isAlive, isServerOf, startOf } from './process.ts';

const ownerFile = 'owner.json';
/** Between two looks at a process that is not our child and so cannot be waited for. */
const lookMs = 10;
/** How long an orphan may take to notice that its owner is gone, then to obey each signal. */
const orphanGraceMs = 2_000;
const signalsMs = [
  ['SIGINT', 10_000],
  ['SIGQUIT', 5_000],
  ['SIGKILL', 5_000],
] as const;

type Owner = { readonly pid: number; readonly start: string };

const readOwner = async (directory: string): Promise<Owner | undefined> => {
  try {
    const owner: unknown = JSON.parse(await readFile(join(directory, ownerFile), 'utf8'));
    if (typeof owner !== 'object' || owner === null || !('pid' in owner) || !('start' in owner)) return undefined;
    return typeof owner.pid === 'number' && typeof owner.start === 'string' ? { pid: owner.pid, start: owner.start } : undefined;
  } catch {
    return undefined;
  }
};

const lives = async ({ pid, start }: Owner): Promise<boolean> => isAlive(pid) && (await startOf(pid)) === start;

/** Makes this process the owner, or throws POSTGRES_IN_USE. */
export const takeDirectory = async (directory: string): Promise<void> => {
  const owner = await readOwner(directory);
  if (owner !== undefined && (await lives(owner))) {
    throw new EmbeddedPostgresError('POSTGRES_IN_USE', `the database in ${directory} is in use by process ${owner.pid}; stop that first, or choose another directory`);
  }
  const file = join(directory, ownerFile);
  const next = `${file}.${process.pid}`;
  await writeFile(next, JSON.stringify({ pid: process.pid, start: await startOf(process.pid) }), { mode: 0o600 });
  await rename(next, file);
};

export const leaveDirectory = (directory: string): Promise<void> => rm(join(directory, ownerFile), { force: true });

/** The server's process id as it wrote it, while the file is there. */
export const readServerPid = async (data: string): Promise<number | undefined> => {
  const text = await readFile(join(data, 'postmaster.pid'), 'utf8').catch(() => '');
  const pid = Number.parseInt(text, 10);
  return Number.isInteger(pid) && pid > 1 ? pid : undefined;
};

const endsWithin = async (pid: number, waitMs: number): Promise<boolean> => {
  const until = systemClock.now() + waitMs;
  while (isAlive(pid)) {
    if (systemClock.now() >= until) return false;
    await pause(systemClock, lookMs);
  }
  return true;
};

const stopOrphan = async (pid: number, log: ServerLog): Promise<void> => {
  if (await endsWithin(pid, orphanGraceMs)) return;
  for (const [signal, waitMs] of signalsMs) {
    log.warn('postgres-orphan-stopped', { pid, signal });
    process.kill(pid, signal);
    if (await endsWithin(pid, waitMs)) return;
  }
  throw new EmbeddedPostgresError('POSTGRES_STUCK', `process ${pid}, a server left over from before, does not end; end it, then start again`);
};

/** Leaves the data directory without a server and without a pid file. Called by the owner only. */
export const clearServer = async (data: string, log: ServerLog): Promise<void> => {
  const pid = await readServerPid(data);
  if (pid === undefined) return;
  if (await isServerOf(pid, data)) await stopOrphan(pid, log);
  await rm(join(data, 'postmaster.pid'), { force: true });
};
