/**
 * The gateway: the HTTPS door between clusters.
 *
 * - **hears** link-manager-to-gateway.link-out (packets to send), gateway-to-gateway.packet over HTTPS (packets that come),
 *   all-to-gateway.answer through its requests; the views member-to-all.group-parameters for what each group trusts, member-to-gateway.client-subject for whose gateways it lets in and
 *   db-to-all.certificate for what it serves with
 * - **says** gateway-to-link-manager.link-in, gateway-to-crypto.tls-key, gateway-to-gateway.packet over HTTPS
 * - **owns** nothing: what waits in memory is repeated by the link manager
 * - **never** reads what a session has sealed; waits for a destination that does not answer; runs only on Node: `fetch` is the same
 *   on every runtime
 */
import type { Bus } from '../../bus/bus.ts';
import type { Clock } from '../../host/clock.ts';
import type { HttpClient } from '../../host/http-client.ts';
import type { GroupParameters } from '../../messages/member-to-all.group-parameters.ts';
import type { Log } from '../../observability/log.ts';
import type { Metrics } from '../../observability/metrics.ts';
import type { View } from '../../shell/view.ts';
import { liveLimits, type Config } from '../../shell/live-config.ts';
import type { Worker } from '../../shell/worker.ts';
import { gatewayLimits, type GatewayLimits } from './config.ts';
import { createInbound, type Admit } from './inbound.ts';
import { createStrangers, type AddressOf } from './strangers.ts';
import { createOutbound, type Outbound } from './on-link-out.ts';
import { createTakePush, pushPath } from './push.ts';

export { openGatewayTlsKeys, type GatewayTlsKeysOptions } from './tls-keys.ts';

/** The way out; left away where another gateway of the cluster sends. */
export type GatewayOutboundDeps = {
  readonly httpClient: HttpClient;
  /** A peer's certificate must chain to its group's roots; `platform` where roots cannot be given to the client. */
  readonly trust: View<GroupParameters> | 'platform';
  /** Given where records are pushed to this worker instead of polled: what signs them. */
  readonly pushSecret?: string;
  /** Default false: addresses must be https. */
  readonly allowHttp?: boolean;
};

export type GatewayDeps = {
  readonly bus: Pick<Bus, 'publish'>;
  readonly outbound?: GatewayOutboundDeps;
  readonly admit?: Admit;
  readonly addressOf?: AddressOf;
  /** Counts strangers for longer than this worker lives, where a platform makes one for each request. */
  readonly mayStranger?: (address: string | undefined) => boolean;
  /** Default `/`. */
  readonly path?: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly limits?: Partial<GatewayLimits>;
  /** Decides some of the limits; without it all stay as they are. */
  readonly config?: Config;
};

export type { Admission, Admit } from './inbound.ts';
export { gatewayLimits } from './config.ts';
export { createStrangers } from './strangers.ts';

export type GatewayWorker = Omit<Worker, 'fetch'> & {
  /** `env` is what the runtime hands beside a request: `admit` is given it. */
  readonly fetch: (request: Request, env?: unknown) => Promise<Response>;
  /** Resolves when no packet waits to be sent: what a platform must wait for before it ends the worker. */
  readonly settled: () => Promise<void>;
  readonly close: () => Promise<void>;
};

/** `corda.p2p.gateway`. */
const configured = (config: Config, limits: GatewayLimits): GatewayLimits => {
  const connections = () => config.get('corda.p2p.gateway').connectionConfig;
  return liveLimits(limits, {
    inboundBytesMax: () => config.get('corda.p2p.gateway').maxRequestSize,
    responseMsMax: () => connections().responseTimeout,
    failurePauseMsMin: () => connections().initialReconnectionDelay * 1_000,
    failurePauseMsMax: () => Math.max(connections().initialReconnectionDelay, connections().maxReconnectionDelay) * 1_000,
  });
};

export const createGatewayWorker = (deps: GatewayDeps): GatewayWorker => {
  const { bus, admit, addressOf, clock, log, metrics, path = '/' } = deps;
  const fixed: GatewayLimits = { ...gatewayLimits, ...deps.limits };
  const limits = deps.config === undefined ? fixed : configured(deps.config, fixed);
  const mayStranger = deps.mayStranger ?? createStrangers(clock, limits);
  const inbound = createInbound({ publish: (records) => bus.publish(records), ...(admit === undefined ? {} : { admit }), ...(addressOf === undefined ? {} : { addressOf }), mayStranger, path, log, metrics, limits });
  const outbound: Outbound | undefined =
    deps.outbound === undefined ? undefined : createOutbound({ allowHttp: false, ...deps.outbound, clock, log, metrics, limits });
  const secret = deps.outbound?.pushSecret;
  const takePush = outbound === undefined || secret === undefined ? undefined : createTakePush({ secret, pump: outbound.pump, clock, log });
  return {
    room: 'gateway',
    pumps: outbound === undefined || takePush !== undefined ? [] : [outbound.pump],
    // Hono calls what comes beside a request its bindings.
    fetch: async (request, env) =>
      takePush !== undefined && new URL(request.url).pathname === pushPath ? await takePush(request) : await inbound.fetch(request, env as object | undefined),
    settled: async () => outbound?.settled(),
    close: async () => outbound?.close(),
  };
};
