/**
 * The long proof: two clusters of separate processes, two of each room, exchange thousands of conversations while workers, brokers and
 * the database are killed with SIGKILL by chance and started again. Every flow ends COMPLETED, and both vaults hold one row for each.
 *
 *     npm run proof -- [--flows 10000] [--seed 1] [--minutes 40] [--kafka 3] [--every 20] [--at-once 256]
 *
 * `--every`: the longest pause between two kills, in seconds. A process that starts takes a core for a second or more, so that on a
 * small machine short pauses leave little time for flows. `--at-once`: flows under way; what a killed process held stands still until its
 * session ends, so that few at once would all wait for it.
 *
 * With Kafka (a number of real brokers, 0 for the embedded one) each replica has a bridge of its own, which is killed too.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import openSql from 'postgres';
import { startEmbeddedPostgres } from '../../src/host/embedded-postgres.ts';
import { rooms } from '../../src/messages/grammar/wire.ts';
import { silentLog } from '../../src/observability/log.ts';
import { createRestClient, type RestClient } from '../../src/rest-client/rest-client.ts';
import { startKafka } from '../kafka/kafka.ts';
import { openSeparateCluster, startAll, type SeparateCluster, type SeparateKind } from './cluster.ts';
import { runFlows } from './flows.ts';
import { makeNetwork } from './network.ts';
import { startKilling, type Killing, type KillPlan, type Victim } from './proof-victims.ts';

export type ProofOptions = {
  readonly flows: number;
  readonly concurrency: number;
  readonly kills: KillPlan;
  /** Brokers of a real Kafka; 0 takes the embedded broker. */
  readonly kafka: number;
  readonly portBase: number;
  readonly print: (line: string) => void;
};

export type ProofResult = {
  /** Flows by how they ended. */
  readonly ends: Readonly<Record<string, number>>;
  /** Rows of the two vaults, and how many flows they are of. */
  readonly rows: Readonly<Record<'alice' | 'bob', { readonly rows: number; readonly numbers: number }>>;
  readonly kills: Readonly<Record<string, number>>;
  readonly seconds: number;
};

const replicas = [0, 1] as const;
const progressMs = 10_000;
/** A flow may wait for what is away, and on a small machine that is long. */
const patienceMs = 600_000;
const startsMax = 5;
/** On two cores thirty processes that start starve each other for seconds; who is slow shall not be taken for dead. */
const environment = { CORDAGE_BUS_SESSION_TIMEOUT_MS: '10000', CORDAGE_KAFKA_SESSION_TIMEOUT_MS: '10000' };
const app = fileURLToPath(new URL('./proof-app', import.meta.url));

/** Closed in the reverse of the order in which they were opened. */
type Closing = (() => Promise<unknown>)[];

const startTwice = async (cluster: SeparateCluster, onKafka: boolean): Promise<void> => {
  await startAll(cluster);
  if (onKafka) await cluster.start('bridge', 1);
  await Promise.all(rooms.map((room) => startAgain(() => cluster.start(room, 1), startsMax)));
};

const openPostgres = async (directory: string, closing: Closing): Promise<{ url: string; victim: Victim }> => {
  const server = await startEmbeddedPostgres({ directory, log: silentLog });
  closing.push(() => server.stop());
  const pidFile = join(directory, 'data', 'postmaster.pid');
  const pid = (): number => Number(readFileSync(pidFile, 'utf8').split('\n', 1)[0]);
  const victim: Victim = {
    name: 'postgres',
    kill: async () => void process.kill(pid(), 'SIGKILL'),
    // It is started again by the one that started it.
    start: async () => {},
  };
  return { url: server.url, victim };
};

const openKafka = async (brokers: number, closing: Closing): Promise<{ bootstrap?: string; victims: Victim[] }> => {
  if (brokers === 0) return { victims: [] };
  const kafka = await startKafka({ brokers });
  closing.push(() => kafka.close());
  // One at a time: with two of three away a partition takes no records, and with the last in-sync one gone it may forget some.
  const victims = kafka.brokers.map((broker): Victim => ({ name: `kafka ${broker.id}`, group: 'kafka', kill: () => broker.kill(), start: () => broker.start() }));
  return { bootstrap: kafka.bootstrap, victims };
};

/** A process that could not start, since what it needs was killed too, is started again, as Kubernetes would. */
const startAgain = async (start: () => Promise<void>, triesLeft: number): Promise<void> => {
  try {
    await start();
  } catch (error) {
    if (triesLeft <= 1) throw error;
    await startAgain(start, triesLeft - 1);
  }
};

const victimsOf = (cluster: SeparateCluster, onKafka: boolean): Victim[] => {
  const victim = (kind: SeparateKind, replica: number): Victim => ({
    name: `${cluster.name} ${kind} ${replica}`,
    kill: () => cluster.kill(kind, replica),
    start: () => startAgain(() => cluster.start(kind, replica), startsMax),
  });
  const workers = rooms.flatMap((room) => replicas.map((replica) => victim(room, replica)));
  return [...workers, ...(onKafka ? replicas.map((replica) => victim('bridge', replica)) : [victim('broker', 0)])];
};

/** Calls the replicas of rest in turn: a client behind a balancer. */
const balanced = (cluster: SeparateCluster): RestClient => {
  let turn = 0;
  const urlOf = (): string => {
    try {
      return turn++ % 2 === 0 ? cluster.restUrl : cluster.urlOf('rest', 1);
    } catch {
      // The second is away.
      return cluster.restUrl;
    }
  };
  const clients = new Map<string, RestClient>();
  const client = (): RestClient => {
    const url = urlOf();
    const known = clients.get(url) ?? createRestClient({ url, credentials: cluster.credentials });
    clients.set(url, known);
    return known;
  };
  const forward = { get: (_target: unknown, name: keyof RestClient) => client()[name] };
  // Every property is that of the client whose turn it is.
  return new Proxy({}, forward) as RestClient;
};

