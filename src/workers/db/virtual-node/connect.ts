/**
 * A virtual node in maintenance is led to its vault by other connections: another login, another server, or for the first time a database of its
 * own. No rows are carried over: whoever moves a vault copies it first. What fails leaves the connections as they were.
 */
import { deriveId } from '../../../identity/derive.ts';
import type { Refusal } from '../../../messages/grammar/envelope.ts';
import type { Answered } from '../../../shell/worker.ts';
import type { DbTx, VaultConnections, VirtualNodeOperation } from '../db-tx.ts';
import { virtualNodeRecord } from '../publication.ts';
import { repeat } from './create.ts';
import { changed, holdNode, isInMaintenance, isRefused, refused, reported, schemasOf, type Reply, type Request } from './operation.ts';

/** What is given, over what there is. */
const connectionsOf = async (tx: DbTx, { shortHash, dml, ddl }: Request<'connect'>['body']): Promise<VaultConnections | Refusal> => {
  const before = await tx.virtualNodes.connections(shortHash);
  const reads = dml ?? before?.dml;
  if (reads === undefined) return refused('DB_CONNECTION_INVALID', `the vault of ${shortHash} is in the cluster's database; to lead it to one of its own, give vaultDmlConnection`);
  return { dml: reads, ddl: ddl ?? before?.ddl ?? null };
};

export const connect = async (tx: DbTx, { body, messageId, log, now }: Request<'connect'>): Promise<Answered<Reply>> => {
  const { shortHash } = body;
  const requestId = deriveId('connections', shortHash, messageId);
  const done = await tx.virtualNodes.findOperation(requestId);
  if (done !== undefined) return repeat(tx, done.operation);
  const before = await holdNode(tx, shortHash);
  if (isRefused(before)) return { outcome: before };
  if (!isInMaintenance(before)) return { outcome: refused('DB_CONNECTION_INVALID', `virtual node ${shortHash} must be in maintenance: PUT /virtualnode/${shortHash}/state/maintenance`) };
  const connections = await connectionsOf(tx, body);
  if (isRefused(connections)) return { outcome: connections };
  const made = await tx.virtualNodes.connect(before, connections, await schemasOf(tx, before.cpkHashes), now);
  const operation: VirtualNodeOperation = {
    requestId,
    operation: 'UPDATE_VIRTUAL_NODE_DB',
    status: made.type === 'failed' ? 'FAILED' : 'SUCCEEDED',
    lastUpdatedTimestamp: now,
    resourceId: shortHash,
    errorReason: made.type === 'failed' ? `the connections are as they were: ${made.reason}` : null,
  };
  await tx.virtualNodes.putOperation({ operation, messageId });
  if (made.type === 'failed') {
    log.error('db.virtual-node.connect-failed', { shortHash, reason: made.reason });
    return { outcome: reported(operation) };
  }
  // The ids of its connections are new.
  const node = changed((await tx.virtualNodes.find(shortHash))!, {}, now);
  await tx.virtualNodes.update(node);
  log.info('db.virtual-node.connected', { shortHash, hasDdl: connections.ddl !== null });
  return { outcome: reported(operation), effects: [virtualNodeRecord(node)] };
};
