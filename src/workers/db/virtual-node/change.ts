/** What is changed at once: the state of a virtual node (Corda's maintenance and active), and the tables in its vault made anew. */
import type { Answered } from '../../../shell/worker.ts';
import { firstMissing } from '../cpk-schemas.ts';
import type { DbTx } from '../db-tx.ts';
import { virtualNodeRecord } from '../publication.ts';
import { changed, holdNode, isInMaintenance, isRefused, refused, schemasOf, statuses, type Reply, type Request } from './operation.ts';

/** Idempotent: a repeat finds it done and says so with the same record. */
export const setState = async (tx: DbTx, { body: { shortHash, state }, log, now }: Request<'set-state'>): Promise<Answered<Reply>> => {
  const before = await holdNode(tx, shortHash);
  if (isRefused(before)) return { outcome: before };
  const wanted = statuses(state === 'active' ? 'ACTIVE' : 'INACTIVE');
  const isDone = Object.entries(wanted).every(([name, status]) => before[name as keyof typeof wanted] === status);
  if (isDone) return { outcome: { type: 'done', value: { virtualNodes: [before] } }, effects: [virtualNodeRecord(before)] };
  if (state === 'active') {
    const schemas = await schemasOf(tx, before.cpkHashes);
    // A vault in a database of its own is looked at in any case: whether it is there.
    const isElsewhere = (await tx.virtualNodes.connections(shortHash)) !== undefined;
    const missing = schemas.length === 0 && !isElsewhere ? undefined : firstMissing(schemas, await tx.virtualNodes.migrations(shortHash));
    if (missing !== undefined) {
      const remedy = `apply the SQL of GET /virtualnode/${shortHash}/db/vault/${before.cpiFullChecksum.slice(0, 12)}, or resync the vault`;
      return { outcome: refused('DB_VAULT_OUT_OF_STEP', `the vault of ${shortHash} lacks migration ${missing}, which its CPI wants; ${remedy}`) };
    }
  }
  const node = changed(before, wanted, now);
  await tx.virtualNodes.update(node);
  log.info('db.virtual-node.state', { shortHash, state });
  return { outcome: { type: 'done', value: { virtualNodes: [node] } }, effects: [virtualNodeRecord(node)] };
};

/** Done twice it leaves the same, unless flows wrote in between: then what they wrote is lost too, as in the first place. */
export const resync = async (tx: DbTx, { body: { shortHash }, log, now }: Request<'resync'>): Promise<Answered<Reply>> => {
  const node = await holdNode(tx, shortHash);
  if (isRefused(node)) return { outcome: node };
  const made = await tx.virtualNodes.resync(shortHash, await schemasOf(tx, node.cpkHashes), now);
  if (made.type === 'failed') return { outcome: refused('DB_VAULT_RESYNC_FAILED', `the tables of ${shortHash} cannot be made anew, so they are as they were: ${made.reason}`) };
  log.warn('db.vault.resynced', { shortHash, inMaintenance: isInMaintenance(node) });
  return { outcome: { type: 'done', value: {} }, effects: [virtualNodeRecord(node)] };
};
