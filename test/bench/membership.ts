/**
 * 100 members join one network, one after another, spread over three clusters; its manager is on the first. What a join costs at the beginning
 * and at the end, and what the list's news cost a cluster that only hears them, each time and in bytes.
 */
import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join as joinPath } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createHttpBus } from '../../src/bus/http-bus.ts';
import { startCluster, type ClusterProcess } from '../../src/cli/cluster-process.ts';
import { found } from '../../src/cli/dynamic-network/found.ts';
import { join } from '../../src/cli/dynamic-network/join.ts';
import { nameOf } from '../../src/cli/dynamic-network/steps.ts';
import { readTlsCertificate, tlsAlias } from '../../src/cli/network.ts';
import { freePort } from '../../src/cli/ports.ts';
import { silentProgress, type Progress } from '../../src/cli/progress.ts';
import { adminLogin } from '../../src/cli/two-clusters.ts';
import { linkManagerToMemberReceive } from '../../src/messages/link-manager-to-member.receive.ts';
import { silentLog } from '../../src/observability/log.ts';
import { buildPackage, wrapCpb } from '../../src/packaging/build.ts';
import { openSigningKey } from '../../src/packaging/build-signing-key.ts';
import { createRestClient, type RestClient } from '../../src/rest-client/rest-client.ts';
import { until } from '../../src/rest-client/waits.ts';
import { printTable } from './machine.ts';
import { cpuMs, processesBelow, sumOf } from './processes.ts';
import { inScratch, type Scratch } from './scratch.ts';

const joinsMax = Number(process.env['CORDAGE_BENCH_MEMBERS'] ?? 100);
const clusterCount = 3;
const windowJoins = 10;
const project = fileURLToPath(new URL('./app', import.meta.url));
const timeoutMs = 120_000;
const busPassword = 'bench-password';

type Cluster = { readonly process: ClusterProcess; readonly client: RestClient };

const open = async ({ directory, closing }: Scratch, n: number, taken: number[]): Promise<Cluster> => {
  const own = joinPath(directory, `cluster-${n}`);
  mkdirSync(own);
  const adminPassword = randomBytes(12).toString('base64url');
  const restPort = await freePort(24_000 + 10 * n, taken);
  const gatewayPort = await freePort(24_100 + 10 * n, [...taken, restPort]);
  const busPort = await freePort(24_200 + 10 * n, [...taken, restPort, gatewayPort]);
  taken.push(restPort, gatewayPort, busPort);
  const environment = { CORDAGE_FLOW_SANDBOXES: '1', CORDAGE_BUS_CREDENTIALS: `member:${busPassword}:member`, CORDAGE_BUS_PORT: String(busPort) };
  const started = startCluster({ name: `cluster-${n}`, directory: own, restPort, gatewayPort, adminPassword, environment });
  closing.add(() => started.then((one) => one.stop(), () => {}));
  const process = await started;
  return { process, client: createRestClient({ url: process.restUrl, credentials: { login: adminLogin, password: adminPassword } }) };
};

/** Gathers the lists that come to a cluster from another: the bytes of each. */
const listen = (cluster: Cluster, { closing }: Scratch): { readonly taken: () => Promise<readonly number[]> } => {
  const bus = createHttpBus({ url: cluster.process.busUrl!, username: 'member', password: busPassword, log: silentLog });
  const follower = bus.follow({ topics: [linkManagerToMemberReceive.topic], from: 'latest' });
  closing.add(() => bus.close());
  return {
    taken: async () => {
      await follower.ready;
      const payloads = (await follower.drain()).flatMap(({ value }) => (value === null ? [] : [(JSON.parse(value) as { body: { payload: string } }).body.payload]));
      return payloads.filter((payload) => payload.startsWith('{"type":"list"')).map((payload) => Buffer.byteLength(payload));
    },
  };
};

/** Milliseconds of processor time of a cluster, its PostgreSQL and its sandbox with it. */
const cpuOf = ({ process: { pid } }: Cluster): number => {
  const { own, sandbox, PostgreSQL } = processesBelow(pid);
  return sumOf([...own, ...sandbox, ...PostgreSQL], cpuMs);
};

