/** PgBouncer in transaction mode, where it is installed (Debian: `apt-get install pgbouncer`). */
import { spawn, spawnSync } from 'node:child_process';
import { chownSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { freePort } from '../../src/cli/ports.ts';

export type PgBouncer = {
  /** The same database by way of the pooler. */
  urlOf(serverUrl: string): string;
  stop(): Promise<void>;
};

const program = ['/usr/sbin/pgbouncer', '/usr/bin/pgbouncer', '/usr/local/bin/pgbouncer'].find((path) => spawnSync(path, ['--version']).status === 0);

/** Why tests with a pooler are skipped; `undefined` where they run. */
export const noPooler: string | undefined = program === undefined ? 'PgBouncer is not installed (apt-get install pgbouncer)' : undefined;

/** Ends it when our end of the pipe is closed: by us, or because we were killed. */
const watchdog = `
exec 3<&0
"$@" </dev/null 3<&- &
pooler=$!
(read -r _ <&3; kill -KILL "$pooler") >/dev/null 2>&1 &
exec 3<&-
wait "$pooler"
`;

export type PgBouncerOptions = {
  /** The servers' URLs, each with a login: databases of the same name on several servers are not told apart. */
  readonly serverUrl: string;
  readonly portBase: number;
  /** Connections to the server for each login and database: fewer than there are clients, so that they are shared. */
  readonly poolSize: number;
  /** Logins and passwords beside the URL's own. */
  readonly logins?: readonly (readonly [string, string])[];
};

/** As root it runs under the account of `data`'s owner, since it refuses to be root. */
export const startPgBouncer = async ({ serverUrl, portBase, poolSize, logins = [] }: PgBouncerOptions): Promise<PgBouncer> => {
  if (program === undefined) throw new Error(noPooler);
  const server = new URL(serverUrl);
  const port = await freePort(portBase);
  const directory = mkdtempSync(join(tmpdir(), 'cordage-pgbouncer-'));
  const write = (name: string, text: string): string => {
    writeFileSync(join(directory, name), text);
    return join(directory, name);
  };
  const users = write('users.txt', [[server.username, decodeURIComponent(server.password)], ...logins].map(([name, password]) => `"${name}" "${password}"`).join('\n'));
  const settings = {
    listen_addr: '127.0.0.1', listen_port: port, unix_socket_dir: '', auth_type: 'plain', auth_file: users,
    pool_mode: 'transaction', default_pool_size: poolSize, max_client_conn: 500, server_round_robin: 1, server_login_retry: 1,
  };
  const lines = ['[databases]', `* = host=${server.hostname} port=${server.port}`, '[pgbouncer]', ...Object.entries(settings).map(([name, value]) => `${name} = ${value}`)];
  const file = write('pgbouncer.ini', `${lines.join('\n')}\n`);
  const account = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {};
  if (account.uid !== undefined) for (const path of [directory, users, file]) if (statSync(path).uid === 0) chownSync(path, account.uid, account.gid);
  const child = spawn('/bin/sh', ['-c', watchdog, 'pooler', program, file], { ...account, cwd: '/', stdio: ['pipe', 'ignore', 'pipe'] });
  child.stdin.on('error', () => {});
  const said: string[] = [];
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  await new Promise<void>((resolve, reject) => {
    child.once('exit', () => reject(new Error(`PgBouncer ended at once: ${said.join(' | ')}`)));
    createInterface({ input: child.stderr }).on('line', (line) => {
      said.push(line);
      if (said.length > 20) said.shift();
      if (line.includes('process up')) resolve();
    });
  });
  return {
    urlOf: (url) => {
      const through = new URL(url);
      through.host = `127.0.0.1:${port}`;
      return through.href;
    },
    stop: async () => {
      child.stdin.end();
      await gone;
      rmSync(directory, { recursive: true, force: true });
    },
  };
};
