/** Decides what an opened CPI does to the cluster: stored as new, in place of another, or refused. */
import type { CpiMetadata } from '../../messages/db-to-all.cpi.ts';
import type { Refusal } from '../../messages/grammar/envelope.ts';
import type { OutRecord } from '../../messages/grammar/record.ts';
import type { DbTx } from './db-tx.ts';
import type { OpenedUpload } from './open-upload.ts';
import { cpiRecord, cpiRemoval, cpkRecords, virtualNodeRecord } from './publication.ts';

/** `replaced` is the checksum of the file whose place it took. */
export type StoredCpi = { readonly type: 'stored'; readonly cpi: CpiMetadata; readonly replaced: string | null };

export const invalidCpi = (message: string, details?: Record<string, string>): Refusal => ({
  type: 'refused',
  code: 'DB_CPI_INVALID',
  message,
  ...(details === undefined ? {} : { details }),
});

const nameOf = ({ name, version }: CpiMetadata['id']): string => `${name} ${version}`;

/** Corda's force upload replaces the code and keeps the group policy, so members stay in their network. */
const replacementOf = (cpi: CpiMetadata, existing: CpiMetadata | undefined): CpiMetadata | Refusal => {
  if (existing === undefined) return invalidCpi(`there is no CPI ${nameOf(cpi.id)} of this signer to replace; upload it without force`);
  if (existing.groupId !== cpi.groupId) return invalidCpi(`the CPI ${nameOf(cpi.id)} belongs to group ${existing.groupId}, the new file to ${cpi.groupId}`);
  return { ...cpi, groupPolicy: existing.groupPolicy };
};

/**
 * Virtual nodes of a replaced CPI run its new code from now on, over vaults as that code wants them; flows under way keep the CPKs they started
 * with.
 */
const renewVirtualNodes = async (tx: DbTx, cpi: CpiMetadata, now: number): Promise<void> => {
  for (const node of await tx.virtualNodes.findByCpi(cpi.id)) await tx.virtualNodes.update({ ...node, version: node.version + 1, timestamp: now });
};

/** Before anything is stored, since a vault that cannot follow refuses the upload. */
const migrateVaults = async (tx: DbTx, { cpi, schemas }: Pick<OpenedUpload, 'cpi' | 'schemas'>, now: number): Promise<Refusal | undefined> => {
  const nodes = await tx.virtualNodes.findByCpi(cpi.id);
  const migrated = await tx.virtualNodes.migrate(nodes.map(({ holdingIdentity }) => holdingIdentity.shortHash), schemas, now);
  return migrated.type === 'failed' ? invalidCpi(`the vaults of its virtual nodes cannot take it: ${migrated.reason}`) : undefined;
};

export const storeCpi = async (
  tx: DbTx,
  { cpi, content, schemas, force, now }: Omit<OpenedUpload, 'type'> & { readonly force: boolean; readonly now: number },
): Promise<StoredCpi | Refusal> => {
  await tx.cpis.lock();
  const existing = await tx.cpis.findById(cpi.id);
  if (!force && existing !== undefined) {
    return { type: 'refused', code: 'DB_CPI_DUPLICATE', message: `a CPI ${nameOf(cpi.id)} of this signer is there already; raise its version, or force the upload` };
  }
  const accepted = force ? replacementOf(cpi, existing) : cpi;
  if ('type' in accepted) return accepted;
  const fault = existing === undefined ? undefined : await migrateVaults(tx, { cpi: accepted, schemas }, now);
  if (fault !== undefined) return fault;
  await tx.cpis.put(accepted, content);
  if (existing !== undefined) await renewVirtualNodes(tx, accepted, now);
  const replaced = existing !== undefined && existing.fullChecksum !== accepted.fullChecksum ? existing.fullChecksum : null;
  return { type: 'stored', cpi: accepted, replaced };
};

/** What the cluster must hear of a CPI that is stored: its code before its name, so that who knows it can run it. */
export const announceCpi = async (tx: DbTx, { cpi, replaced }: Omit<StoredCpi, 'type'>): Promise<OutRecord[]> => {
  const code = await tx.cpis.findCode(cpi.cpks.map(({ hash }) => hash));
  const nodes = await tx.virtualNodes.findByCpi(cpi.id);
  return [...code.flatMap(cpkRecords), cpiRecord(cpi), ...nodes.map(virtualNodeRecord), ...(replaced === null ? [] : [cpiRemoval(replaced)])];
};
