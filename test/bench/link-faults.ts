/**
 * 100,000 messages from one cluster to the flows of another while the network between them parts and heals, and both link managers and
 * both gateways are killed with SIGKILL and started again. They are session messages, as a flow room sends them; a real flow room hears
 * them, and its flows (`tally-app`) count: none may be lost, none be acted on twice, and each session's must come in order.
 */
import { fileURLToPath } from 'node:url';
import { deriveId, responderFlowIdOf } from '../../src/identity/derive.ts';
import { sessionMessage, type SessionMessage } from '../../src/messages/flow-to-flow.session.ts';
import type { OutRecord } from '../../src/messages/grammar/record.ts';
import { messageIdOf, messageRecord } from '../../src/workers/flow/engine/session-record.ts';
import { createWait, followReceived, openLinkNetwork, ttlMs, type LinkNetwork, type Received } from './link-network.ts';
import { printTable } from './machine.ts';
import { inScratch } from './scratch.ts';
import { tally } from './tally-app/flows.ts';

const app = fileURLToPath(new URL('tally-app', import.meta.url));
const messages = Number(process.env['CORDAGE_LINK_MESSAGES'] ?? 100_000);
const messageChars = 1_024;
const pairs = 8;
/** Messages of one session: fewer than may wait unread in one. */
const sessionMessages = 250;
const batch = 100;
const underWayMax = 10_000;
const partitionMs = 5_000;
/** Nothing arriving for so long is taken for lost: longer than all back-offs. */
const silenceMsMax = 90_000;

const kill = async (network: LinkNetwork, kind: 'link-manager' | 'gateway'): Promise<void> => {
  const clusters = [network.sender.cluster, network.receiver.cluster];
  await Promise.all(clusters.map((cluster) => cluster.kill(kind)));
  await Promise.all(clusters.map((cluster) => cluster.start(kind)));
};

const part = async ({ sender, receiver }: LinkNetwork): Promise<void> => {
  for (const { proxy } of [sender, receiver]) proxy.set({ type: 'partition' });
  await new Promise((resolve) => setTimeout(resolve, partitionMs));
  for (const { proxy } of [sender, receiver]) proxy.set({ type: 'none' });
};

const faults: readonly (readonly [string, number, (network: LinkNetwork) => Promise<void>])[] = [
  [`partition of ${partitionMs / 1_000} s`, 0.2, part],
  ['kill -9 of both link managers', 0.4, (network) => kill(network, 'link-manager')],
  ['kill -9 of both gateways', 0.6, (network) => kill(network, 'gateway')],
  ['kill -9 of both link managers again', 0.8, (network) => kill(network, 'link-manager')],
];

/** Message `at` of a pair's row, in the session that it falls into, as the flow room of the sender would send it. */
const messageOf = ({ groupId, namesOf }: LinkNetwork, pair: number, at: number, countOfPair: number): OutRecord => {
  const { source, destination } = namesOf(pair);
  const index = Math.floor(at / sessionMessages);
  const number = at % sessionMessages;
  const count = Math.min(sessionMessages, countOfPair - index * sessionMessages);
  const initiatorFlowId = deriveId('bench flow', groupId, String(pair), String(index));
  const sessionId = deriveId('bench session', initiatorFlowId);
  const json = JSON.stringify({ number, count, filler: 'x'.repeat(messageChars) });
  const init = { protocol: 'com.cordage.bench.counting', versions: [1], initiatorFlowId, initiatorFlowClassName: 'com.cordage.bench.Say', context: {} };
  const message: SessionMessage = {
    v: 1, sessionId, sender: 'initiator', seq: number + 1, ...(number === 0 ? { init } : { senderFlowId: initiatorFlowId }), content: { type: 'data', json },
  };
  const receiverKey = responderFlowIdOf(groupId, destination, source, sessionId);
  const addresses = { identity: { x500Name: source, groupId }, counterparty: destination, receiverKey, senderKey: initiatorFlowId };
  return messageRecord(addresses, messageIdOf(sessionId, 'initiator', message.seq), message, { now: Date.now(), ttlMs });
};

