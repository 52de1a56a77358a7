import { afterAll, beforeAll } from 'vitest';
import { listen, type Listener } from '../../../src/host/http-server.ts';
import { createNodeWebSockets } from '../../../src/host/web-socket.ts';
import { restLimits } from '../../../src/workers/rest/worker.ts';
import { openRest, type RestUnderTest } from './rest-under-test.ts';
import { describeRoutes, describeSocketFeed } from './route-suite.ts';
import { describeTokens } from './token-suite.ts';

let rest: RestUnderTest;
let server: Listener;
beforeAll(async () => {
  const sockets = createNodeWebSockets();
  rest = await openRest({ change: (deps) => ({ ...deps, acceptWebSocket: sockets.accept }) });
  server = await listen({ fetch: rest.worker.fetch, hostname: '127.0.0.1', port: 0, bodyBytesMax: 2 * restLimits.uploadBytesMax, websocket: { server: sockets.server } });
});
afterAll(async () => {
  await server.close();
  await rest.close();
});

const served = () => ({ url: server.url, rooms: rest.rooms });
describeRoutes('Node', served);
describeTokens('Node', () => ({ url: server.url, bus: rest.bus }));
describeSocketFeed('Node', served);
