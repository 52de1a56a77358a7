/** The doors of rest and gateway on Node: HTTP and HTTPS listeners, and what only Node can tell them. */
import type { IncomingMessage } from 'node:http';
import { listen, type Listener } from '../src/host/http-server.ts';
import type { NodeWebSockets } from '../src/host/web-socket.ts';
import { cpiBytesMax } from '../src/messages/rest-to-db.cpi.ts';
import { openTlsKeys, type GatewayWorker, type TlsKeysOptions } from '../src/workers/gateway/worker.ts';
import type { RestWorker } from '../src/workers/rest/worker.ts';
import type { GatewayTls } from './gateway-tls.ts';
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

type GatewayDoor = Pick<TlsKeysOptions, 'requests' | 'certificates' | 'clock' | 'log'> & Pick<GatewayTls, 'use'> & { worker: GatewayWorker; settings: Settings };

/** The gateway opens its door once crypto has handed it the cluster's TLS key, sealed to this process; new certificates need no restart. */
export const serveGateway = async ({ worker, use, settings, ...from }: GatewayDoor): Promise<Pick<Listener, 'url' | 'port' | 'close'>> => {
  const keys = await openTlsKeys({ ...from, hostNames: settings.CORDAGE_GATEWAY_NAMES.split(',') });
  use(keys.current());
  const listener = await listen({
    fetch: worker.fetch,
    hostname: settings.CORDAGE_GATEWAY_HOST,
    port: settings.CORDAGE_GATEWAY_PORT,
    tls: keys.current(),
    asksClientCertificate: settings.CORDAGE_GATEWAY_TLS === 'mutual',
  });
  keys.onChange((tls) => {
    use(tls);
    try {
      listener.replaceCertificates(tls);
    } catch (error) {
      from.log.error('gateway.certificates-refused', { error, next: 'the certificates before them are served' });
    }
  });
  const close = async (): Promise<void> => {
    await keys.close();
    await listener.close();
  };
  return { url: listener.url, port: listener.port, close };
};
