/**
 * Messages of 1 KiB from one cluster to another: from the bus of one, through link manager, gateway, TLS, gateway and link manager, to
 * the bus of the other, authenticated and encrypted. The floor in the same run is a bare Hono server over TLS that echoes 1 KiB.
 */
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { Hono } from 'hono';
import { Pool } from 'undici';
import { encodePem } from '../../src/cipher/pem.ts';
import { listen } from '../../src/host/http-server.ts';
import { derOf, issue } from '../cipher/authority.ts';
import { followReceived, openLinkNetwork, type LinkNetwork } from './link-network.ts';
import { printTable } from './machine.ts';
import { inScratch, type Scratch } from './scratch.ts';

const messageChars = 1_024;
const pairs = 8;
const messages = 40_000;
/** Records of one publish, and messages on their way at once over all pairs. */
const batch = 100;
const underWayMax = 4_000;
const echoMs = 5_000;
const echoConnections = 64;

type Sent = { readonly perSecond: number; readonly order: boolean };

/** Sends so many messages, spread over the pairs, and waits until each has arrived. */
const send = async ({ sender, receiver, message }: LinkNetwork, from: number, count: number): Promise<Sent> => {
  const last = new Map<number, number>();
  let received = 0;
  let order = true;
  let wake = (): void => {};
  const stop = await followReceived(receiver, ({ pair, sequence }) => {
    order &&= sequence === (last.get(pair) ?? from - 1) + 1;
    last.set(pair, sequence);
    received++;
    wake();
  });
  const until = async (holds: () => boolean): Promise<void> => {
    while (!holds()) await new Promise<void>((resolve) => (wake = resolve));
  };
  const begun = performance.now();
  for (let sent = 0; sent < count; sent += batch) {
    await until(() => sent - received < underWayMax);
    await sender.bus.publish(Array.from({ length: batch }, (_, i) => message((sent + i) % pairs, from + Math.floor((sent + i) / pairs), messageChars)));
  }
  await until(() => received >= count);
  const perSecond = count / ((performance.now() - begun) / 1_000);
  await stop();
  return { perSecond, order };
};

const echo = async ({ closing }: Scratch): Promise<number> => {
  const child = fork(fileURLToPath(import.meta.url), ['serve-echo'], { stdio: 'inherit' });
  closing.add(async () => void child.kill('SIGTERM'));
  // Said by serveEcho below.
  const { url, ca } = await new Promise<{ url: string; ca: string }>((resolve) => child.once('message', (told) => resolve(told as { url: string; ca: string })));
  const pool = new Pool(url, { connections: echoConnections, connect: { ca, servername: 'localhost' } });
  const body = 'x'.repeat(messageChars);
  let requests = 0;
  const until = performance.now() + echoMs;
  const caller = async (): Promise<void> => {
    while (performance.now() < until) {
      const answer = await pool.request({ method: 'POST', path: '/', body });
      await answer.body.text();
      requests++;
    }
  };
  await Promise.all(Array.from({ length: echoConnections }, caller));
  await pool.close();
  child.kill('SIGTERM');
  return requests / (echoMs / 1_000);
};

const serveEcho = async (): Promise<void> => {
  const issued = await issue({ name: 'CN=localhost', hosts: ['localhost'] });
  const ca = encodePem('CERTIFICATE', derOf(issued));
  const privateKeyPem = encodePem('PRIVATE KEY', new Uint8Array(await crypto.subtle.exportKey('pkcs8', issued.keys.privateKey)));
  const app = new Hono().post('/', async (context) => context.body(await context.req.text()));
  const { url } = await listen({ fetch: app.fetch, hostname: 'localhost', port: 0, tls: [{ certificateChainPem: ca, privateKeyPem }] });
  process.send?.({ url, ca });
};

export const run = async (): Promise<void> => {
  await inScratch(async (scratch) => {
    const network = await openLinkNetwork(scratch, pairs);
    const warm = 4_000;
    await send(network, 0, warm);
    const { perSecond, order } = await send(network, warm / pairs, messages);
    await scratch.closing.run();
    const floor = await echo(scratch);
    printTable(`${messages} messages of 1 KiB between ${pairs} pairs of members on two clusters`, [
      ['', 'wanted', 'found'],
      ['messages/s, send to receive', '≥ 5,000', Math.round(perSecond)],
      ['in order of each pair', 'yes', order ? 'yes' : 'no'],
      ['bare Hono over TLS, echoes/s', '', Math.round(floor)],
      ['beside it', '(aim ≥ 0.8)', (perSecond / floor).toFixed(2)],
    ]);
  });
};

if (process.argv[2] === 'serve-echo') await serveEcho();
else if (import.meta.main) await run();
