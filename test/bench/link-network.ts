/** Two clusters of separate processes with pairs of members, of which one sends to the other: what the link benchmarks measure. */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Bus } from '../../src/bus/bus.ts';
import { createHttpBus } from '../../src/bus/http-bus.ts';
import { createVirtualNode, prepareMember, registerMember, staticGroupPolicy, uploadCpi, type MemberPlan } from '../../src/cli/network.ts';
import { createProgress } from '../../src/cli/progress.ts';
import { startEmbeddedPostgres } from '../../src/host/embedded-postgres.ts';
import type { X500Name } from '../../src/identity/x500.ts';
import { decode } from '../../src/messages/grammar/envelope.ts';
import { linkManagerToFlowReceive } from '../../src/messages/link-manager-to-flow.receive.ts';
import { createHttpExchange } from '../../src/host/http-exchange.ts';
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
  readonly groupId: string;
  /** The sender of a pair and the receiver. */
  namesOf(pair: number): { readonly source: X500Name; readonly destination: X500Name };
};

export type LinkNetworkOptions = {
  readonly pairs: number;
  /** The application whose flows hear what arrives; without it the receiver has no flow room, as the sender never has. */
  readonly app?: string;
};

const pingPong = fileURLToPath(new URL('../apps/ping-pong', import.meta.url));

// Written as a canonical name is.
const commonName = (side: string, pair: number): X500Name => `CN=${side}${pair}, O=Bench, L=London, C=GB` as X500Name;
/** Longer than any benchmark: nothing expires within one. */
export const ttlMs = 3_600_000;

type SideOptions = { readonly name: string; readonly postgresUrl: string; readonly portBase: number; readonly hears: boolean };

const openSide = async ({ name, postgresUrl, portBase, hears }: SideOptions, { directory, closing }: Scratch): Promise<Side> => {
  let upstream = 0;
  const proxy = await openTcpProxy(() => upstream);
  closing.add(() => proxy.close());
  const cluster = await openSeparateCluster({ name, directory: join(directory, name), postgresUrl, portBase, gatewayUrl: `https://localhost:${proxy.port}` });
  upstream = cluster.gatewayPort;
  closing.add(() => cluster.stop());
  await startAll(cluster, hears ? undefined : 'flow');
  const bus = createHttpBus({ url: cluster.busUrl, username: 'flow', password: cluster.busPassword, log: silentLog, exchange: createHttpExchange() });
  closing.add(() => bus.close());
  return { cluster, proxy, bus };
};

export const openLinkNetwork = async (scratch: Scratch, { pairs, app }: LinkNetworkOptions): Promise<LinkNetwork> => {
  const { directory, closing } = scratch;
  const progress = createProgress();
  const postgres = await progress.step('PostgreSQL', () => startEmbeddedPostgres({ directory: join(directory, 'postgres'), log: silentLog }));
  closing.add(() => postgres.stop());
  const sender = await progress.step('the cluster that sends', () => openSide({ name: 'sender', postgresUrl: postgres.url, portBase: 22_000, hears: false }, scratch));
  const receiver = await progress.step('the cluster that receives', () => openSide({ name: 'receiver', postgresUrl: postgres.url, portBase: 22_100, hears: app !== undefined }, scratch));
  const groupId = randomUUID();
  const planOf = (name: string, { cluster }: Side): MemberPlan => ({ name, groupId, client: cluster.client, gatewayUrl: cluster.gatewayUrl });
  await progress.step(`a network of ${2 * pairs} members`, async () => {
    const numbers = Array.from({ length: pairs }, (_, pair) => pair);
    const plans = numbers.flatMap((pair) => [planOf(commonName('Sender', pair), sender), planOf(commonName('Receiver', pair), receiver)]);
    const members = await Promise.all(plans.map(prepareMember));
    const signer = await openSigningKey(directory);
    const { cpi } = await buildPackage({ project: app ?? pingPong, groupPolicy: staticGroupPolicy(groupId, members), signer });
    if (cpi === undefined) throw new Error('no CPI was built');
    // The same file has the same checksum on both.
    const [checksum] = await Promise.all([sender, receiver].map(({ cluster }) => uploadCpi(cluster.client, cpi, signer.certificateChainPem)));
    for (const member of members) {
      await createVirtualNode(member, checksum!);
      await registerMember(member, member.shortHash);
    }
  });
  const namesOf = (pair: number) => ({ source: commonName('Sender', pair), destination: commonName('Receiver', pair) });
  return { sender, receiver, pairs, groupId, namesOf };
};

export type Received = { readonly key: string; readonly payload: string };

/** Reads what arrives at a cluster, and calls back for each message; undelivered ones are an error. */
export const followReceived = async ({ bus }: Side, onReceived: (received: Received) => void): Promise<() => Promise<void>> => {
  const follower = bus.follow({ topics: [linkManagerToFlowReceive.topic], from: 'latest' });
  await follower.ready;
  let open = true;
  const run = async (): Promise<void> => {
    while (open) {
      for (const record of await follower.poll({ timeoutMs: 1_000 })) {
        const decoded = decode(linkManagerToFlowReceive, record);
        if (decoded.type !== 'message' || decoded.delivery.body.type !== 'message') throw new Error(`not a message: ${record.value.slice(0, 300)}`);
        onReceived({ key: record.key, payload: decoded.delivery.body.payload });
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

/** A wait that whoever changes something wakes. */
export const createWait = (): { wake(): void; until(holds: () => boolean): Promise<void> } => {
  let wake = (): void => {};
  return {
    wake: () => wake(),
    until: async (holds) => {
      while (!holds()) await new Promise<void>((resolve) => (wake = resolve));
    },
  };
};
