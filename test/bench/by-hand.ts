/**
 * The floor of the engines: what one writes where no engine is wanted. A bare Hono server whose handler commits two rows and the result of the
 * run by one statement, and answers. No login, no recovery, no code of others; a repeat is found out by the id of the run.
 */
import { fork } from 'node:child_process';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { pid } from 'node:process';
import { fileURLToPath } from 'node:url';
import { serve } from '@hono/node-server';
import { Hono } from 'hono';
import openSql from 'postgres';
import { startEmbeddedPostgres } from '../../src/host/embedded-postgres.ts';
import { silentLog } from '../../src/observability/log.ts';
import { openHttpLoad } from './http-load.ts';
import { runFor } from './load.ts';
import type { Peer } from './peers.ts';
import { cpuMs, processesBelow, sumOf } from './processes.ts';
import type { Scratch } from './scratch.ts';

/** As many as DBOS has for its rows. */
const connectionsMax = 20;

const serveByHand = async (databaseUrl: string): Promise<number> => {
  const sql = openSql(databaseUrl, { max: connectionsMax });
  await sql`create table if not exists note (id text primary key, value jsonb not null)`;
  await sql`create table if not exists run (id text primary key, result jsonb not null)`;
  const app = new Hono();
  app.post('/two', async (context) => {
    const { id } = await context.req.json<{ id: string }>();
    await sql`
      with notes as (insert into note (id, value) values (${`${id}/1`}, ${sql.json({ id: `${id}/1`, text: 'hello' })}), (${`${id}/2`}, ${sql.json({ id: `${id}/2`, text: 'hello' })}))
      insert into run (id, result) values (${id}, ${sql.json(id)})`;
    return context.json({ id, status: 'COMPLETED' });
  });
  return new Promise((resolve) => {
    const server = serve({ fetch: app.fetch, hostname: '127.0.0.1', port: 0 }, (address: AddressInfo) => resolve(address.port));
    // It leaves when its parent hangs up.
    process.once('disconnect', () => (server.close(), process.exit(0)));
  });
};

/** On a PostgreSQL of the same package as Cordage's, with its defaults. */
export const startByHand = async (scratch: Scratch): Promise<Peer> => {
  const starting = startEmbeddedPostgres({ directory: join(scratch.directory, 'by-hand'), log: silentLog });
  scratch.closing.add(() => starting.then((one) => one.stop(), () => {}));
  const child = fork(fileURLToPath(import.meta.url), ['serve', (await starting).url], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  scratch.closing.add(() => (child.connected && child.disconnect(), gone));
  const port = await new Promise<number>((resolve, reject) => {
    child.once('message', (message) => resolve(Number(message)));
    child.once('exit', (code) => reject(new Error(`the server by hand ended with ${code}`)));
  });
  const headers = { 'content-type': 'application/json' };
  return {
    run: async (callers, durationMs, prefix) => {
      const http = openHttpLoad(`http://127.0.0.1:${port}`, callers);
      const call = async (index: number): Promise<void> => {
        const { status, text } = await http.ask({ method: 'POST', path: '/two', headers, body: JSON.stringify({ id: `${prefix}-${index}` }) });
        if (status !== 200 || !text.includes('"COMPLETED"')) throw new Error(`the server by hand answered ${status}: ${text}`);
      };
      try {
        return await runFor(callers, durationMs, call);
      } finally {
        await http.close();
      }
    },
    cpuMs: () => ({ client: cpuMs(pid), server: cpuMs(child.pid!), PostgreSQL: sumOf(processesBelow(pid).PostgreSQL, cpuMs) }),
  };
};

if (import.meta.main && process.argv[2] === 'serve') process.send!(await serveByHand(process.argv[3]!));
