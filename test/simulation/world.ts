/** Two clusters under one seed: what exists, how chance decides what happens next, and the network of Alice and Bob. */
import { fileURLToPath } from 'node:url';
import { toBase64url } from '../../src/cipher/bytes.ts';
import { holdingIdentityOf, type HoldingIdentity } from '../../src/identity/holding-identity.ts';
import { parseX500 } from '../../src/identity/x500.ts';
import { allToCryptoKey, type PublicKeyInfo } from '../../src/messages/all-to-crypto.key.ts';
import { allToMemberAnswer } from '../../src/messages/all-to-member.answer.ts';
import { dbToAllCpi } from '../../src/messages/db-to-all.cpi.ts';
import { dbToAllVirtualNode } from '../../src/messages/db-to-all.virtual-node.ts';
import { dbToFlowCpk } from '../../src/messages/db-to-flow.cpk.ts';
import { decode, encode } from '../../src/messages/grammar/envelope.ts';
import type { InRecord } from '../../src/messages/grammar/record.ts';
import type { FlowDeclaration } from '../../src/messages/grammar/shapes.ts';
import type { BodyOf } from '../../src/messages/grammar/wire.ts';
import { memberToAllGroupParameters } from '../../src/messages/member-to-all.group-parameters.ts';
import { memberToAllMember } from '../../src/messages/member-to-all.member.ts';
import { memberToLinkManagerHostedIdentity } from '../../src/messages/member-to-link-manager.hosted-identity.ts';
import { bundleProject } from '../../src/packaging/build/bundle.ts';
import { readDeclarations } from '../../src/packaging/build/declarations.ts';
import { deriveRootKey } from '../../src/workers/crypto/root-key.ts';
import { deriveLinkKey } from '../../src/workers/link-manager/worker.ts';
import { createRandom, type Random } from './random.ts';
import { createSimClock, skewed, type SimClock } from './sim-clock.ts';
import { createSimCluster, simulatedRooms, type SimCluster, type SimulatedRoom } from './sim-cluster.ts';
import { createSimNetwork, type NetworkFaults, type SimNetwork } from './sim-network.ts';
import type { BusFaults } from '../../src/testing/step-bus.ts';

export type Faults = BusFaults & NetworkFaults & {
  /** Per point of each batch: the room crashes there and is made anew. */
  readonly crash: number;
  /** Per turn of the scheduler. */
  readonly rebalance: number;
  readonly timePasses: number;
  /** Bound of the difference between the clusters' clocks. */
  readonly skewMsMax: number;
};

export const noFaults: Faults = { publishFails: 0, publishFailsLate: 0, commitLost: 0, requestLost: 0, answerLost: 0, doubled: 0, corrupted: 0, crash: 0, rebalance: 0, timePasses: 0, skewMsMax: 0 };

export class SimulatedCrash extends Error {
  readonly operational = true;
  readonly room: SimulatedRoom;
  constructor(room: SimulatedRoom) {
    super(`simulated: ${room} crashed`);
    this.room = room;
  }
}

export type Side = { readonly cluster: SimCluster; readonly identity: HoldingIdentity; readonly origin: string };

export type World = {
  readonly clock: SimClock;
  readonly random: Random;
  readonly sides: readonly [Side, Side];
  /** One turn of the scheduler; false when nothing is left to do, not even a timer. */
  turn(): Promise<boolean>;
  /** From now on nothing goes wrong. */
  calm(): void;
  /** Every record so far on both buses, in the order in which they came. */
  readonly records: readonly { readonly origin: string; readonly record: InRecord }[];
  /** Every decision so far, for two runs of one seed to be compared. */
  readonly trace: readonly string[];
};

const groupId = 'simulation';

/** How long the world may pause while there is work: long enough for time-outs of the protocol to strike between two steps. */
const pauseMsMax = 1_500;

// Made once: what every seed shares is no part of what it decides.
const shared = (async () => {
  const directory = fileURLToPath(new URL('.', import.meta.url));
  const { code: bundle } = await bundleProject({ name: 'simulation', version: '1', directory, entry: fileURLToPath(new URL('app.ts', import.meta.url)) });
  return { bundle, flows: await readDeclarations(bundle), rootKey: await deriveRootKey({ passphrase: 'simulation', salt: 'simulation', iterations: 1 }), linkKey: await deriveLinkKey({ passphrase: 'simulation', salt: 'simulation', iterations: 1 }) };
})();

