/** The real gateway, its way out led through the simulated network and its door answering there. */
import type { Clock } from '../../src/host/clock.ts';
import type { HttpClient } from '../../src/host/http-client.ts';
import type { Log } from '../../src/observability/log.ts';
import type { Metrics } from '../../src/observability/metrics.ts';
import type { Worker } from '../../src/shell/worker.ts';
import { createGatewayWorker } from '../../src/workers/gateway/worker.ts';
import type { StepBus } from '../../src/testing/step-bus.ts';
import type { SimNetwork } from './sim-network.ts';

export type SimGatewayOptions = {
  readonly bus: StepBus;
  readonly network: SimNetwork;
  readonly origin: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
};

const clientOver = (network: SimNetwork): HttpClient => ({
  post: async ({ url, body }) => {
    try {
      return { type: 'answered', ...(await network.post(url, body)) };
    } catch (error) {
      return { type: 'failed', code: 'SIMULATED', reason: String(error) };
    }
  },
  close: async () => undefined,
});

export const openSimGateway = ({ bus, network, origin, clock, log, metrics }: SimGatewayOptions): Worker => {
  const worker = createGatewayWorker({ bus, outbound: { httpClient: clientOver(network), trust: 'platform' }, clock, log, metrics });
  network.attach(origin, async (body) => {
    const headers = { 'content-type': 'application/json', 'content-length': String(new TextEncoder().encode(body).length) };
    const response = await worker.fetch(new Request(origin, { method: 'POST', headers, body }));
    return { status: response.status };
  });
  return worker;
};
