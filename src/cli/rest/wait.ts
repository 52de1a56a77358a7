/** `--wait`: operations that the cluster goes on with after its answer are waited for, and the end is the answer. */
import type { RestClient } from '../../rest-client/rest-client.ts';
import { untilCpiVerified, untilFlowEnded, untilRegistered, untilVirtualNode } from '../../rest-client/waits.ts';
import { textOf } from '../answer.ts';
import type { Given } from './given.ts';

type Wait = (call: { readonly client: RestClient; readonly given: Given; readonly value: unknown; readonly timeoutMs: number | undefined }) => Promise<unknown>;

const flow: Wait = ({ client, given: { path, json }, timeoutMs }) =>
  untilFlowEnded(client, path['holdingidentityshorthash']!, path['clientrequestid'] ?? textOf(json, 'clientRequestId'), timeoutMs);
const cpi: Wait = async ({ client, value, timeoutMs }) => ({ cpiFileChecksum: await untilCpiVerified(client, textOf(value, 'id'), timeoutMs), status: 'OK' });
const virtualNode: Wait = ({ client, value, timeoutMs }) => untilVirtualNode(client, textOf(value, 'requestId'), timeoutMs);
const registration: Wait = ({ client, given: { path }, timeoutMs }) => untilRegistered(client, path['holdingidentityshorthash']!, timeoutMs);

const waits: Readonly<Record<string, Wait>> = {
  'POST /flow/{holdingidentityshorthash}': flow,
  'GET /flow/{holdingidentityshorthash}/{clientrequestid}': flow,
  'GET /flow/{holdingidentityshorthash}/{clientrequestid}/result': flow,
  'POST /flow/{holdingidentityshorthash}/{clientrequestid}/redrive': flow,
  'POST /cpi': cpi,
  'POST /maintenance/virtualnode/forcecpiupload': cpi,
  'POST /virtualnode': virtualNode,
  'PUT /virtualnode/{virtualnodeshortid}/cpi/{targetcpifilechecksum}': virtualNode,
  'PUT /virtualnode/{virtualnodeshortid}/db': virtualNode,
  'DELETE /virtualnode/{holdingidentityshorthash}': virtualNode,
  'POST /membership/{holdingidentityshorthash}': registration,
};

export const waitOf = (operation: string): Wait | undefined => waits[operation];
