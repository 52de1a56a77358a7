import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, readFile, readlink, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { startEmbeddedPostgres, type EmbeddedPostgres } from '../../src/host/embedded-postgres.ts';
import { silentLog } from '../../src/observability/log.ts';
import { openDatabase } from '../../src/postgres/database.ts';

let directory: string;
const running: EmbeddedPostgres[] = [];
const owners: ChildProcess[] = [];
beforeEach(async () => {
  directory = join(await mkdtemp(join(tmpdir(), 'cordage-embedded-')), 'postgres');
});
afterEach(async () => {
  for (const owner of owners.splice(0)) owner.kill('SIGKILL');
  for (const server of running.splice(0)) await server.stop();
  await rm(join(directory, '..'), { recursive: true, force: true });
});

const start = async (options: { port?: number } = {}): Promise<EmbeddedPostgres> => {
  const server = await startEmbeddedPostgres({ directory, log: silentLog, ...options });
  running.push(server);
  return server;
};
const ask = async <Row extends object>(url: string, text: string): Promise<Row[]> => {
  const database = openDatabase({ url, connectionsMax: 4, log: silentLog });
  try {
    return await database.sql.unsafe<Row[]>(text);
  } finally {
    await database.close();
  }
};
const startOwner = async (): Promise<{ owner: ChildProcess; url: string; serverPid: number }> => {
  const owner = spawn(process.execPath, [join(import.meta.dirname, 'owner.ts'), directory], { stdio: ['pipe', 'pipe', 'inherit'] });
  owners.push(owner);
  const [url] = (await once(createInterface({ input: owner.stdout! }), 'line')) as [string];
  return { owner, url, serverPid: Number.parseInt(await readFile(join(directory, 'data', 'postmaster.pid'), 'utf8'), 10) };
};
const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};
/** Resolves when no process with this id is left; there is no event for a process that is not ours. */
const gone = async (pid: number): Promise<void> => {
  while (isAlive(pid)) await new Promise((resolve) => setImmediate(resolve));
};

describe('embedded PostgreSQL', () => {
  test('is spoken to by a Unix socket beside its data, with the same password, in pools and transactions', async () => {
    const { url, socketDirectory } = await start();
    expect(socketDirectory).toBe(join(directory, 'data'));
    const address = async (from: string): Promise<unknown[]> => {
      const database = openDatabase({ url: from, socketDirectory, connectionsMax: 4, log: silentLog });
      const text = 'select inet_server_addr() as address';
      try {
        return [await database.sql.unsafe(text), await database.byKey(text, []), await database.transact((sql) => sql.unsafe(text))].map(([row]) => row);
      } finally {
        await database.close();
      }
    };
    // The server names no address of a Unix socket.
    expect(await address(url)).toEqual([{ address: null }, { address: null }, { address: null }]);
    await expect(address(url.replace(/:[^:@/]+@/, ':wrong@'))).rejects.toThrow(/password/);
  });

  test('keeps its data from one start to the next', async () => {
    const first = await start();
    await ask(first.url, 'create table kept (id integer); insert into kept values (7)');
    await first.stop();
    const second = await start();
    expect(await ask(second.url, 'select id from kept')).toMatchObject([{ id: 7 }]);
  });

  test('writes to disk before it acknowledges, in UTF-8, whatever the environment says', async () => {
    const { url } = await start();
    const [row] = await ask<Record<string, string>>(
      url,
      `select current_setting('fsync') as fsync, current_setting('synchronous_commit') as commit, current_setting('full_page_writes') as pages,
        current_setting('server_encoding') as encoding, current_setting('TimeZone') as zone, current_setting('data_checksums') as checksums`,
    );
    expect({ ...row }).toEqual({ fsync: 'on', commit: 'on', pages: 'on', encoding: 'UTF8', zone: 'UTC', checksums: 'on' });
  });

  test('lets in nobody without the password, which only its owner can read', async () => {
    const { url } = await start();
    const wrong = new URL(url);
    wrong.password = 'postgres';
    await expect(ask(String(wrong), 'select 1')).rejects.toThrow(/password authentication failed/);
    expect((await stat(join(directory, 'password'))).mode & 0o077).toBe(0);
    expect((await stat(join(directory, 'data'))).mode & 0o077).toBe(0);
  });

  test('listens on the loopback interface only', async () => {
    const { url } = await start();
    expect(new URL(url).hostname).toBe('127.0.0.1');
    expect(await ask(url, 'show listen_addresses')).toMatchObject([{ listen_addresses: '127.0.0.1' }]);
    const outside = Object.values(networkInterfaces()).flatMap((list) => list ?? []).find(({ internal, family }) => !internal && family === 'IPv4');
    if (outside === undefined) return;
    const away = new URL(url);
    away.hostname = outside.address;
    await expect(ask(String(away), 'select 1')).rejects.toThrow();
  });

  test('a directory in use is refused, and by whom is said', async () => {
    const { url } = await start();
    await expect(start()).rejects.toMatchObject({ code: 'POSTGRES_IN_USE', message: expect.stringContaining(String(process.pid)) });
    expect(await ask(url, 'select 1 as one')).toMatchObject([{ one: 1 }]);
  });

  test('a given port is taken; one that is occupied is an error that says so', async () => {
    const occupied = createServer().listen(0, '127.0.0.1');
    await once(occupied, 'listening');
    const address = occupied.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    await expect(start({ port })).rejects.toMatchObject({ code: 'POSTGRES_START_FAILED', message: expect.stringMatching(new RegExp(`${port}.*bind`)) });
    occupied.close();
    await once(occupied, 'close');
    expect(new URL((await start({ port })).url).port).toBe(String(port));
  });

  test('a half-made database of an interrupted first start is made anew', async () => {
    await mkdir(join(directory, 'data.new', 'base'), { recursive: true });
    await writeFile(join(directory, 'data.new', 'PG_VERSION'), '18\n');
    expect(await ask((await start()).url, 'select 1 as one')).toMatchObject([{ one: 1 }]);
  });

  test('a pid file that names some later process does not hinder the start', async () => {
    await (await start()).stop();
    await writeFile(join(directory, 'data', 'postmaster.pid'), `${process.ppid}\n${directory}/data\n1\n5432\n\n127.0.0.1\n1 1\nready\n`);
    expect(await ask((await start()).url, 'select 1 as one')).toMatchObject([{ one: 1 }]);
  });

  test('data without its password is an error with a remedy', async () => {
    await (await start()).stop();
    await rm(join(directory, 'password'));
    await expect(start()).rejects.toMatchObject({ code: 'POSTGRES_START_FAILED', message: expect.stringContaining('restore it') });
  });
});