type Joined = { readonly ms: number; readonly cpuMs: number; readonly lists: readonly number[] };

/** Times the registration alone: keys, virtual nodes and packages are other rooms' work. */
const timing = (clusters: readonly Cluster[], note: (ms: number, cpu: number) => void): Progress => ({
  say: () => {},
  step: async (title, work) => {
    const [from, cpu] = [performance.now(), sumOf(clusters.map((_, n) => n), (n) => cpuOf(clusters[n]!))];
    const result = await work();
    if (title === 'Registered') note(performance.now() - from, sumOf(clusters.map((_, n) => n), (n) => cpuOf(clusters[n]!)) - cpu);
    return result;
  },
});

const seenCount = async ({ client }: Cluster, hash: string): Promise<number> =>
  (await client.call('GET /members/{holdingidentityshorthash}', { path: { holdingidentityshorthash: hash } })).members.length;

const print = (joined: readonly Joined[]): void => {
  const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);
  const rows: (string | number)[][] = [['joins', 'registration', 'CPU of all clusters', 'lists to cluster 3', 'bytes of one']];
  for (let from = 0; from < joined.length; from += windowJoins) {
    const window = joined.slice(from, from + windowJoins);
    const lists = window.flatMap((one) => one.lists);
    rows.push([
      `${from + 1}–${from + window.length}`, `${mean(window.map(({ ms }) => ms)).toFixed(0)} ms`, `${mean(window.map((one) => one.cpuMs)).toFixed(0)} ms`,
      (lists.length / window.length).toFixed(1), `${mean(lists).toFixed(0)}, at most ${Math.max(0, ...lists)}`,
    ]);
  }
  printTable(`${joined.length} members join through ${clusterCount} clusters, one after another`, rows);
};

export const run = (): Promise<void> =>
  inScratch(async (scratch) => {
    const taken: number[] = [];
    const clusters: Cluster[] = [];
    for (let n = 0; n < clusterCount; n++) clusters.push(await open(scratch, n, taken));
    const own = await openSigningKey(joinPath(scratch.directory, 'signing-key'));
    const signer = async () => own;
    const trustRoots = await Promise.all(clusters.map(({ client }) => readTlsCertificate(client)));
    const [first] = clusters;
    const { shortHash: manager, policy } = await found(silentProgress, {
      client: first!.client, endpoint: first!.process.gatewayUrl, x500Name: nameOf('name', 'O=Network, L=London, C=GB'), signer, tlsAlias, trustRoots, context: {}, timeoutMs,
    });
    const { cpb } = await buildPackage({ project, signer: own });
    const { cpi } = await wrapCpb({ cpb, groupPolicy: policy, signer: own });
    const application = { type: 'made', cpi, signerPem: own.certificateChainPem } as const;
    const last = listen(clusters.at(-1)!, scratch);
    await last.taken();
    const joined: Joined[] = [];
    const hashes: [Cluster, string][] = [[first!, manager]];
    for (let n = 0; n < joinsMax; n++) {
      const cluster = clusters[n % clusterCount]!;
      let cost = { ms: Number.NaN, cpuMs: Number.NaN };
      const progress = timing(clusters, (ms, cpu) => (cost = { ms, cpuMs: cpu }));
      const { shortHash } = await join(progress, {
        client: cluster.client, policy, endpoint: cluster.process.gatewayUrl, application, tlsAlias, timeoutMs, signer, x500Name: nameOf('name', `O=Member ${n + 1}, L=London, C=GB`),
        signerPems: [], sessionCertificate: undefined, isNotary: false, again: false, context: {},
      });
      hashes.push([cluster, shortHash]);
      joined.push({ ...cost, lists: await last.taken() });
    }
    await Promise.all(hashes.map(([cluster, hash]) => until(`the whole list at ${hash}`, async () => ((await seenCount(cluster, hash)) === joinsMax + 1 ? true : undefined), timeoutMs)));
    print(joined);
    console.log(`\n  every one of the ${hashes.length} sees all ${joinsMax + 1}`);
  });

if (import.meta.main) await run();
