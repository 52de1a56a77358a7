/** Each room made from the platform: its views, its stores, its worker. What differs between rooms stands here and nowhere else. */
import { verifyScrypt } from '../src/host/scrypt.ts';
import { processorCount, startGuest } from '../src/host/guests.ts';
import { createNodeWebSockets } from '../src/host/web-socket.ts';
import { allToGatewayAnswer } from '../src/messages/all-to-gateway.answer.ts';
import { allToRestAnswer } from '../src/messages/all-to-rest.answer.ts';
import { dbToAllCpi } from '../src/messages/db-to-all.cpi.ts';
import { dbToAllVirtualNode } from '../src/messages/db-to-all.virtual-node.ts';
import { dbToFlowCpk } from '../src/messages/db-to-flow.cpk.ts';
import { dbToGatewayCertificate } from '../src/messages/db-to-gateway.certificate.ts';
import { dbToRestUser } from '../src/messages/db-to-rest.user.ts';
import type { Room } from '../src/messages/grammar/wire.ts';
import { memberToAllGroupParameters } from '../src/messages/member-to-all.group-parameters.ts';
import { memberToAllMember } from '../src/messages/member-to-all.member.ts';
import { memberToLinkManagerHostedIdentity } from '../src/messages/member-to-link-manager.hosted-identity.ts';
import { createPostgresAnswerStore } from '../src/postgres/answer-store.ts';
import { createPostgresParkingLot } from '../src/postgres/parking-lot.ts';
import { createPostgresStateStore } from '../src/postgres/state-store.ts';
import { createRequests } from '../src/shell/create-requests.ts';
import { createMemoryParkingLot } from '../src/shell/memory-store.ts';
import type { AnswerStore, ParkingLot, StateStore } from '../src/shell/store.ts';
import type { Worker } from '../src/shell/worker.ts';
import { createPostgresKeys } from '../src/workers/crypto/postgres-keys.ts';
import { deriveRootKey } from '../src/workers/crypto/root-key.ts';
import { createCryptoWorker } from '../src/workers/crypto/worker.ts';
import { createDbWorker, createPostgresDbTx, ensureBootstrapAdmin, publishSnapshot } from '../src/workers/db/worker.ts';
import { createFlowSandbox, createFlowWorker } from '../src/workers/flow/worker.ts';
import { createGatewayWorker } from '../src/workers/gateway/worker.ts';
import { createLinkManagerWorker, deriveLinkKey, type LinkKey } from '../src/workers/link-manager/worker.ts';
import { createMemberWorker } from '../src/workers/member/worker.ts';
import { createRestWorker } from '../src/workers/rest/worker.ts';
import { createGatewayTls } from './gateway-tls.ts';
import { databaseOf, settingOf, type Platform } from './platform.ts';
import { addressOfNode, serveGateway, serveRest } from './servers.ts';

export type OpenRoom = {
  readonly worker: Worker;
  readonly parking: ParkingLot;
  readonly states?: StateStore;
  readonly answers?: AnswerStore<any>;
  /** Serves the room's own HTTP once its loops run; gives its URL and how to end it. */
  readonly serve?: () => Promise<{ readonly url: string; close(): Promise<void> }>;
};

const machineStores = (platform: Platform, schema: string): Required<Pick<OpenRoom, 'parking' | 'states'>> => {
  const database = databaseOf(platform);
  return { parking: createPostgresParkingLot({ database, schema }), states: createPostgresStateStore({ database, schema }) };
};

const openRest = async (platform: Platform): Promise<OpenRoom> => {
  const { bus, views, clock, log, metrics, instance, settings } = platform;
  const [requests, virtualNodes, cpis, users] = await Promise.all([
    createRequests({ bus, room: 'rest', answerWire: allToRestAnswer, instance, log }),
    views.open(dbToAllVirtualNode),
    views.open(dbToAllCpi),
    views.open(dbToRestUser),
  ]);
  const webSockets = createNodeWebSockets();
  const worker = createRestWorker({
    requests,
    views: { virtualNodes, cpis, users },
    statusFollower: bus,
    clock,
    log,
    metrics,
    verifyPassword: verifyScrypt,
    acceptWebSocket: webSockets.accept,
    addressOf: addressOfNode,
  });
  const close = async (): Promise<void> => {
    await worker.close();
    await requests.close();
  };
  return { worker: { ...worker, close }, parking: createMemoryParkingLot(), serve: () => serveRest({ worker, webSockets, settings }) };
};

const openFlow = async (platform: Platform): Promise<OpenRoom> => {
  const { views, clock, log, metrics } = platform;
  const guestCount = platform.settings.CORDAGE_FLOW_SANDBOXES;
  const sandbox = createFlowSandbox({ startGuest, processorCount: processorCount(), clock, log, metrics, ...(guestCount === undefined ? {} : { limits: { guestCount } }) });
  const [virtualNodes, cpis, cpks, members, groupParameters] = await Promise.all([
    views.open(dbToAllVirtualNode),
    views.open(dbToAllCpi),
    views.open(dbToFlowCpk),
    views.open(memberToAllMember),
    views.open(memberToAllGroupParameters),
  ]);
  return { worker: createFlowWorker({ views: { virtualNodes, cpis, cpks, members, groupParameters }, sandbox, log, metrics }), ...machineStores(platform, 'flow') };
};

