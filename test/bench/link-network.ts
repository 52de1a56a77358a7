/** Two clusters of separate processes without flow rooms, with pairs of members that send to each other: what the link benchmarks measure. */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import type { Bus } from '../../src/bus/bus.ts';
import { createHttpBus } from '../../src/bus/http-bus.ts';
import { createVirtualNode, prepareMember, registerMember, staticGroupPolicy, uploadCpi, type MemberPlan } from '../../src/cli/network.ts';
import { createProgress } from '../../src/cli/progress.ts';
import { startEmbeddedPostgres } from '../../src/host/embedded-postgres.ts';
import { pairTagOf } from '../../src/identity/derive.ts';
import { allToLinkManagerSend } from '../../src/messages/all-to-link-manager.send.ts';
import { decode, encode } from '../../src/messages/grammar/envelope.ts';
import type { OutRecord } from '../../src/messages/grammar/record.ts';
import { linkManagerToFlowReceive } from '../../src/messages/link-manager-to-flow.receive.ts';
import { silentLog } from '../../src/observability/log.ts';
import { openSigningKey } from '../../src/packaging/build-signing-key.ts';
import { buildPackage } from '../../src/packaging/build.ts';
import { openSeparateCluster, startAll, type SeparateCluster } from '../clusters/cluster.ts';
import { openTcpProxy, type TcpProxy } from '../clusters/tcp-faults.ts';
import type { Scratch } from './scratch.ts';

export type Side = { readonly cluster: SeparateCluster; readonly proxy: TcpProxy; readonly bus: Bus };

export type LinkNetwork = {
  readonly sender: Side;
  readonly receiver: Side;
  readonly pairs: number;
  /** The nth message of a pair, `chars` long. */
  message(pair: number, sequence: number, chars: number): OutRecord;
};

const commonName = (side: string, pair: number): string => `CN=${side}${pair}, O=Bench, L=London, C=GB`;
/** Longer than any benchmark: nothing expires within one. */
const ttlMs = 3_600_000;

const openSide = async (name: string, postgresUrl: string, portBase: number, { directory, closing }: Scratch): Promise<Side> => {
  let upstream = 0;
  const proxy = await openTcpProxy(() => upstream);
  closing.add(() => proxy.close());
  const cluster = await openSeparateCluster({ name, directory: join(directory, name), postgresUrl, portBase, gatewayUrl: `https://localhost:${proxy.port}` });
  upstream = cluster.gatewayPort;
  closing.add(() => cluster.stop());
  await startAll(cluster, 'flow');
  const bus = createHttpBus({ url: cluster.busUrl, username: 'flow', password: cluster.busPassword, log: silentLog });
  closing.add(() => bus.close());
  return { cluster, proxy, bus };
};

export const openLinkNetwork = async (scratch: Scratch, pairs: number): Promise<LinkNetwork> => {
  const { directory, closing } = scratch;
  const progress = createProgress();
  const postgres = await progress.step('PostgreSQL', () => startEmbeddedPostgres({ directory: join(directory, 'postgres'), log: silentLog }));
  closing.add(() => postgres.stop());
  const sender = await progress.step('the cluster that sends', () => openSide('sender', postgres.url, 22_000, scratch));
  const receiver = await progress.step('the cluster that receives', () => openSide('receiver', postgres.url, 22_100, scratch));
  const groupId = randomUUID();
  const planOf = (name: string, { cluster }: Side): MemberPlan => ({ name, groupId, client: cluster.client, gatewayUrl: cluster.gatewayUrl });
  await progress.step(`a network of ${2 * pairs} members`, async () => {
    const numbers = Array.from({ length: pairs }, (_, pair) => pair);
    const plans = numbers.flatMap((pair) => [planOf(commonName('Sender', pair), sender), planOf(commonName('Receiver', pair), receiver)]);
    const members = await Promise.all(plans.map(prepareMember));
    const signer = await openSigningKey(directory);
    const { cpi } = await buildPackage({ project: new URL('../apps/ping-pong', import.meta.url).pathname, groupPolicy: staticGroupPolicy(groupId, members), signer });
    if (cpi === undefined) throw new Error('no CPI was built');
    // The same file has the same checksum on both.
    const [checksum] = await Promise.all([sender, receiver].map(({ cluster }) => uploadCpi(cluster.client, cpi, signer.certificateChainPem)));
    for (const member of members) {
      await createVirtualNode(member, checksum!);
      await registerMember(member, member.shortHash);
    }
  });
  const message = (pair: number, sequence: number, chars: number): OutRecord => {
    const [source, destination] = [commonName('Sender', pair), commonName('Receiver', pair)];
    const messageId = `${groupId}/${pair}/${sequence}`;
    const payload = `${sequence} `.padEnd(chars, 'x');
    const body = { messageId, groupId, source, destination, subsystem: 'flow' as const, receiverKey: `pair-${pair}`, senderKey: `pair-${pair}`, expiresAt: Date.now() + ttlMs, payload };
    return encode(allToLinkManagerSend, { key: pairTagOf(groupId, source, destination), id: messageId, body });
  };
  return { sender, receiver, pairs, message };
};

export type Received = { readonly pair: number; readonly sequence: number };

/** Reads what arrives, and calls back for each message; undelivered ones are an error. */
export const followReceived = async ({ bus }: Side, onReceived: (received: Received) => void): Promise<() => Promise<void>> => {
  const follower = bus.follow({ topics: [linkManagerToFlowReceive.topic], from: 'latest' });
  await follower.ready;
  let open = true;
  const run = async (): Promise<void> => {
    while (open) {
      for (const record of await follower.poll({ timeoutMs: 1_000 })) {
        const decoded = decode(linkManagerToFlowReceive, record);
        if (decoded.type !== 'message' || decoded.delivery.body.type !== 'message') throw new Error(`not a message: ${record.value.slice(0, 300)}`);
        const { payload } = decoded.delivery.body;
        onReceived({ pair: Number(record.key.slice('pair-'.length)), sequence: Number(payload.slice(0, payload.indexOf(' '))) });
      }
    }
  };
  const running = run();
  return async () => {
    open = false;
    await running;
    await follower.close();
  };
};
