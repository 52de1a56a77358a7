/**
 * The rest room: Corda's REST API, and what Cordage adds to it.
 *
 * - **hears** `client-to-rest.api` over HTTP; `flow-to-rest.status` (every replica all of it; from a flow room of its process at once); `all-to-rest.answer` through
 *   its requests; the views `db-to-rest.user`, `db-to-rest.role`, `db-to-rest.permission`, `db-to-all.config`, `db-to-all.cpi`, `db-to-all.virtual-node`.
 * - **says** `rest-to-flow.start`, `rest-to-flow.query`, `rest-to-db.certificate`, `rest-to-db.config`, `rest-to-db.rbac`, `rest-to-db.cpi`,
 *   `rest-to-db.virtual-node`, `rest-to-db.transfer`, `rest-to-crypto.transfer`, `rest-to-crypto.csr`, `rest-to-crypto.rotation`, `rest-to-crypto.tls-key`, `rest-to-member.registration`, `rest-to-member.lookup`, `rest-to-link-manager.receipt`, `all-to-crypto.key`.
 * - **owns** nothing: what it keeps in memory (verified logins, statuses of flows) can be lost at any moment.
 * - **never** touches a database or a key (but, where it speaks TLS, its door's own), and runs on any runtime with web standards.
 */
import type { Bus } from '../../bus/bus.ts';
import type { Clock } from '../../host/clock.ts';
import type { AcceptWebSocket } from '../../host/web-socket.ts';
import type { Log } from '../../observability/log.ts';
import type { Metrics } from '../../observability/metrics.ts';
import { fixedConfig, liveLimits, type Config } from '../../shell/live-config.ts';
import type { Hear } from '../../shell/ears.ts';
import type { Requests } from '../../shell/requests.ts';
import type { Worker } from '../../shell/worker.ts';
import { routes } from './api/api.ts';
import { createAuth, deriveKeyPortably, verifyPasswordPortably, type DeriveKey, type VerifyPassword } from './auth/auth.ts';
import { createAuthority } from './auth/authority.ts';
import { createPasswords } from './auth/password.ts';
import { createTokens, type FetchedKeys } from './auth/tokens.ts';
import { restLimits, type RestLimits } from './config.ts';
import { createFlowAdmission } from './flow-admission.ts';
import { createFlowStatuses } from './flow-statuses.ts';
import { followStatuses } from './on-status.ts';
import type { RestRoom, RestViews } from './room.ts';
import { createServe, type Serve } from './serve.ts';
import type { ReadSwaggerFile } from './swagger.ts';

export type { DeriveKey, VerifyPassword } from './auth/auth.ts';
export { restLimits, type RestLimits } from './config.ts';
/** For what is made from the declarations: the CLI, the typed client, tests. */
export { routes, type Operations } from './api/api.ts';
export { createOpenApi } from './openapi/openapi.ts';

export type RestDeps = {
  readonly requests: Requests;
  readonly views: RestViews;
  /** By default, the defaults. */
  readonly config?: Config;
  /** The bus on which flow statuses are followed; without it, waits and feeds ask the flow room again and again. */
  readonly statusFollower?: Pick<Bus, 'follow'>;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly limits?: Partial<RestLimits>;
  /** Keys of identity providers, where the host outlives the worker. */
  readonly fetchedKeys?: FetchedKeys;
  /** The host's own scrypt; by default one that runs everywhere, in slices. */
  readonly verifyPassword?: VerifyPassword;
  /** The same for passwords that are set. */
  readonly deriveKey?: DeriveKey;
  /** The host's WebSockets; without them the feed is served as events alone. */
  readonly acceptWebSocket?: AcceptWebSocket;
  /** The host's own copy of Swagger UI; without it a plain page stands in its place. */
  readonly readSwaggerFile?: ReadSwaggerFile;
  /** The address of the peer of a request, for bounding failed logins; `env` is what the host hands to `fetch` beside it. */
  readonly addressOf?: (request: Request, env: unknown) => string | undefined;
};

/** `env` is the host's own: on Node it carries the socket, which WebSockets and addresses need. */
export type RestWorker = Worker & {
  readonly fetch: Serve;
  /** For statuses that a flow room of this process has saved; absent where none are followed. */
  readonly hearStatus?: Hear;
  /** Answers whoever waits with what is known, and lets nobody wait any more: the process is about to end. */
  readonly leave: () => void;
  readonly close: () => Promise<void>;
};

/** `corda.rest`, where no limit of that name is given. */
const configured = (config: Config, given: Partial<RestLimits>): RestLimits => {
  const section = () => config.get('corda.rest');
  const bounded = (fixed: number): number => Math.min(fixed, section().maxContentLength);
  const live: { [Name in keyof RestLimits]?: () => number } = {
    askTimeoutMs: () => section().endpoint.timeoutMs,
    webSocketIdleMs: () => section().websocket.idleTimeoutMs,
    jsonBytesMax: () => bounded(restLimits.jsonBytesMax),
    uploadBytesMax: () => bounded(restLimits.uploadBytesMax),
    certificateBytesMax: () => bounded(restLimits.certificateBytesMax),
  };
  // Its own keys.
  for (const name of Object.keys(given) as (keyof RestLimits)[]) delete live[name];
  return liveLimits({ ...restLimits, ...given }, live);
};

export const createRestWorker = (deps: RestDeps): RestWorker => {
  const { requests, views, clock, log, metrics, addressOf, acceptWebSocket, readSwaggerFile } = deps;
  const config = deps.config ?? fixedConfig();
  const limits = configured(config, deps.limits ?? {});
  const statuses = createFlowStatuses(limits);
  const verifyPassword = deps.verifyPassword ?? verifyPasswordPortably;
  const authority = createAuthority({ roles: views.roles, log });
  const passwords = createPasswords({ derive: deps.deriveKey ?? deriveKeyPortably, verify: verifyPassword, limits });
  const room: RestRoom = { config, authority, passwords, requests, views, statuses, admission: createFlowAdmission(limits), clock, log, limits };
  const { statusFollower: bus } = deps;
  const follower = bus === undefined ? undefined : followStatuses({ bus, statuses, clock, log, limits });
  const authenticate = createAuth({ users: views.users, verifyPassword, tokens: createTokens({ config, clock, fetchedKeys: deps.fetchedKeys }), clock, log, metrics, limits });
  const fetch = createServe({ room, routes, authenticate, metrics, acceptWebSocket, readSwaggerFile, addressOf: (request, env) => addressOf?.(request, env) ?? 'unknown' });
  return { room: 'rest', fetch, ...(follower === undefined ? {} : { hearStatus: follower.hear }), leave: () => statuses.leave(), close: async () => follower?.close() };
};
