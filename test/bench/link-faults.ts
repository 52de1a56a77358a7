/**
 * 100,000 messages from one cluster to another while the network between them parts and heals, and both link managers and both gateways
 * are killed with SIGKILL and started again: none may be lost, none may come twice, and each pair's must come in order.
 */
import { followReceived, openLinkNetwork, type LinkNetwork } from './link-network.ts';
import { printTable } from './machine.ts';
import { inScratch } from './scratch.ts';

const messages = Number(process.env['CORDAGE_LINK_MESSAGES'] ?? 100_000);
const pairs = 8;
const batch = 100;
const underWayMax = 10_000;
const partitionMs = 5_000;

type Tally = { received: number; twice: number; unordered: number; readonly last: Map<number, number> };

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
];

const count = (tally: Tally, pair: number, sequence: number): void => {
  const expected = (tally.last.get(pair) ?? -1) + 1;
  if (sequence === expected) {
    tally.last.set(pair, sequence);
    tally.received++;
  } else if (sequence < expected) tally.twice++;
  else tally.unordered++;
};

export const run = async (): Promise<void> => {
  await inScratch(async (scratch) => {
    const network = await openLinkNetwork(scratch, pairs);
    const { sender, receiver, message } = network;
    const tally: Tally = { received: 0, twice: 0, unordered: 0, last: new Map() };
    let wake = (): void => {};
    const stop = await followReceived(receiver, ({ pair, sequence }) => {
      count(tally, pair, sequence);
      wake();
    });
    const until = async (holds: () => boolean): Promise<void> => {
      while (!holds()) await new Promise<void>((resolve) => (wake = resolve));
    };
    const running: Promise<void>[] = [];
    const begun = performance.now();
    for (let sent = 0; sent < messages; sent += batch) {
      for (const [name, share, strike] of faults) {
        if (sent !== Math.floor((messages * share) / batch) * batch) continue;
        console.log(`  ${name}, after ${sent} messages (${tally.received} received)`);
        running.push(strike(network));
      }
      await until(() => sent - tally.received < underWayMax);
      await sender.bus.publish(Array.from({ length: batch }, (_, i) => message((sent + i) % pairs, Math.floor((sent + i) / pairs), 1_024)));
    }
    await Promise.all(running);
    await until(() => tally.received + tally.unordered >= messages);
    const seconds = (performance.now() - begun) / 1_000;
    await stop();
    printTable(`${messages} messages of 1 KiB through ${faults.map(([name]) => name).join(', ')}`, [
      ['', 'wanted', 'found'],
      ['lost', 0, messages - tally.received - tally.unordered],
      ['twice', 0, tally.twice],
      ['out of order', 0, tally.unordered],
      ['seconds', '', seconds.toFixed(1)],
    ]);
  });
};

if (import.meta.main) await run();
