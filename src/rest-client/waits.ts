/** Waits for what the API does in its own time: verifications, virtual nodes, registrations, flows. */
import type { RestClient, ValueOf } from './rest-client.ts';

export class WaitTimeout extends Error {
  readonly code = 'REST_WAIT_TIMEOUT';
  constructor(what: string, timeoutMs: number) {
    super(`${what} did not come about within ${timeoutMs / 1000} s; the cluster's log says why`);
    this.name = 'WaitTimeout';
  }
}

/** What was waited for has ended otherwise than well. */
export class WaitFailed extends Error {
  readonly code = 'REST_WAIT_FAILED';
  constructor(message: string) {
    super(message);
    this.name = 'WaitFailed';
  }
}

const timeoutMsDefault = 30_000;
/** Pauses between questions, in ms: first and longest. */
const pauseMsMin = 5;
const pauseMsMax = 250;
/** How long the server holds one question about a flow. */
const flowWait = 'PT10S';
const flowTimeoutMsDefault = 60_000;

/** Asks until `read` gives a value. */
export const until = async <Value>(what: string, read: () => Promise<Value | undefined>, timeoutMs = timeoutMsDefault): Promise<Value> => {
  const deadline = performance.now() + timeoutMs;
  for (let delayMs = pauseMsMin; ; delayMs = Math.min(delayMs * 2, pauseMsMax)) {
    const value = await read();
    if (value !== undefined) return value;
    if (performance.now() > deadline) throw new WaitTimeout(what, timeoutMs);
    await new Promise((resolve) => setTimeout(resolve, delayMs));
  }
};

/** The checksum that virtual nodes are made from, once an upload is verified. */
export const untilCpiVerified = (client: RestClient, id: string, timeoutMs?: number): Promise<string> =>
  until(
    'the verification of the CPI',
    async () => {
      const { status, cpiFileChecksum } = await client.call('GET /cpi/status/{id}', { path: { id } });
      return status === 'OK' ? cpiFileChecksum : undefined;
    },
    timeoutMs,
  );

type AsyncStatus = ValueOf<'GET /virtualnode/status/{requestid}'>;

/** The end of an operation on a virtual node. */
export const untilVirtualNode = (client: RestClient, requestid: string, timeoutMs?: number): Promise<AsyncStatus> =>
  until(
    'the operation on the virtual node',
    async () => {
      const status = await client.call('GET /virtualnode/status/{requestid}', { path: { requestid } });
      if (status.status === 'FAILED' || status.status === 'ABORTED') throw new WaitFailed(`the operation on the virtual node ended ${status.status}: ${status.errorReason ?? 'no reason given'}`);
      return status.status === 'SUCCEEDED' ? status : undefined;
    },
    timeoutMs,
  );

type Registration = ValueOf<'GET /membership/{holdingidentityshorthash}'>[number];
const refusedRegistrations: ReadonlySet<string> = new Set(['DECLINED', 'INVALID', 'FAILED']);

/** A registration of the virtual node that was approved. */
export const untilRegistered = (client: RestClient, holdingidentityshorthash: string, timeoutMs?: number): Promise<Registration> =>
  until(
    `the registration of ${holdingidentityshorthash}`,
    async () => {
      const all = await client.call('GET /membership/{holdingidentityshorthash}', { path: { holdingidentityshorthash } });
      const refused = all.find(({ registrationStatus }) => refusedRegistrations.has(registrationStatus));
      if (refused !== undefined) throw new WaitFailed(`the registration of ${holdingidentityshorthash} ended ${refused.registrationStatus}: ${refused.reason ?? 'no reason given'}`);
      return all.find(({ registrationStatus }) => registrationStatus === 'APPROVED');
    },
    timeoutMs,
  );

export type FlowResult = ValueOf<'GET /flow/{holdingidentityshorthash}/{clientrequestid}/result'>;

/** The end of a flow, whatever it is. */
export const untilFlowEnded = (client: RestClient, holdingidentityshorthash: string, clientrequestid: string, timeoutMs = flowTimeoutMsDefault): Promise<FlowResult> =>
  until(
    `the end of the flow ${clientrequestid}`,
    async () => {
      const path = { holdingidentityshorthash, clientrequestid };
      const { status, value } = await client.ask('GET /flow/{holdingidentityshorthash}/{clientrequestid}/result', { path, query: { wait: flowWait } });
      return status === 200 ? value : undefined;
    },
    timeoutMs,
  );
