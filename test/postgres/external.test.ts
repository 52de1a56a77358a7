/** A server that is somebody else's: over TLS, with our certificate, and what is said when it does not let us in. */
import { createServer } from 'node:net';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { silentLog } from '../../src/observability/log.ts';
import { openDatabase, type Database } from '../../src/postgres/database.ts';
import type { DatabaseError } from '../../src/postgres/database-error.ts';
import { readDatabaseUrl, type TlsMaterial } from '../../src/postgres/database-url.ts';
import { isOperational } from '../../src/shell/operational.ts';
import { issue } from '../cipher/authority.ts';
import { certificatePem, startTlsServer, type TlsServer } from './tls-server.ts';

let server: TlsServer;
beforeAll(async () => {
  server = await startTlsServer();
});
afterAll(() => server?.stop());

const urlWith = (changes: { readonly mode?: string; readonly user?: string; readonly password?: string; readonly host?: string; readonly port?: number; readonly database?: string }): string => {
  const url = new URL(server.url);
  if (changes.mode !== undefined) url.searchParams.set('sslmode', changes.mode);
  if (changes.user !== undefined) url.username = changes.user;
  if (changes.password !== undefined) url.password = changes.password;
  if (changes.host !== undefined) url.hostname = changes.host;
  if (changes.port !== undefined) url.port = String(changes.port);
  if (changes.database !== undefined) url.pathname = `/${changes.database}`;
  return url.href;
};

/** Whether all three kinds of connections are encrypted, and as whom. */
const reach = async (url: string, tls: TlsMaterial = {}): Promise<{ user: string; encrypted: boolean }[]> => {
  const database = openDatabase({ url, tls, connectionsMax: 4, log: silentLog });
  const text = 'select current_user as user, ssl as encrypted from pg_stat_ssl where pid = pg_backend_pid()';
  try {
    const found = [await database.sql.unsafe(text), await database.byKey(text, []), await database.transact((sql) => sql.unsafe(text))];
    // The columns of `text`.
    return found.map((rows) => ({ ...(rows[0] as { user: string; encrypted: boolean }) }));
  } finally {
    await database.close();
  }
};

const refusal = async (url: string, tls?: TlsMaterial): Promise<{ code: string; message: string }> => {
  const database = openDatabase({ url, tls: tls ?? {}, connectionsMax: 4, log: silentLog });
  try {
    const error = await database.transact(async (sql) => sql`select 1`).then(() => undefined, (one: DatabaseError) => one);
    return { code: error?.code ?? 'let in', message: error?.message ?? '' };
  } finally {
    await database.close();
  }
};

describe('TLS', () => {
  test('every connection is encrypted, and the server proven to be the one that was asked for', async () => {
    const found = await reach(urlWith({ mode: 'verify-full' }), { ca: server.ca });
    expect(found).toEqual(Array.from({ length: 3 }, () => ({ user: 'cordage', encrypted: true })));
  });

  test('an authority without a mode means to check everything; no mode and no authority is plain text', async () => {
    expect((await reach(server.url, { ca: server.ca }))[0]).toEqual({ user: 'cordage', encrypted: true });
    expect((await reach(server.url))[0]).toEqual({ user: 'cordage', encrypted: false });
  });

  test('a login may come with a certificate instead of a password', async () => {
    const found = await reach(urlWith({ mode: 'verify-full', user: 'guest', password: '' }), { ca: server.ca, ...server.client });
    expect(found[0]).toEqual({ user: 'guest', encrypted: true });
  });

  test('a server of another authority is refused, unless nothing was to be checked', async () => {
    const other = certificatePem(await issue({ name: 'CN=Somebody Else', ca: true }));
    const { code, message } = await refusal(urlWith({ mode: 'verify-ca' }), { ca: other });
    expect(code).toBe('DATABASE_REFUSED');
    expect(message).toMatch(/CORDAGE_DATABASE_CA_FILE/);
    expect((await reach(urlWith({ mode: 'require' })))[0]?.encrypted).toBe(true);
  });

  test('the right authority vouches for another name: verify-full refuses, verify-ca does not', async () => {
    const byAddress = { host: '127.0.0.1' };
    expect((await refusal(urlWith({ ...byAddress, mode: 'verify-full' }), { ca: server.ca })).code).toBe('DATABASE_REFUSED');
    expect((await reach(urlWith({ ...byAddress, mode: 'verify-ca' }), { ca: server.ca }))[0]?.encrypted).toBe(true);
  });
});

test('a server that has no connection left is waited for: the error is operational, and what is freed is taken', async () => {
  const admin = openDatabase({ url: server.url, connectionsMax: 4, log: silentLog });
  await admin.sql`create role narrow login password 'narrow' connection limit 1`;
  const url = urlWith({ user: 'narrow', password: 'narrow' });
  const [first, second] = [1, 2].map(() => openDatabase({ url, connectionsMax: 4, log: silentLog })) as [Database, Database];
  await first.transact((sql) => sql`select 1`);
  const error: unknown = await second.byKey('select 1', []).catch((one: unknown) => one);
  expect(error).toMatchObject({ code: 'DATABASE_EXHAUSTED' });
  expect(isOperational(error)).toBe(true);
  await first.close();
  // The server frees the place once the connection's process has ended.
  await vi.waitFor(() => second.byKey('select 1', []), { timeout: 5_000, interval: 20 });
  await second.close();
  await admin.close();
});

describe('what is said when we are not let in', () => {
  test.each<[string, Parameters<typeof urlWith>[0], string, RegExp]>([
    ['nobody listens', { port: 1 }, 'DATABASE_UNREACHABLE', /is PostgreSQL running, and does DATABASE_URL name it/],
    ['a wrong password', { password: 'wrong' }, 'DATABASE_REFUSED', /password.*check user and password in DATABASE_URL/],
    ['no such database', { database: 'elsewhere' }, 'DATABASE_REFUSED', /"elsewhere".*check the database name/],
    ['a login that must come over TLS', { user: 'guest' }, 'DATABASE_REFUSED', /pg_hba\.conf.*sslmode=require/],
    ['a login without its certificate', { user: 'guest', mode: 'require' }, 'DATABASE_REFUSED', /certificate/],
  ])('%s', async (_case, changes, code, message) => {
    const found = await refusal(urlWith(changes));
    expect(found.code).toBe(code);
    expect(found.message).toMatch(message);
  });

  test('a server that speaks no TLS is told apart from one that is away', async () => {
    const plain = createServer((socket) => socket.once('data', () => socket.write('N')));
    const port = await new Promise<number>((resolve) => plain.listen(0, '127.0.0.1', () => resolve((plain.address() as { port: number }).port)));
    const found = await refusal(urlWith({ port, mode: 'require' }));
    plain.close();
    expect(found.code).toBe('DATABASE_REFUSED');
    expect(found.message).toMatch(/speaks no TLS; turn it on there/);
  });

  test.each([
    ['postgres://u:p@h/d?sslmode=prefer', /falls back to plain text/],
    ['postgres://u:p@h/d?sslrootcert=/ca.pem', /CORDAGE_DATABASE_CA_FILE/],
    ['nonsense', /is not a URL/],
  ])('%s is refused before anything is tried', (url, message) => {
    expect(() => readDatabaseUrl(url)).toThrow(message);
  });
});
