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
import { pairTagOf } from '../../src/identity/derive.ts';
import { allToLinkManagerSend } from '../../src/messages/all-to-link-manager.send.ts';
import { encode } from '../../src/messages/grammar/envelope.ts';
import type { OutRecord } from '../../src/messages/grammar/record.ts';
import { derOf, issue } from '../cipher/authority.ts';
import { separateKinds } from '../clusters/cluster.ts';
import { createWait, followReceived, openLinkNetwork, ttlMs, type LinkNetwork } from './link-network.ts';
import { printTable } from './machine.ts';
import { cpuMs, processesBelow, sumOf } from './processes.ts';
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

/** The nth message of a pair. */
const messageOf = ({ groupId, namesOf }: LinkNetwork, pair: number, sequence: number): OutRecord => {
  const { source, destination } = namesOf(pair);
  const messageId = `${groupId}/${pair}/${sequence}`;
  const payload = `${sequence} `.padEnd(messageChars, 'x');
  const body = { messageId, groupId, source, destination, subsystem: 'flow' as const, receiverKey: `pair-${pair}`, senderKey: `pair-${pair}`, expiresAt: Date.now() + ttlMs, payload };
  return encode(allToLinkManagerSend, { key: pairTagOf(groupId, source, destination), id: messageId, body });
};

/** Sends so many messages, spread over the pairs, and waits until each has arrived. */
const send = async (network: LinkNetwork, from: number, count: number): Promise<Sent> => {
  const last = new Map<string, number>();
  const { wake, until } = createWait();
  let received = 0;
  let order = true;
  const stop = await followReceived(network.receiver, ({ key, payload }) => {
    const sequence = Number(payload.slice(0, payload.indexOf(' ')));
    order &&= sequence === (last.get(key) ?? from - 1) + 1;
    last.set(key, sequence);
    received++;
    wake();
  });
  const begun = performance.now();
  for (let sent = 0; sent < count; sent += batch) {
    await until(() => sent - received < underWayMax);
    await network.sender.bus.publish(Array.from({ length: batch }, (_, i) => messageOf(network, (sent + i) % pairs, from + Math.floor((sent + i) / pairs))));
  }
  await until(() => received >= count);
  const perSecond = count / ((performance.now() - begun) / 1_000);
  await stop();
  return { perSecond, order };
};

/** Milliseconds of processor time so far of every process that takes part. */
const cpuSoFar = ({ sender, receiver }: LinkNetwork): Readonly<Record<string, number>> => {
  const used: Record<string, number> = { 'this program': cpuMs(process.pid), PostgreSQL: sumOf(processesBelow(process.pid).PostgreSQL, cpuMs) };
  for (const [name, { cluster }] of Object.entries({ sender, receiver })) {
    for (const kind of separateKinds) if (cluster.runs(kind)) used[`${name}: ${kind}`] = cpuMs(cluster.pidOf(kind));
  }
  return used;
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
    const network = await openLinkNetwork(scratch, { pairs });
    const warm = 4_000;
    await send(network, 0, warm);
    const before = cpuSoFar(network);
    const { perSecond, order } = await send(network, warm / pairs, messages);
    const after = cpuSoFar(network);
    await scratch.closing.run();
    const floor = await echo(scratch);
    printTable(`${messages} messages of 1 KiB between ${pairs} pairs of members on two clusters`, [
      ['', 'wanted', 'found'],
      ['messages/s, send to receive', '≥ 5,000', Math.round(perSecond)],
      ['in order of each pair', 'yes', order ? 'yes' : 'no'],
      ['bare Hono over TLS, echoes/s', '', Math.round(floor)],
      ['beside it', '(aim ≥ 0.8)', (perSecond / floor).toFixed(2)],
    ]);
    const perMessage = (ms: number): string => ((ms * 1_000) / messages).toFixed(0);
    const used = Object.entries(after).map(([name, ms]): [string, number] => [name, ms - before[name]!]);
    printTable('processor time of one message', [
      ['', 'µs'],
      ...used.filter(([, ms]) => ms * 1_000 >= messages).map(([name, ms]) => [name, perMessage(ms)]),
      ['together', perMessage(used.reduce((sum, [, ms]) => sum + ms, 0))],
    ]);
  });
};

if (process.argv[2] === 'serve-echo') await serveEcho();
else if (import.meta.main) await run();