describe('when its owner is killed', () => {
  test('the server ends by itself, and what was acknowledged is there at the next start', async () => {
    const { owner, url, serverPid } = await startOwner();
    await ask(url, 'create table kept (id integer); insert into kept values (7)');
    owner.kill('SIGKILL');
    await gone(serverPid);
    expect(await ask((await start()).url, 'select id from kept')).toMatchObject([{ id: 7 }]);
  });

  test('a start that comes at once waits for the old server', async () => {
    const { owner } = await startOwner();
    owner.kill('SIGKILL');
    await once(owner, 'exit');
    expect(await ask((await start()).url, 'select 1 as one')).toMatchObject([{ one: 1 }]);
  });

  test.runIf(process.platform === 'linux')('a server that outlived both owner and watchdog is stopped by the next start', async () => {
    const { owner, url, serverPid } = await startOwner();
    await ask(url, 'create table kept (id integer); insert into kept values (8)');
    for (const pid of await watchdogsOf(serverPid)) process.kill(pid, 'SIGKILL');
    owner.kill('SIGKILL');
    await once(owner, 'exit');
    expect(isAlive(serverPid)).toBe(true);
    const { url: next } = await start();
    expect(isAlive(serverPid)).toBe(false);
    expect(await ask(next, 'select id from kept')).toMatchObject([{ id: 8 }]);
  });
});

describe('when the server alone is killed', () => {
  test('it is started again on its port, and what was acknowledged is there', async () => {
    const { url } = await start();
    const pidFile = join(directory, 'data', 'postmaster.pid');
    const pidNow = async (): Promise<number> => Number.parseInt(await readFile(pidFile, 'utf8').catch(() => ''), 10);
    const database = openDatabase({ url, connectionsMax: 4, log: silentLog });
    await database.sql.unsafe('create table kept (id integer)');
    const acknowledged: number[] = [];
    for (let kill = 0; kill < 3; kill++) {
      const serverPid = await pidNow();
      for (let id = kill * 100; id < kill * 100 + 50; id++) {
        if (id % 100 === 25) process.kill(serverPid, 'SIGKILL');
        const done = await database.transact((sql) => sql.unsafe('insert into kept values ($1)', [id])).then(
          () => true,
          (error: unknown) => (expect(error).toMatchObject({ operational: true }), false),
        );
        if (done) acknowledged.push(id);
      }
      await gone(serverPid);
      while ((await pidNow()) === serverPid || !(await database.sql`select 1`.then(() => true, () => false))) await new Promise((resolve) => setImmediate(resolve));
    }
    const kept = new Set((await database.sql.unsafe<{ id: number }[]>('select id from kept')).map(({ id }) => id));
    await database.close();
    expect(acknowledged.length).toBeGreaterThan(70);
    expect(acknowledged.filter((id) => !kept.has(id))).toEqual([]);
  });
});

/** The shells that stand between a server and its owner: they share its session, and are not it. */
const watchdogsOf = async (serverPid: number): Promise<number[]> => {
  const field = async (pid: number | string, index: number): Promise<string | undefined> => {
    const line = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
    return line.slice(line.lastIndexOf(')') + 2).split(' ')[index];
  };
  const session = Number(await field(serverPid, 3));
  const pids: number[] = [];
  for (let pid = session; pid < session + 50; pid++) {
    const isShell = (await readlink(`/proc/${pid}/exe`).catch(() => '')).endsWith('sh');
    if (isShell && Number(await field(pid, 3)) === session) pids.push(pid);
  }
  return pids;
};

describe.runIf(process.getuid?.() === 0)('as root', () => {
  test('the server runs as somebody else, even where only root may pass', async () => {
    await chmod(join(directory, '..'), 0o700);
    const { url } = await start();
    const [row] = await ask<{ pid: number }>(url, 'select pg_backend_pid() as pid');
    expect(row).toBeDefined();
    const serverPid = Number.parseInt(await readFile(join(directory, 'data', 'postmaster.pid'), 'utf8'), 10);
    expect((await stat(`/proc/${serverPid}`)).uid).not.toBe(0);
  });
});
