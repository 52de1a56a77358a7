/** What an edge runtime is told: environment variables on Deno, bindings on Cloudflare; names as in containers/settings.ts. */
import * as z from 'zod';

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
  /** Deno only: `on` sends packets out from this process too; else another gateway of the cluster must. */
  CORDAGE_GATEWAY_OUTBOUND: z.enum(['on', 'off']).default('off'),
});
export type EdgeSettings = z.infer<typeof settingsShape>;

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