const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

const identityOf = (name: string): HoldingIdentity => {
  const parsed = parseX500(name);
  if (parsed.type === 'invalid') throw new Error(parsed.reason);
  return holdingIdentityOf(parsed.name, groupId);
};

type Scheduler = Pick<World, 'turn' | 'calm' | 'trace'>;

const createScheduler = (clock: SimClock, random: Random, clusters: readonly SimCluster[], network: SimNetwork, chance: { faults: Faults }): Scheduler => {
  const trace: string[] = [];
  const step = async (cluster: SimCluster, index: number, loop: ReturnType<SimCluster['loops']>[number]): Promise<void> => {
    trace.push(`${clock.now()} ${loop.name}`);
    try {
      await loop.step();
    } catch (error) {
      if (!(error instanceof SimulatedCrash)) {
        // Operational faults are met by the next step, as the shell's loop does after its back-off.
        if (error instanceof Error && 'code' in error && error.code === 'BUS_UNREACHABLE') return;
        throw error;
      }
      trace.push(`${clock.now()} crash ${index} ${error.room}`);
      cluster.boot(error.room);
    }
  };
  const turn = async (): Promise<boolean> => {
    await settle();
    if (random.chance(chance.faults.rebalance)) {
      const room = random.pick(simulatedRooms);
      random.pick(clusters).boot(room);
      trace.push(`${clock.now()} rebalance ${room}`);
    }
    const ready = clusters.flatMap((cluster, index) => cluster.loops().filter((loop) => loop.ready(clock.now())).map((loop) => () => step(cluster, index, loop)));
    for (let i = 0; i < network.inFlight(); i++) ready.push(() => (trace.push(`${clock.now()} network`), network.deliverOne()));
    if (ready.length === 0) return clock.advance();
    if (random.chance(chance.faults.timePasses)) clock.pass(random.below(pauseMsMax));
    await random.pick(ready)();
    return true;
  };
  return { trace, turn, calm: () => void (chance.faults = { ...noFaults }) };
};

const askCrypto = async (world: Scheduler, { cluster, identity }: Side, body: BodyOf<typeof allToCryptoKey>, id: string): Promise<PublicKeyInfo[]> => {
  await cluster.bus.publish([encode(allToCryptoKey, { key: identity.shortHash, id, body, replyTo: { topic: allToMemberAnswer.topic, key: identity.shortHash } })]);
  for (let turns = 0; turns < 1_000; turns++) {
    for (const record of cluster.bus.records(allToMemberAnswer.topic)) {
      const decoded = decode(allToMemberAnswer, record);
      if (decoded.type !== 'message' || decoded.delivery.body.requestId !== id) continue;
      const { outcome } = decoded.delivery.body;
      if (outcome.type === 'refused') throw new Error(`${outcome.code}: ${outcome.message}`);
      return allToCryptoKey.reply!.parse(outcome.value).keys;
    }
    await world.turn();
  }
  throw new Error('crypto did not answer during the calm set-up');
};

/** Deterministic signatures, so that one seed makes the same bytes each time. */
const makeSessionKey = async (world: Scheduler, side: Side): Promise<PublicKeyInfo> => {
  const { shortHash: tenant } = side.identity;
  await askCrypto(world, side, { type: 'assign-hsm', tenant, category: 'SESSION_INIT' }, `assign-${tenant}`);
  const [key] = await askCrypto(world, side, { type: 'generate', tenant, alias: 'session', category: 'SESSION_INIT', scheme: 'CORDA.EDDSA.ED25519' }, `generate-${tenant}`);
  return key!;
};

const hash = 'A'.repeat(64);