/** Records on the receiver's bus: of each session the last in order. */
const createRecords = () => {
  const last = new Map<string, number>();
  const counted = { came: 0, again: 0, early: 0 };
  const count = ({ key, payload }: Received): void => {
    const { seq } = sessionMessage.parse(JSON.parse(payload));
    const expected = (last.get(key) ?? 0) + 1;
    if (seq === expected) {
      last.set(key, seq);
      counted.came++;
    } else if (seq < expected) counted.again++;
    else counted.early++;
  };
  return { counted, count };
};

/** What the flows that heard say at their end, each once. */
const createTallies = () => {
  const told = new Set<string>();
  const sum = { heard: 0, twice: 0, early: 0 };
  const count = ({ key, payload }: Received): void => {
    const { content } = sessionMessage.parse(JSON.parse(payload));
    if (content.type === 'error') throw new Error(`a flow that heard ended with ${content.code}: ${content.message}`);
    if (content.type !== 'data' || told.has(key)) return;
    told.add(key);
    const { heard, twice, early } = tally.parse(JSON.parse(content.json));
    sum.heard += heard;
    sum.twice += twice;
    sum.early += early;
  };
  return { sum, count };
};

/** Ends with true as soon as it holds, with false when nothing has come for long. */
const patiently = async (holds: () => boolean, wait: ReturnType<typeof createWait>, cameAt: () => number): Promise<boolean> => {
  const timer = setInterval(wait.wake, 1_000);
  const silent = (): boolean => performance.now() - cameAt() > silenceMsMax;
  await wait.until(() => holds() || silent());
  clearInterval(timer);
  return holds();
};

export const run = async (): Promise<void> => {
  await inScratch(async (scratch) => {
    const network = await openLinkNetwork(scratch, { pairs, app });
    const records = createRecords();
    const tallies = createTallies();
    const wait = createWait();
    let cameAt = performance.now();
    const hearWith = (count: (received: Received) => void) => (received: Received): void => {
      count(received);
      cameAt = performance.now();
      wait.wake();
    };
    const stops = [await followReceived(network.receiver, hearWith(records.count)), await followReceived(network.sender, hearWith(tallies.count))];
    const running: Promise<void>[] = [];
    const begun = performance.now();
    for (let sent = 0; sent < messages; sent += batch) {
      for (const [name, share, strike] of faults) {
        if (sent !== Math.floor((messages * share) / batch) * batch) continue;
        console.log(`  ${name}, after ${sent} messages (${records.counted.came} on the receiver's bus)`);
        running.push(strike(network));
      }
      if (!(await patiently(() => sent - records.counted.came < underWayMax, wait, () => cameAt))) break;
      await network.sender.bus.publish(Array.from({ length: batch }, (_, i) => messageOf(network, (sent + i) % pairs, Math.floor((sent + i) / pairs), messages / pairs)));
    }
    await Promise.all(running);
    await patiently(() => tallies.sum.heard >= messages, wait, () => cameAt);
    const seconds = (performance.now() - begun) / 1_000;
    for (const stop of stops) await stop();
    printTable(`${messages} messages of 1 KiB through ${faults.map(([name]) => name).join(', ')}`, [
      ['', 'wanted', 'found'],
      ['lost: no flow heard it', 0, messages - tallies.sum.heard],
      ['twice: a flow heard it again', 0, tallies.sum.twice],
      ['out of order: a flow heard it too early', 0, tallies.sum.early],
      ["records twice on the receiver's bus, dropped by its flow room", '', records.counted.again],
      ["records out of order on the receiver's bus", 0, records.counted.early],
      ['seconds', '', seconds.toFixed(1)],
    ]);
  });
};

if (import.meta.main) await run();
