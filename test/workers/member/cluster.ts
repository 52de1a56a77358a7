/** The member room in its shell beside the crypto room, on a broker in memory. What db would have published, the test publishes. */
import { randomUUID } from 'node:crypto';
import type { Bus, Follower } from '../../../src/bus/bus.ts';
import { openEmbeddedBroker } from '../../../src/bus/embedded-broker/embedded-broker.ts';
import { topicsOf } from '../../../src/bus/topics.ts';
import { systemClock } from '../../../src/host/clock.ts';
import { holdingIdentityOf } from '../../../src/identity/holding-identity.ts';
import { parseX500 } from '../../../src/identity/x500.ts';
import { allToRestAnswer } from '../../../src/messages/all-to-rest.answer.ts';
import { dbToAllCpi, type CpiMetadata } from '../../../src/messages/db-to-all.cpi.ts';
import { dbToAllVirtualNode } from '../../../src/messages/db-to-all.virtual-node.ts';
import { decode, encode, type Outcome } from '../../../src/messages/grammar/envelope.ts';
import type { OutRecord } from '../../../src/messages/grammar/record.ts';
import type { BodyOf, Wire } from '../../../src/messages/grammar/wire.ts';
import { memberToAllGroupParameters } from '../../../src/messages/member-to-all.group-parameters.ts';
import { memberToAllMember } from '../../../src/messages/member-to-all.member.ts';
import { wires } from '../../../src/messages/messages.ts';
import { restToMemberLookup } from '../../../src/messages/rest-to-member.lookup.ts';
import { restToMemberRegistration, type Registration } from '../../../src/messages/rest-to-member.registration.ts';
import { createMetrics } from '../../../src/observability/metrics.ts';
import { silentLog } from '../../../src/observability/log.ts';
import { createMemoryAnswerStore, createMemoryParkingLot, createMemoryStateStore } from '../../../src/shell/memory-store.ts';
import { openView } from '../../../src/shell/open-view.ts';
import type { BatchPoint } from '../../../src/shell/operational.ts';
import { runWorker, type RunningWorker } from '../../../src/shell/run-worker.ts';
import type { StateStore } from '../../../src/shell/store.ts';
import { createMemoryKeys } from '../../../src/workers/crypto/memory-keys.ts';
import { createCryptoWorker } from '../../../src/workers/crypto/worker.ts';
import { createMemberWorker } from '../../../src/workers/member/worker.ts';
import { testRootKey } from '../crypto/room.ts';
import { newVirtualNode } from '../../../src/workers/db/virtual-node.ts';

export const groupId = '8c5a9a2e-6f0b-4b8c-9a55-0d6b6d1f5a10';
export const name = (common: string): string => `CN=${common}, O=Acme, L=London, C=GB`;

export const shortHashOf = (x500Name: string, group: string = groupId): string => {
  const parsed = parseX500(x500Name);
  if (parsed.type === 'invalid') throw new Error(parsed.reason);
  return holdingIdentityOf(parsed.name, group).shortHash;
};

export type PolicyMember = { readonly name: string } & Readonly<Record<string, string | number>>;

export const policyOf = (members: readonly PolicyMember[], { group = groupId, groupParameters = {} }: { group?: string; groupParameters?: object } = {}): string =>
  JSON.stringify({
    fileFormatVersion: 1,
    groupId: group,
    registrationProtocol: 'net.corda.membership.impl.registration.staticnetwork.StaticMemberRegistrationService',
    synchronisationProtocol: 'net.corda.membership.impl.sync.staticnetwork.StaticMemberSyncService',
    protocolParameters: { sessionKeyPolicy: 'Combined', staticNetwork: { members, groupParameters } },
    p2pParameters: {
      sessionTrustRoots: [],
      tlsTrustRoots: [],
      sessionPki: 'NoPKI',
      tlsPki: 'Standard',
      tlsVersion: '1.3',
      protocolMode: 'Authenticated_Encryption',
      tlsType: 'OneWay',
    },
    cipherSuite: {},
  });