const rowsIn = async (databaseUrl: string, shortHash: string): Promise<{ rows: number; numbers: number }> => {
  const sql = openSql(databaseUrl, { max: 1 });
  try {
    const [row] = await sql<{ rows: number; numbers: number }[]>`
      select count(*)::int as rows, count(distinct value->>'number')::int as numbers from ${sql(`vnode_vault_${shortHash.toLowerCase()}`)}.entity where value->>'batch' = 'proof'`;
    return { ...row! };
  } finally {
    await sql.end();
  }
};

const reportProgress = (killing: Killing, flows: number, print: ProofOptions['print']): { ended(): void; stop(): void } => {
  const begun = performance.now();
  let ended = 0;
  const timer = setInterval(() => {
    const seconds = (performance.now() - begun) / 1_000;
    print(`${seconds.toFixed(0)} s: ${ended} of ${flows} flows ended, ${(ended / seconds).toFixed(1)} a second; ${killing.total()} killed`);
  }, progressMs);
  return { ended: () => void ended++, stop: () => clearInterval(timer) };
};

const proveOn = async (options: ProofOptions, directory: string, closing: Closing): Promise<ProofResult> => {
  const { flows, concurrency, kills, portBase, print } = options;
  const postgres = await openPostgres(join(directory, 'postgres'), closing);
  const kafka = await openKafka(options.kafka, closing);
  const onKafka = kafka.bootstrap !== undefined;
  const bus = kafka.bootstrap === undefined ? {} : { kafka: kafka.bootstrap };
  const open = (name: string, port: number): Promise<SeparateCluster> => openSeparateCluster({ name, directory: join(directory, name), postgresUrl: postgres.url, portBase: port, environment, ...bus });
  const alice = await open('alice', portBase);
  const bob = await open('bob', portBase + 100);
  for (const cluster of [alice, bob]) {
    closing.push(() => cluster.stop());
    await startTwice(cluster, onKafka);
  }
  print('two clusters of separate processes run, two of each room');
  const { aliceHash, bobHash, bobName } = await makeNetwork(alice, bob, join(directory, 'app'), app);
  const begun = performance.now();
  const killing = startKilling([...victimsOf(alice, onKafka), ...victimsOf(bob, onKafka), ...kafka.victims, postgres.victim], kills, print);
  const progress = reportProgress(killing, flows, print);
  const batch = { client: balanced(alice), shortHash: aliceHash, flowClassName: 'com.cordage.proof.Ask', idPrefix: 'proof', count: flows, concurrency, patienceMs };
  const ends = await runFlows({ ...batch, requestBody: (number) => ({ otherMember: bobName, batch: 'proof', number }), onEnded: progress.ended });
  const seconds = (performance.now() - begun) / 1_000;
  progress.stop();
  await killing.stop();
  const rows = { alice: await rowsIn(alice.databaseUrl, aliceHash), bob: await rowsIn(bob.databaseUrl, bobHash) };
  return { ends, rows, kills: killing.counts, seconds };
};

export const runProof = async (options: ProofOptions): Promise<ProofResult> => {
  const directory = mkdtempSync(join(tmpdir(), 'cordage-proof-'));
  const closing: Closing = [];
  let proven = false;
  try {
    const result = await proveOn(options, directory, closing);
    proven = true;
    return result;
  } finally {
    for (let close = closing.pop(); close !== undefined; close = closing.pop()) await close();
    if (proven) rmSync(directory, { recursive: true, force: true });
    else options.print(`the logs of all processes are in ${directory}`);
  }
};

const main = async (): Promise<void> => {
  const { values } = parseArgs({ options: { flows: { type: 'string', default: '10000' }, seed: { type: 'string', default: String(Date.now() % 100_000) }, minutes: { type: 'string', default: '40' }, kafka: { type: 'string', default: '3' }, every: { type: 'string', default: '20' }, 'at-once': { type: 'string', default: '256' } } });
  const flows = Number(values.flows);
  const seed = Number(values.seed);
  const print = (line: string): void => console.log(line);
  print(`${flows} flows, seed ${seed}`);
  // Brokers are ended as this process exits, which a signal alone would not let it do.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));
  const late = setTimeout(() => {
    console.error(`not done in ${values.minutes} minutes`);
    process.exit(1);
  }, Number(values.minutes) * 60_000);
  const result = await runProof({
    flows,
    concurrency: Number(values['at-once']),
    kafka: Number(values.kafka),
    portBase: 22_000,
    print,
    kills: { seed, everyMs: [500, Number(values.every) * 1_000], awayMs: [0, 4_000], awayMax: 4, killsMax: Number.POSITIVE_INFINITY },
  });
  clearTimeout(late);
  const { ends, rows, kills, seconds } = result;
  print(`${seconds.toFixed(0)} s, ${(flows / seconds).toFixed(1)} flows a second`);
  print(`killed: ${Object.entries(kills).map(([name, count]) => `${name} ${count}`).join(', ')}`);
  print(`ends: ${JSON.stringify(ends)}; rows: ${JSON.stringify(rows)}`);
  const whole = Object.values(rows).every((one) => one.rows === flows && one.numbers === flows);
  if (ends['COMPLETED'] !== flows || !whole) {
    console.error('NOT PROVEN');
    process.exitCode = 1;
  } else print('proven: every flow ended once, in order, nothing was lost');
};

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
