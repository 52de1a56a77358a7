/** The doors of rest and gateway on Node: HTTP and HTTPS listeners, and what only Node can tell them. */
import type { IncomingMessage } from 'node:http';
import type { Clock } from '../src/host/clock.ts';
import { listen, type Listener } from '../src/host/http-server.ts';
import type { NodeWebSockets } from '../src/host/web-socket.ts';
import { cpiBytesMax } from '../src/messages/rest-to-db.cpi.ts';
import type { Log } from '../src/observability/log.ts';
import type { Requests } from '../src/shell/requests.ts';
import { obtainTlsKey, type GatewayWorker } from '../src/workers/gateway/worker.ts';
import type { RestWorker } from '../src/workers/rest/worker.ts';
import type { Settings } from './settings.ts';

/** @hono/node-server hands Node's own request beside the web one. */
export const addressOfNode = (_request: Request, env: unknown): string | undefined => {
  if (typeof env !== 'object' || env === null || !('incoming' in env)) return undefined;
  // `listen` promises this shape of `env`.
  return (env.incoming as IncomingMessage).socket.remoteAddress;
};

/** Above rest's own bound, so that rest refuses in the contract's shape and the listener stops only what is far beyond it. */
const restBodyBytesMax = 2 * cpiBytesMax;

export const serveRest = ({ worker, webSockets, settings }: { worker: RestWorker; webSockets: NodeWebSockets; settings: Settings }): Promise<Listener> =>
  listen({
    fetch: (request, env) => worker.fetch(request, env),
    hostname: settings.CORDAGE_REST_HOST,
    port: settings.CORDAGE_REST_PORT,
    bodyBytesMax: restBodyBytesMax,
    websocket: { server: webSockets.server },
  });

type GatewayDoor = { worker: GatewayWorker; requests: Requests; settings: Settings; clock: Clock; log: Log };

/** The gateway opens its door once crypto has handed it the cluster's TLS key, sealed to this process. */
export const serveGateway = async ({ worker, requests, settings, clock, log }: GatewayDoor): Promise<Listener> => {
  const tls = await obtainTlsKey({ requests, hostNames: settings.CORDAGE_GATEWAY_NAMES.split(','), clock, log });
  return listen({ fetch: worker.fetch, hostname: settings.CORDAGE_GATEWAY_HOST, port: settings.CORDAGE_GATEWAY_PORT, tls });
};
