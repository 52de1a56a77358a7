/** rest: its views, its requests, its door, and what only Node can tell it. */
import type { IncomingMessage } from 'node:http';
import { listen, type Listener } from '../../src/host/http-server.ts';
import { deriveScrypt, verifyScrypt } from '../../src/host/scrypt.ts';
import { readSwaggerFile } from '../../src/host/swagger-files.ts';
import { createNodeWebSockets, type NodeWebSockets } from '../../src/host/web-socket.ts';
import { allToRestAnswer } from '../../src/messages/all-to-rest.answer.ts';
import { dbToAllConfig } from '../../src/messages/db-to-all.config.ts';
import { dbToAllCpi } from '../../src/messages/db-to-all.cpi.ts';
import { dbToAllVirtualNode } from '../../src/messages/db-to-all.virtual-node.ts';
import { dbToRestPermission } from '../../src/messages/db-to-rest.permission.ts';
import { dbToRestRole } from '../../src/messages/db-to-rest.role.ts';
import { dbToRestUser } from '../../src/messages/db-to-rest.user.ts';
import { cpiBytesMax } from '../../src/messages/rest-to-db.cpi.ts';
import { createRequests } from '../../src/shell/create-requests.ts';
import { createMemoryParkingLot } from '../../src/shell/memory-store.ts';
import { createRestWorker, type RestWorker } from '../../src/workers/rest/worker.ts';
import { openConfig } from '../live-config.ts';
import type { OpenRoom } from '../open-room.ts';
import { patiently } from '../patience.ts';
import type { Platform } from '../platform.ts';
import type { Settings } from '../settings.ts';

/** @hono/node-server hands Node's own request beside the web one. */
const addressOfNode = (_request: Request, env: unknown): string | undefined => {
  if (typeof env !== 'object' || env === null || !('incoming' in env)) return undefined;
  // `listen` promises this shape of `env`.
  return (env.incoming as IncomingMessage).socket.remoteAddress;
};

/** Above rest's own bound, so that rest refuses in the contract's shape and the listener stops only what is far beyond it. */
const restBodyBytesMax = 2 * cpiBytesMax;

const serveRest = ({ worker, webSockets, settings }: { worker: RestWorker; webSockets: NodeWebSockets; settings: Settings }): Promise<Listener> =>
  listen({
    fetch: (request, env) => worker.fetch(request, env),
    hostname: settings.CORDAGE_REST_HOST,
    port: settings.CORDAGE_REST_PORT,
    bodyBytesMax: restBodyBytesMax,
    websocket: { server: webSockets.server },
    // Short requests end well within it; those that wait are answered when the room leaves.
    limits: { closeMsMax: Math.floor(settings.CORDAGE_STOP_TIMEOUT_MS / 2) },
  });

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
  return { worker: { ...worker, close }, parking: createMemoryParkingLot(), serve: () => serveRest({ worker, webSockets, settings }), leave: worker.leave };
};
