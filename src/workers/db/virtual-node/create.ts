/** A virtual node is made, with schemas and roles of its own. The operation keeps the id of the message that began it, so that its repeat says the same again. */
import { deriveId } from '../../../identity/derive.ts';
import { holdingIdentityOf } from '../../../identity/holding-identity.ts';
import { parseX500 } from '../../../identity/x500.ts';
import type { Answered } from '../../../shell/worker.ts';
import type { DbTx, VirtualNodeOperation } from '../db-tx.ts';
import { virtualNodeRecord } from '../publication.ts';
import { newVirtualNode } from '../virtual-node.ts';
import { findCpi, isRefused, refused, reported, schemasOf, type Reply, type Request } from './operation.ts';

/** What a CPI that makes its network's manager says instead of a group id (Corda). */
export const groupIdToCreate = 'CREATE_ID';

/** The same answer and effects as before, for a message that was handled already. */
export const repeat = async (tx: DbTx, operation: VirtualNodeOperation): Promise<Answered<Reply>> => {
  const node = operation.resourceId === null ? undefined : await tx.virtualNodes.find(operation.resourceId);
  return { outcome: reported(operation), effects: node === undefined ? [] : [virtualNodeRecord(node)] };
};

export const create = async (tx: DbTx, { body, messageId, log, now }: Request<'create'>): Promise<Answered<Reply>> => {
  const cpi = await findCpi(tx, body.cpiFileChecksum);
  if (isRefused(cpi)) return { outcome: cpi };
  const parsed = parseX500(body.x500Name);
  if (parsed.type === 'invalid') return { outcome: refused('DB_X500_INVALID', `${JSON.stringify(body.x500Name)} is not an X.500 name for a member: ${parsed.reason}`) };
  // REST draws the id of each request, so each has a group of its own, wherever the same CPI is; its repeat has the same.
  const groupId = cpi.groupId === groupIdToCreate ? deriveId('group', messageId, cpi.fullChecksum, parsed.name) : cpi.groupId;
  const identity = holdingIdentityOf(parsed.name, groupId);
  const { shortHash } = identity;
  const before = await tx.virtualNodes.findOperation(shortHash);
  if (before?.messageId === messageId) return repeat(tx, before.operation);
  const connections = body.connections === undefined ? undefined : { dml: body.connections.dml, ddl: body.connections.ddl ?? null };
  const node = newVirtualNode(identity, cpi, now, connections === undefined ? undefined : { version: 1, hasDdl: connections.ddl !== null });
  const created = await tx.virtualNodes.create(node, await schemasOf(tx, node.cpkHashes), connections);
  if (created.type === 'exists') return { outcome: refused('DB_VIRTUAL_NODE_EXISTS', `the virtual node ${shortHash} (${parsed.name}) is there already`) };
  const operation: VirtualNodeOperation = {
    requestId: shortHash,
    operation: 'CREATE_VIRTUAL_NODE',
    lastUpdatedTimestamp: now,
    ...(created.type === 'created'
      ? { status: 'SUCCEEDED', resourceId: shortHash, errorReason: null }
      : { status: 'FAILED', resourceId: null, errorReason: `its schemas and tables could not be made: ${created.reason}` }),
  };
  await tx.virtualNodes.putOperation({ operation, messageId });
  if (created.type === 'failed') {
    log.error('db.virtual-node.failed', { shortHash, reason: created.reason });
    return { outcome: reported(operation) };
  }
  log.info('db.virtual-node.created', { shortHash, x500Name: parsed.name, cpi: cpi.fullChecksum });
  return { outcome: reported(operation), effects: [virtualNodeRecord(node)] };
};