const openDb = async (platform: Platform): Promise<OpenRoom> => {
  const { bus, clock, log } = platform;
  const database = databaseOf(platform);
  await Promise.all([
    publishSnapshot({ database, bus, log }),
    ensureBootstrapAdmin({ database, bus, clock, log, login: 'admin', password: settingOf(platform, 'CORDAGE_ADMIN_PASSWORD') }),
  ]);
  return {
    worker: createDbWorker({ log }),
    parking: createPostgresParkingLot({ database, schema: 'db' }),
    answers: createPostgresAnswerStore({ database, schema: 'db', makeTx: createPostgresDbTx }),
  };
};

const openCrypto = async (platform: Platform): Promise<OpenRoom> => {
  const { clock, log, metrics } = platform;
  const database = databaseOf(platform);
  const rootKey = await deriveRootKey({ passphrase: settingOf(platform, 'CORDAGE_CRYPTO_PASSPHRASE'), salt: settingOf(platform, 'CORDAGE_CRYPTO_SALT') });
  return {
    worker: createCryptoWorker({ rootKey, clock, log, metrics }),
    parking: createPostgresParkingLot({ database, schema: 'crypto' }),
    answers: createPostgresAnswerStore({ database, schema: 'crypto', makeTx: createPostgresKeys }),
  };
};

const openMember = async (platform: Platform): Promise<OpenRoom> => {
  const { views } = platform;
  const [virtualNodes, cpis, members, groupParameters] = await Promise.all([
    views.open(dbToAllVirtualNode),
    views.open(dbToAllCpi),
    views.open(memberToAllMember),
    views.open(memberToAllGroupParameters),
  ]);
  return { worker: createMemberWorker({ virtualNodes, cpis, members, groupParameters }), ...machineStores(platform, 'member') };
};

/** The key of today first, then that of the passphrase before. */
const linkKeysOf = async (platform: Platform): Promise<[LinkKey, ...LinkKey[]]> => {
  const salt = settingOf(platform, 'CORDAGE_LINK_SALT');
  const before = platform.settings.CORDAGE_LINK_PASSPHRASE_BEFORE;
  const current = await deriveLinkKey({ passphrase: settingOf(platform, 'CORDAGE_LINK_PASSPHRASE'), salt });
  return before === undefined ? [current] : [current, await deriveLinkKey({ passphrase: before, salt })];
};

const openLinkManager = async (platform: Platform): Promise<OpenRoom> => {
  const { views, clock, log, metrics, settings } = platform;
  const [keys, members, groupParameters, hostedIdentities, virtualNodes] = await Promise.all([
    linkKeysOf(platform),
    views.open(memberToAllMember),
    views.open(memberToAllGroupParameters),
    views.open(memberToLinkManagerHostedIdentity),
    views.open(dbToAllVirtualNode),
  ]);
  const worker = createLinkManagerWorker({
    views: { members, groupParameters, hostedIdentities, virtualNodes },
    keys,
    keyAgreement: settings.CORDAGE_LINK_KEY_AGREEMENT,
    clock,
    log,
    metrics,
  });
  return { worker, ...machineStores(platform, 'link_manager') };
};

const openGateway = async (platform: Platform): Promise<OpenRoom> => {
  const { bus, views, clock, log, metrics, instance, settings } = platform;
  const [requests, groupParameters, certificates] = await Promise.all([
    createRequests({ bus, room: 'gateway', answerWire: allToGatewayAnswer, instance, log }),
    views.open(memberToAllGroupParameters),
    views.open(dbToGatewayCertificate),
  ]);
  const { httpClient, admit, use } = createGatewayTls({ settings, groupParameters, clock });
  const worker = createGatewayWorker({ bus, outbound: { httpClient, trust: groupParameters }, ...(admit === undefined ? {} : { admit }), clock, log, metrics });
  const close = async (): Promise<void> => {
    await worker.close();
    await httpClient.close();
    await requests.close();
  };
  return { worker: { ...worker, close }, parking: createMemoryParkingLot(), serve: () => serveGateway({ worker, use, requests, certificates, settings, clock, log }) };
};

const openers: Readonly<Record<Room, (platform: Platform) => Promise<OpenRoom>>> = {
  rest: openRest,
  flow: openFlow,
  db: openDb,
  crypto: openCrypto,
  member: openMember,
  'link-manager': openLinkManager,
  gateway: openGateway,
};

export const openRoom = (room: Room, platform: Platform): Promise<OpenRoom> => openers[room](platform);
