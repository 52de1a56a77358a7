/** Many two-party flows over REST, and the count of how they ended. */
import type { RestClient } from '../../src/rest-client/rest-client.ts';
import { until } from '../../src/rest-client/waits.ts';

export type FlowBatch = {
  readonly client: RestClient;
  readonly shortHash: string;
  readonly flowClassName: string;
  /** The same for all, unless a function makes it from the number of the flow. */
  readonly requestBody: object | ((number: number) => object);
  readonly idPrefix: string;
  readonly count: number;
  readonly concurrency: number;
  /** Called after each start that REST accepted. */
  readonly onStarted?: (started: number) => void;
  readonly onEnded?: () => void;
  /** How long to try to start one flow, and to wait for its end. */
  readonly patienceMs?: number;
};

const patienceMsDefault = 120_000;

/** Starts one flow, again and again while the cluster cannot: an answer of 409 then means that an earlier try was taken. */
const startOne = async ({ client, shortHash, flowClassName, patienceMs = patienceMsDefault }: FlowBatch, clientRequestId: string, requestBody: object): Promise<void> => {
  await until(
    `the start of ${clientRequestId}`,
    async () => {
      try {
        await client.call('POST /flow/{holdingidentityshorthash}', { path: { holdingidentityshorthash: shortHash }, json: { clientRequestId, flowClassName, requestBody } });
        return true;
      } catch (error) {
        const status = error !== null && typeof error === 'object' && 'status' in error ? error.status : undefined;
        if (status === 409) return true;
        // 503, 500 in a crash, or no connection at all: the same id may be tried again safely.
        if (status === undefined || status === 503 || status === 500 || status === 502) return undefined;
        throw error;
      }
    },
    patienceMs,
  );
};

const endOf = async ({ client, shortHash, patienceMs = patienceMsDefault }: FlowBatch, clientRequestId: string): Promise<string> =>
  until(
    `the end of ${clientRequestId}`,
    async () => {
      try {
        const path = { holdingidentityshorthash: shortHash, clientrequestid: clientRequestId };
        const answer = await client.call('GET /flow/{holdingidentityshorthash}/{clientrequestid}/result', { path, query: { wait: 10_000 } });
        const status = answer.flowStatus;
        if (status === 'START_REQUESTED' || status === 'RUNNING') return undefined;
        return status === 'COMPLETED' ? status : `${status} ${JSON.stringify(answer)}`;
      } catch {
        return undefined;
      }
    },
    patienceMs,
  );

/** Runs the batch and gives the number of flows by how they ended. */
export const runFlows = async (batch: FlowBatch): Promise<Record<string, number>> => {
  const ends: Record<string, number> = {};
  let next = 0;
  let started = 0;
  const caller = async (): Promise<void> => {
    while (next < batch.count) {
      const number = next++;
      const clientRequestId = `${batch.idPrefix}-${number}`;
      await startOne(batch, clientRequestId, typeof batch.requestBody === 'function' ? batch.requestBody(number) : batch.requestBody);
      batch.onStarted?.(++started);
      const end = await endOf(batch, clientRequestId);
      ends[end] = (ends[end] ?? 0) + 1;
      batch.onEnded?.();
    }
  };
  await Promise.all(Array.from({ length: batch.concurrency }, caller));
  return ends;
};