/** An entry of the policy with an endpoint, and whatever else the test wants. */
export const listed = (common: string, more: Readonly<Record<string, string | number>> = {}): PolicyMember => ({
  name: name(common),
  memberStatus: 'ACTIVE',
  'endpointUrl-1': `https://${common.toLowerCase()}.example:8080`,
  'endpointProtocol-1': 1,
  ...more,
});

let cpis = 0;
export const cpiOf = (groupPolicy: string, timestamp = Date.UTC(2026, 0, 1)): CpiMetadata => ({
  id: { name: `app-${++cpis}`, version: '1.0', signerSummaryHash: 'SHA-256:AB' },
  fullChecksum: cpis.toString(16).toUpperCase().padStart(12, '0').padEnd(64, '0'),
  groupId: (JSON.parse(groupPolicy) as { groupId: string }).groupId,
  groupPolicy,
  cpks: [],
  timestamp,
});

export type Cluster = {
  readonly bus: Bus;
  readonly states: StateStore;
  host(cpi: CpiMetadata, ...commonNames: readonly string[]): Promise<void>;
  ask<Body, Reply>(wire: Wire<Body, Reply>, key: string, body: Body, id?: string): Promise<Outcome<Reply>>;
  /** Begins a registration. */
  register(common: string, context?: Record<string, string>): Promise<Outcome<{ registrations: Registration[] }>>;
  /** Registers and asks until the registration has ended. */
  settled(common: string, context?: Record<string, string>): Promise<Registration>;
  lookup(common: string, body?: Partial<Extract<BodyOf<typeof restToMemberLookup>, { type: 'members' }>>): Promise<Outcome<{ members?: { memberContext: Record<string, string>; mgmContext: Record<string, string> }[] | undefined }>>;
  /** Latest bodies by key. */
  topic<Body>(wire: Wire<Body, any>): Promise<Map<string, Body>>;
  /** Starts the member room (again). */
  startMember(probe?: (point: BatchPoint) => void): Promise<void>;
  stopMember(): Promise<void>;
  startCrypto(): Promise<void>;
  close(): Promise<void>;
};

const ended = new Set(['APPROVED', 'DECLINED', 'INVALID', 'FAILED']);

const readTopic = async <Body>(bus: Bus, wire: Wire<Body, any>): Promise<Map<string, Body>> => {
  const follower = bus.follow({ topics: [wire.topic], from: 'earliest' });
  await follower.ready;
  const bodies = new Map<string, Body>();
  for (const record of await follower.drain()) {
    const decoded = decode(wire, record);
    if (decoded.type === 'message') bodies.set(record.key, decoded.delivery.body);
    else bodies.delete(record.key);
  }
  await follower.close();
  return bodies;
};

/** Asks and waits, one question at a time. */
const createAsker = (bus: Bus, answers: Follower) => {
  const heard = new Map<string, Outcome>();
  return async (record: OutRecord, id: string): Promise<Outcome> => {
    await bus.publish([record]);
    // A broker in memory answers without leaving the microtasks: who asks in a loop must let the event loop turn, or ciphers starve.
    await new Promise((resolve) => setImmediate(resolve));
    while (!heard.has(id)) {
      for (const one of await answers.poll({ timeoutMs: 5_000 })) {
        const decoded = decode(allToRestAnswer, one);
        if (decoded.type === 'message') heard.set(decoded.delivery.body.requestId, decoded.delivery.body.outcome);
      }
    }
    return heard.get(id)!;
  };
};

