/**
 * rest-to-db.virtual-node: creation with schemas and roles of its own, its status, and reads.
 *
 * The operation keeps the id of the message that began it: its repeat finds the work done and says the same again, with the
 * same effects. So no answers are kept.
 */
import { deriveId } from '../../identity/derive.ts';
import { holdingIdentityOf } from '../../identity/holding-identity.ts';
import { parseX500 } from '../../identity/x500.ts';
import type { CpiMetadata } from '../../messages/db-to-all.cpi.ts';
import type { Delivery, Outcome, Refusal } from '../../messages/grammar/envelope.ts';
import type { BodyOf, ReplyOf } from '../../messages/grammar/wire.ts';
import { restToDbVirtualNode } from '../../messages/rest-to-db.virtual-node.ts';
import type { Log } from '../../observability/log.ts';
import type { Answered, Answering } from '../../shell/worker.ts';
import { findSchemas } from './cpk-schemas.ts';
import type { CpkSchema, DbTx, VirtualNodeOperation } from './db-tx.ts';
import { virtualNodeRecord } from './publication.ts';
import { boundedReply } from './reply.ts';
import { newVirtualNode } from './virtual-node.ts';

type Body = BodyOf<typeof restToDbVirtualNode>;
type Reply = ReplyOf<typeof restToDbVirtualNode>;
type Create = Extract<Body, { type: 'create' }>;
type Request = { readonly body: Create; readonly messageId: string; readonly log: Log; readonly now: number };

const refused = (code: string, message: string): Refusal => ({ type: 'refused', code, message });

/** What a CPI that makes its network's manager says instead of a group id (Corda). */
const groupIdToCreate = 'CREATE_ID';

const findCpi = async (tx: DbTx, checksum: string): Promise<CpiMetadata | Refusal> => {
  const found = /^[0-9A-Fa-f]{12,64}$/.test(checksum) ? await tx.cpis.findByChecksum(checksum.toUpperCase()) : [];
  const [cpi, another] = found;
  if (cpi === undefined) return refused('DB_CPI_NOT_FOUND', `no CPI has the checksum ${JSON.stringify(checksum)}; GET /cpi lists those that are here`);
  if (another !== undefined) return refused('DB_CPI_NOT_FOUND', `several CPIs have checksums that begin with ${checksum}; give more digits`);
  return cpi;
};

/** In the order of the code units. */
const schemasOf = async (tx: DbTx, cpkHashes: readonly string[]): Promise<CpkSchema[]> => {
  const schemas = await findSchemas(tx, cpkHashes);
  return cpkHashes.flatMap((hash) => schemas.get(hash) ?? []);
};

const reported = (operation: VirtualNodeOperation): Outcome<Reply> => ({ type: 'done', value: { requestId: operation.requestId, status: operation } });

/** The same answer and effects as before, for a message that was handled already. */
const repeat = async (tx: DbTx, operation: VirtualNodeOperation): Promise<Answered<Reply>> => {
  const node = operation.resourceId === null ? undefined : await tx.virtualNodes.find(operation.resourceId);
  return { outcome: reported(operation), effects: node === undefined ? [] : [virtualNodeRecord(node)] };
};

const create = async (tx: DbTx, { body, messageId, log, now }: Request): Promise<Answered<Reply>> => {
  const cpi = await findCpi(tx, body.cpiFileChecksum);
  if ('type' in cpi) return { outcome: cpi };
  const parsed = parseX500(body.x500Name);
  if (parsed.type === 'invalid') return { outcome: refused('DB_X500_INVALID', `${JSON.stringify(body.x500Name)} is not an X.500 name for a member: ${parsed.reason}`) };
  // REST draws the id of each request, so each has a group of its own, wherever the same CPI is; its repeat has the same.
  const groupId = cpi.groupId === groupIdToCreate ? deriveId('group', messageId, cpi.fullChecksum, parsed.name) : cpi.groupId;
  const identity = holdingIdentityOf(parsed.name, groupId);
  const { shortHash } = identity;
  const before = await tx.virtualNodes.findOperation(shortHash);
  if (before !== undefined && before.messageId === messageId) return repeat(tx, before.operation);
  const node = newVirtualNode(identity, cpi, now);
  const created = await tx.virtualNodes.create(node, await schemasOf(tx, node.cpkHashes));
  if (created.type === 'exists') return { outcome: refused('DB_VIRTUAL_NODE_EXISTS', `the virtual node ${shortHash} (${parsed.name}) is there already`) };
  const operation: VirtualNodeOperation = {
    requestId: shortHash,
    operation: 'CREATE_VIRTUAL_NODE',
    lastUpdatedTimestamp: now,
    ...(created.type === 'created'
      ? { status: 'SUCCEEDED', resourceId: shortHash, errorReason: null }
      : { status: 'FAILED', resourceId: null, errorReason: `its schemas and tables could not be made: ${created.reason}` }),
  };
  await tx.virtualNodes.putOperation(operation, messageId);
  if (created.type === 'failed') {
    log.error('db.virtual-node.failed', { shortHash, reason: created.reason });
    return { outcome: reported(operation) };
  }
  log.info('db.virtual-node.created', { shortHash, x500Name: parsed.name, cpi: cpi.fullChecksum });
  return { outcome: reported(operation), effects: [virtualNodeRecord(node)] };
};

const status = async (tx: DbTx, requestId: string): Promise<Outcome<Reply>> => {
  const found = /^[\x20-\x7e]+$/.test(requestId) ? await tx.virtualNodes.findOperation(requestId) : undefined;
  if (found === undefined) return refused('DB_REQUEST_UNKNOWN', `no virtual node operation has the request id ${JSON.stringify(requestId)}`);
  return { type: 'done', value: { status: found.operation } };
};

const get = async (tx: DbTx, shortHash: string): Promise<Outcome<Reply>> => {
  const node = await tx.virtualNodes.find(shortHash);
  if (node === undefined) return refused('DB_VIRTUAL_NODE_NOT_FOUND', `there is no virtual node ${shortHash} on this cluster`);
  return { type: 'done', value: { virtualNodes: [node] } };
};

const answerOne = async (tx: DbTx, { body, id }: Delivery<Body>, log: Log, now: number): Promise<Answered<Reply>> => {
  switch (body.type) {
    case 'create':
      return create(tx, { body, messageId: id, log, now });
    case 'status':
      return { outcome: await status(tx, body.requestId) };
    case 'list':
      return { outcome: boundedReply({ virtualNodes: [...(await tx.virtualNodes.list())] }) };
    case 'get':
      return { outcome: await get(tx, body.shortHash) };
  }
};

export const onVirtualNode = (log: Log): Answering<Body, Reply, DbTx> => ({
  wire: restToDbVirtualNode,
  storesAnswers: false,
  answer: async (requests, tx, now) => {
    const answered: Answered<Reply>[] = [];
    for (const request of requests) answered.push(await answerOne(tx, request, log, now));
    return answered;
  },
});
