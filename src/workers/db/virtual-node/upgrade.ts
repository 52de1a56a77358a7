/**
 * A virtual node takes another version of its CPI: its vault is brought to what the new code wants, then it runs that code. One
 * transaction, so that a crash leaves either the old or the new, and the repeat of the request finds which.
 *
 * The operation keeps the id of the message that began it, as creation does.
 */
import { deriveId } from '../../../identity/derive.ts';
import type { CpiMetadata } from '../../../messages/db-to-all.cpi.ts';
import type { VirtualNode } from '../../../messages/db-to-all.virtual-node.ts';
import type { Refusal } from '../../../messages/grammar/envelope.ts';
import type { Answered } from '../../../shell/worker.ts';
import type { DbTx, VirtualNodeOperation } from '../db-tx.ts';
import { virtualNodeRecord } from '../publication.ts';
import { repeat } from './create.ts';
import { changed, findCpi, holdNode, isInMaintenance, isRefused, refused, reported, schemasOf, type Reply, type Request } from './operation.ts';

/** Corda's rules: in maintenance, the same name and signer, the same group. Any version may follow any other. */
const checkTarget = async (tx: DbTx, node: VirtualNode, target: CpiMetadata): Promise<Refusal | undefined> => {
  const invalid = (reason: string): Refusal => refused('DB_UPGRADE_INVALID', reason);
  const { shortHash } = node.holdingIdentity;
  if (!isInMaintenance(node)) return invalid(`virtual node ${shortHash} must be in maintenance to be upgraded: PUT /virtualnode/${shortHash}/state/maintenance`);
  if (target.fullChecksum === node.cpiFullChecksum) return invalid(`virtual node ${shortHash} has the CPI ${target.id.name} ${target.id.version} already`);
  if (target.id.name !== node.cpiId.name) return invalid(`the CPI is called ${target.id.name}, that of virtual node ${shortHash} ${node.cpiId.name}; an upgrade keeps the name`);
  if (target.id.signerSummaryHash !== node.cpiId.signerSummaryHash) return invalid(`the CPI ${target.id.name} ${target.id.version} has another signer than that of virtual node ${shortHash}`);
  const current = await tx.cpis.findById(node.cpiId);
  if (target.groupId === node.holdingIdentity.groupId || target.groupId === current?.groupId) return undefined;
  return invalid(`the CPI ${target.id.name} ${target.id.version} belongs to group ${target.groupId}, virtual node ${shortHash} to ${node.holdingIdentity.groupId}`);
};

const operationOf = (node: VirtualNode, requestId: string, reason: string | undefined, now: number): VirtualNodeOperation => ({
  requestId,
  operation: 'UPGRADE_VIRTUAL_NODE',
  status: reason === undefined ? 'SUCCEEDED' : 'FAILED',
  lastUpdatedTimestamp: now,
  resourceId: node.holdingIdentity.shortHash,
  errorReason: reason === undefined ? null : `the migrations of the CPI failed, so nothing was changed: ${reason}`,
});

export const upgrade = async (tx: DbTx, { body, messageId, log, now }: Request<'upgrade'>): Promise<Answered<Reply>> => {
  const { shortHash } = body;
  const target = await findCpi(tx, body.cpiFileChecksum);
  if (isRefused(target)) return { outcome: target };
  const requestId = deriveId('upgrade', shortHash, target.fullChecksum, messageId);
  const done = await tx.virtualNodes.findOperation(requestId);
  if (done !== undefined) return repeat(tx, done.operation);
  const before = await holdNode(tx, shortHash);
  if (isRefused(before)) return { outcome: before };
  const fault = await checkTarget(tx, before, target);
  if (fault !== undefined) return { outcome: fault };
  const cpkHashes = target.cpks.map(({ hash }) => hash);
  const migrated = await tx.virtualNodes.migrate([shortHash], await schemasOf(tx, cpkHashes), now);
  const node = migrated.type === 'failed' ? before : changed(before, { cpiId: target.id, cpiFullChecksum: target.fullChecksum, cpkHashes }, now);
  const operation = operationOf(node, requestId, migrated.type === 'failed' ? migrated.reason : undefined, now);
  await tx.virtualNodes.putOperation({ operation, messageId });
  if (migrated.type === 'failed') {
    log.error('db.virtual-node.upgrade-failed', { shortHash, cpi: target.fullChecksum, reason: migrated.reason });
    return { outcome: reported(operation) };
  }
  await tx.virtualNodes.update(node);
  log.info('db.virtual-node.upgraded', { shortHash, from: before.cpiFullChecksum, to: target.fullChecksum });
  return { outcome: reported(operation), effects: [virtualNodeRecord(node)] };
};