export const openCluster = async (): Promise<Cluster> => {
  const broker = await openEmbeddedBroker({ storage: { type: 'memory' }, topics: topicsOf(wires, 4), clock: systemClock, log: silentLog });
  const bus = broker.connect();
  const answers = bus.follow({ topics: [allToRestAnswer.topic], from: 'earliest' });
  const asker = createAsker(bus, answers);
  // Crashes are many in these tests, so what comes after them is soon.
  const shared = { bus, instance: 'one', clock: systemClock, log: silentLog, limits: { retryDelayMsMin: 1, retryDelayMsMax: 5 } };
  const states = createMemoryStateStore();
  const views = {
    virtualNodes: await openView({ bus, wire: dbToAllVirtualNode, log: silentLog }),
    cpis: await openView({ bus, wire: dbToAllCpi, log: silentLog }),
    members: await openView({ bus, wire: memberToAllMember, log: silentLog }),
    groupParameters: await openView({ bus, wire: memberToAllGroupParameters, log: silentLog }),
  };
  let member: RunningWorker | undefined;
  let crypto: RunningWorker | undefined;

  const ask: Cluster['ask'] = async <Body, Reply>(wire: Wire<Body, Reply>, key: string, body: Body, id: string = randomUUID()) =>
    // The room's own schema of the reply is the wire's.
    (await asker(encode(wire, { key, id, body, replyTo: { topic: allToRestAnswer.topic, key: 'me', partition: 0 } }), id)) as Outcome<Reply>;
  const register: Cluster['register'] = (common, context = {}) => {
    const shortHash = shortHashOf(name(common));
    return ask(restToMemberRegistration, shortHash, { type: 'register', shortHash, context });
  };

  const cluster: Cluster = {
    bus,
    states,
    ask,
    register,
    host: async (cpi, ...commonNames) => {
      const nodes = commonNames.map((common) => {
        const parsed = parseX500(name(common));
        if (parsed.type === 'invalid') throw new Error(parsed.reason);
        return newVirtualNode(holdingIdentityOf(parsed.name, cpi.groupId), cpi, 0);
      });
      await bus.publish([
        encode(dbToAllCpi, { key: cpi.fullChecksum, id: cpi.fullChecksum, body: cpi }),
        ...nodes.map((node) => encode(dbToAllVirtualNode, { key: node.holdingIdentity.shortHash, id: node.holdingIdentity.shortHash, body: node })),
      ]);
    },
    settled: async (common, context) => {
      const begun = await register(common, context);
      if (begun.type === 'refused') throw new Error(JSON.stringify(begun));
      const { registrationId } = begun.value.registrations[0]!;
      const shortHash = shortHashOf(name(common));
      for (;;) {
        const status = await ask(restToMemberRegistration, shortHash, { type: 'status', shortHash, registrationId });
        const registration = status.type === 'done' ? status.value.registrations[0] : undefined;
        if (registration !== undefined && ended.has(registration.registrationStatus)) return registration;
      }
    },
    lookup: (common, body) => {
      const shortHash = shortHashOf(name(common));
      return ask(restToMemberLookup, shortHash, { type: 'members', shortHash, attributes: {}, statuses: [], ...body });
    },
    topic: (wire) => readTopic(bus, wire),
    startMember: async (probe) => {
      member = runWorker({ worker: createMemberWorker({ ...views, log: silentLog }), ...shared, metrics: createMetrics(), states, parking: createMemoryParkingLot(), ...(probe === undefined ? {} : { probe }) });
    },
    stopMember: async () => member?.stop(),
    startCrypto: async () => {
      const keys = createMemoryKeys();
      crypto = runWorker({ worker: createCryptoWorker({ rootKey: await testRootKey(), log: silentLog }), ...shared, metrics: createMetrics(), parking: createMemoryParkingLot(), answers: createMemoryAnswerStore(keys.makeTx, keys.rollback) });
    },
    close: async () => {
      await Promise.all([member?.stop(), crypto?.stop()]);
      await answers.close();
      await Promise.all(Object.values(views).map((view) => view.close()));
      await broker.close();
    },
  };
  await cluster.startCrypto();
  await cluster.startMember();
  return cluster;
};
