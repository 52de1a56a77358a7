/**
 * Handshakes a second between two link managers' machines, both in this process: all steps of both sides with their signatures, from
 * the first message waiting to its delivery; no bus, no database. Classical beside hybrid, with and without the cookie.
 */
import { allToCryptoSign } from '../../src/messages/all-to-crypto.sign.ts';
import { decode } from '../../src/messages/grammar/envelope.ts';
import { linkManagerToFlowReceive } from '../../src/messages/link-manager-to-flow.receive.ts';
import { linkManagerToGatewayLinkOut } from '../../src/messages/link-manager-to-gateway.link-out.ts';
import { randomBytes } from '../../src/cipher/bytes.ts';
import type { Head, LinkEvent } from '../../src/workers/link-manager/head.ts';
import type { KeyAgreement } from '../../src/workers/link-manager/worker.ts';
import { alice, bob, createCluster, groupId, inRecordOf, tag, type Cluster } from '../workers/link-manager/cluster-fixture.ts';
import { printTable } from './machine.ts';

const now = Date.now();
const clock = { now: () => now, after: () => () => {} };

type Options = { readonly keyAgreement: KeyAgreement; readonly cookie: boolean };

type Side = { readonly cluster: Cluster; head: Head | undefined };
const sideOf = (own: typeof alice, { keyAgreement, cookie }: Options): Side => ({
  cluster: createCluster({ hosts: [own], members: [alice, bob], clock, random: randomBytes, keyAgreement, limits: { halfOpenUnprovenMax: cookie ? 0 : 100_000, halfOpenTotalMax: 1e9, cookiesPerSecondMax: 1e9 } }),
  head: undefined,
});

const send: LinkEvent = {
  type: 'send',
  message: { messageId: 'm', groupId, source: alice.name, destination: bob.name, subsystem: 'flow', receiverKey: 'r', senderKey: 's', expiresAt: now + 3_600_000, payload: 'p' },
};

/** From nothing to a first message delivered; gives the packets that it took. */
const handshake = async (one: Side, other: Side): Promise<number> => {
  one.head = other.head = undefined;
  const queue: { side: Side; event: LinkEvent }[] = [{ side: one, event: send }];
  let packets = 0;
  for (let turn = queue.shift(); turn !== undefined; turn = queue.shift()) {
    const { side, event } = turn;
    const [output] = await side.cluster.machine.step([{ key: tag, head: side.head, items: undefined, events: [event] }], now);
    if (output?.type !== 'next') throw new Error(JSON.stringify(output));
    side.head = output.head ?? side.head;
    for (const effect of [...output.effects, ...(output.fleeting ?? [])]) {
      if (effect.topic === linkManagerToFlowReceive.topic) return packets;
      if (effect.topic === allToCryptoSign.topic) queue.push({ side, event: { type: 'answer', ...(await side.cluster.answerSign(effect)) } });
      if (effect.topic !== linkManagerToGatewayLinkOut.topic) continue;
      const decoded = decode(linkManagerToGatewayLinkOut, inRecordOf(effect));
      if (decoded.type !== 'message') throw new Error('a malformed packet');
      packets++;
      queue.push({ side: side === one ? other : one, event: { type: 'link-in', tag, packet: decoded.delivery.body.packet } });
    }
  }
  throw new Error('the handshake came to nothing');
};

const measureMs = 2_000;
/** As many pairs shake hands at one time: the platform's ciphers run beside each other. */
const atOnce = 16;

const rate = async (options: Options): Promise<(string | number)[]> => {
  const pairs = Array.from({ length: atOnce }, () => [sideOf(alice, options), sideOf(bob, options)] as const);
  let packets = 0;
  let count = 0;
  const repeat = async ([one, other]: (typeof pairs)[number], until: number): Promise<void> => {
    do {
      packets = await handshake(one, other);
      count++;
    } while (performance.now() < until);
  };
  await Promise.all(pairs.map((pair) => repeat(pair, 0)));
  count = 0;
  const begun = performance.now();
  const cpu = process.cpuUsage();
  await Promise.all(pairs.map((pair) => repeat(pair, begun + measureMs)));
  const took = performance.now() - begun;
  const { user, system } = process.cpuUsage(cpu);
  return [options.keyAgreement, options.cookie ? 'yes' : 'no', packets, Math.round((count * 1_000) / took), ((user + system) / 1_000 / count).toFixed(2)];
};

export const run = async (): Promise<void> => {
  const rows: (string | number)[][] = [['key agreement', 'cookie', 'packets', 'handshakes/s', 'CPU ms each']];
  for (const keyAgreement of ['classical', 'hybrid-required'] as const) {
    for (const cookie of [false, true]) rows.push(await rate({ keyAgreement, cookie }));
  }
  printTable(`Handshakes of ${atOnce} pairs at a time, both sides in one process`, rows);
};
