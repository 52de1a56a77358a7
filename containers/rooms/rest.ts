/** rest: its views, its requests, its door, and what only Node can tell it. */
import { isLoopback } from '../../src/host/addresses.ts';
import { listen, type Listener, type ListenOptions } from '../../src/host/http-server.ts';
import { deriveScrypt, verifyScrypt } from '../../src/host/scrypt.ts';
import { readSwaggerFile } from '../../src/host/swagger-files.ts';
import { createNodeWebSockets, type NodeWebSockets } from '../../src/host/web-socket.ts';
import { allToRestAnswer } from '../../src/messages/all-to-rest.answer.ts';
import { dbToAllCertificate } from '../../src/messages/db-to-all.certificate.ts';
import { dbToAllConfig } from '../../src/messages/db-to-all.config.ts';
import { dbToAllCpi } from '../../src/messages/db-to-all.cpi.ts';
import { dbToAllVirtualNode } from '../../src/messages/db-to-all.virtual-node.ts';
import { dbToRestPermission } from '../../src/messages/db-to-rest.permission.ts';
import { dbToRestRole } from '../../src/messages/db-to-rest.role.ts';
import { dbToRestUser } from '../../src/messages/db-to-rest.user.ts';
import { flowToRestStatus } from '../../src/messages/flow-to-rest.status.ts';
import { createRequests, type HearingRequests } from '../../src/shell/create-requests.ts';
import type { Ears } from '../../src/shell/ears.ts';
import { createMemoryParkingLot } from '../../src/shell/memory-store.ts';
import { openRestTlsKeys, type RestTlsKeysOptions } from '../../src/workers/rest/tls-keys.ts';
import { createRestWorker, restLimits, type RestWorker } from '../../src/workers/rest/worker.ts';
import { openConfig } from '../live-config.ts';
import { addressOfNode } from '../address-of-node.ts';
import type { OpenRoom } from '../open-room.ts';
import { patiently } from '../patience.ts';
import type { Platform, Views } from '../platform.ts';
import type { Settings } from '../settings.ts';
import { openTlsDoor } from '../tls-door.ts';

/** Above rest's own bound, so that rest refuses in the contract's shape and the listener stops only what is far beyond it. */
const restBodyBytesMax = 2 * restLimits.transferBytesMax;

type RestDoor = Pick<RestTlsKeysOptions, 'requests' | 'clock' | 'log'> & { worker: RestWorker; webSockets: NodeWebSockets; settings: Settings; views: Views };

/** Passwords go over it: without TLS only where nobody else hears, unless a proxy in front ends TLS and it is turned off. */
const speaksTls = ({ CORDAGE_REST_TLS, CORDAGE_REST_HOST }: Settings): boolean => (CORDAGE_REST_TLS === 'auto' ? !isLoopback(CORDAGE_REST_HOST) : CORDAGE_REST_TLS === 'on');

const serveRest = async ({ worker, webSockets, settings, views, ...from }: RestDoor): Promise<Listener> => {
  const options: ListenOptions = {
    fetch: (request, env) => worker.fetch(request, env),
    hostname: settings.CORDAGE_REST_HOST,
    port: settings.CORDAGE_REST_PORT,
    bodyBytesMax: restBodyBytesMax,
    websocket: { server: webSockets.server },
    // Short requests end well within it; those that wait are answered when the room leaves.
    limits: { closeMsMax: Math.floor(settings.CORDAGE_STOP_TIMEOUT_MS / 2) },
  };
  if (!speaksTls(settings)) return listen(options);
  const keys = await openRestTlsKeys({ ...from, certificates: await views.open(dbToAllCertificate), hostNames: settings.CORDAGE_REST_NAMES.split(',') });
  // TLS 1.2 for clients of Corda's age.
  return openTlsDoor({ ...options, keys, log: from.log, tlsVersionMin: 'TLSv1.2' });
};

/** What it need not wait for the bus to hear, where the room that says it is of the same process. */
const earsOf = ({ listener }: HearingRequests, { hearStatus: hear }: RestWorker): Ears =>
  new Map([[allToRestAnswer.topic, listener], ...(hear === undefined ? [] : [[flowToRestStatus.topic, { hear }] as const])]);

export const openRest = async (platform: Platform): Promise<OpenRoom> => {
  const { bus, views, clock, log, metrics, instance, settings } = platform;
  const [requests, virtualNodes, cpis, users, roles, permissions, stored, config] = await Promise.all([
    patiently('the bus', platform, () => createRequests({ bus, room: 'rest', answerWire: allToRestAnswer, instance, log })),
    views.open(dbToAllVirtualNode),
    views.open(dbToAllCpi),
    views.open(dbToRestUser),
    views.open(dbToRestRole),
    views.open(dbToRestPermission),
    views.open(dbToAllConfig),
    openConfig(platform),
  ]);
  const webSockets = createNodeWebSockets();
  const worker = createRestWorker({
    requests,
    config,
    views: { virtualNodes, cpis, users, roles, permissions, config: stored },
    statusFollower: bus,
    clock,
    log,
    metrics,
    verifyPassword: verifyScrypt,
    deriveKey: deriveScrypt,
    acceptWebSocket: webSockets.accept,
    readSwaggerFile,
    addressOf: addressOfNode,
  });
  const close = async (): Promise<void> => {
    await worker.close();
    await requests.close();
  };
  return {
    worker: { ...worker, close },
    parking: createMemoryParkingLot(),
    serve: () => serveRest({ worker, webSockets, settings, requests, views, clock, log }),
    ears: earsOf(requests, worker),
    leave: worker.leave,
  };
};
