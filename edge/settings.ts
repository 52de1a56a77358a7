/** What an edge runtime is told: environment variables on Deno, bindings on Cloudflare; names as in containers/settings.ts. */
import * as z from 'zod';
import { createFetchClient } from '../src/host/fetch-client.ts';
import type { GatewayOutboundDeps } from '../src/workers/gateway/worker.ts';

const port = z.coerce.number().int().min(0).max(65_535);

const settingsShape = z.object({
  /** The HTTP bus (the broker, or the Kafka bridge behind an ingress) and this worker's own credential for it. */
  CORDAGE_BUS_URL: z.url(),
  CORDAGE_BUS_USERNAME: z.string().min(1),
  CORDAGE_BUS_PASSWORD: z.string().min(8),
  /** Names this replica: replicas of one name share their answers' partition. */
  CORDAGE_INSTANCE: z.string().regex(/^[-._A-Za-z0-9]{1,100}$/).default('edge'),
  CORDAGE_LOG_LEVEL: z.enum(['debug', 'info', 'warn', 'error']).default('info'),
  /** Deno only: where to listen. The platform in front terminates TLS. */
  CORDAGE_GATEWAY_HOST: z.string().default('127.0.0.1'),
  CORDAGE_GATEWAY_PORT: port.default(8080),
  CORDAGE_REST_HOST: z.string().default('127.0.0.1'),
  CORDAGE_REST_PORT: port.default(8888),
  /**
   * How packets leave: `push` takes them from the bus by signed requests to `/push`; `pull` (Deno only, and only where the process lives on
   * between requests) polls for them; `off` leaves them to another gateway of the cluster.
   */
  CORDAGE_GATEWAY_OUTBOUND: z.enum(['push', 'pull', 'off']).default('off'),
  /** With `push`: what the bus signs with, its CORDAGE_BUS_PUSH_SECRET. */
  CORDAGE_PUSH_SECRET: z.string().min(16).optional(),
});
export type EdgeSettings = z.infer<typeof settingsShape>;

/** How the gateway sends packets on a platform that ends TLS and knows whom to trust; `undefined` where another gateway sends. */
export const outboundOf = (settings: EdgeSettings): GatewayOutboundDeps | undefined => {
  const { CORDAGE_GATEWAY_OUTBOUND: outbound, CORDAGE_PUSH_SECRET: secret } = settings;
  if (outbound === 'off') return undefined;
  if (outbound === 'push' && secret === undefined) throw new EdgeSettingsError('CORDAGE_PUSH_SECRET: must be set where CORDAGE_GATEWAY_OUTBOUND is push');
  return { httpClient: createFetchClient(), trust: 'platform', ...(outbound === 'push' && secret !== undefined ? { pushSecret: secret } : {}) };
};

export class EdgeSettingsError extends Error {
  readonly code = 'EDGE_SETTINGS';
  constructor(reasons: string) {
    super(`the environment does not say what this worker needs: ${reasons}`);
    this.name = 'EdgeSettingsError';
  }
}

/** Throws EdgeSettingsError, which names each variable that is missing or wrong. */
export const readEdgeSettings = (environment: unknown): EdgeSettings => {
  const parsed = settingsShape.safeParse(environment);
  if (parsed.success) return parsed.data;
  throw new EdgeSettingsError(parsed.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`).join('; '));
};