const publishNetwork = async (sides: readonly Side[], keys: readonly PublicKeyInfo[], bundle: Uint8Array, flows: FlowDeclaration[]): Promise<void> => {
  const timestamp = 0;
  for (const [index, { cluster, identity }] of sides.entries()) {
    const node = { key: identity.shortHash, id: 'setup' };
    const cpiId = { name: 'simulation', version: '1', signerSummaryHash: 'none' };
    const connection = { vaultDmlConnectionId: 'v', vaultDdlConnectionId: null, cryptoDmlConnectionId: 'c', cryptoDdlConnectionId: null, uniquenessDmlConnectionId: 'u', uniquenessDdlConnectionId: null };
    const statuses = { flowStartOperationalStatus: 'ACTIVE', flowOperationalStatus: 'ACTIVE', flowP2pOperationalStatus: 'ACTIVE', vaultDbOperationalStatus: 'ACTIVE' } as const;
    const virtualNode = { holdingIdentity: identity, cpiId, cpiFullChecksum: hash, cpkHashes: [hash], ...statuses, ...connection, version: 1, timestamp };
    await cluster.host(virtualNode);
    await cluster.bus.publish([
      encode(dbToFlowCpk, { key: `${hash}/0`, id: 'setup', body: { hash, index: 0, count: 1, sourceMapCount: 0, bytes: toBase64url(bundle) } }),
      encode(dbToAllCpi, { key: hash, id: 'setup', body: { id: cpiId, fullChecksum: hash, groupId, groupPolicy: '{}', cpks: [{ hash, id: cpiId, flows, timestamp }], timestamp } }),
      encode(dbToAllVirtualNode, { ...node, body: virtualNode }),
      encode(memberToLinkManagerHostedIdentity, { ...node, body: { holdingIdentity: identity, sessionKey: { id: keys[index]!.id, publicKey: keys[index]!.publicKey, spec: 'EdDSA' } } }),
      encode(memberToAllGroupParameters, {
        key: groupId,
        id: 'setup',
        body: { groupId, epoch: 1, parameters: {}, p2p: { protocolMode: 'Authenticated_Encryption', sessionPki: 'NoPKI', sessionTrustRoots: [], tlsType: 'OneWay', tlsTrustRoots: [] } },
      }),
      ...sides.map(({ identity: member, origin }, i) =>
        encode(memberToAllMember, {
          key: `${groupId}/${member.x500Name}`,
          id: 'setup',
          body: { groupId, x500Name: member.x500Name, status: 'ACTIVE', serial: 1, memberContext: {}, mgmContext: {}, endpoints: [{ url: origin, protocolVersion: 1 }], sessionKeys: [{ publicKey: keys[i]!.publicKey, spec: 'EdDSA' }], ledgerKeys: [] },
        }),
      ),
    ]);
  }
};

/** Makes the world of a seed. Its setting up is calm; faults begin when it is handed over. */
export const createWorld = async (seed: number, faults: Faults): Promise<World> => {
  const { bundle, flows, rootKey, linkKey } = await shared;
  const random = createRandom(seed);
  const clock = createSimClock();
  // Faults are read through this holder, so that they can begin and end.
  const chance = { faults: noFaults };
  const live = new Proxy(noFaults, { get: (_target, name) => Reflect.get(chance.faults, name) as number });
  const records: { origin: string; record: InRecord }[] = [];
  const network = createSimNetwork(random, live);
  const probe = (room: SimulatedRoom) => () => {
    if (random.chance(chance.faults.crash)) throw new SimulatedCrash(room);
  };
  const asksDirectly = (seed >> 1) % 2 === 0;
  const sides = [['CN=Alice, O=A, L=London, C=GB', 'https://alice.test'], ['CN=Bob, O=B, L=Paris, C=FR', 'https://bob.test']].map(([name, origin]) => {
    const skew = random.below(2 * faults.skewMsMax + 1) - faults.skewMsMax;
    return { cluster: createSimCluster({ origin: origin!, clock: skewed(clock, skew), random, network, faults: live, rootKey, linkKey, probe, asksDirectly, onAppend: (record) => void records.push({ origin: origin!, record }) }), identity: identityOf(name!), origin: origin! };
  }) as unknown as readonly [Side, Side];
  const scheduler = createScheduler(clock, random, sides.map(({ cluster }) => cluster), network, chance);
  const keys: PublicKeyInfo[] = [];
  for (const side of sides) keys.push(await makeSessionKey(scheduler, side));
  await publishNetwork(sides, keys, bundle, flows);
  chance.faults = faults;
  records.length = 0;
  return { clock, random, sides, records, ...scheduler };
};
