/** What the operations on virtual nodes share: how they refuse, find what they work on, and report. */
import type { CpiMetadata } from '../../../messages/db-to-all.cpi.ts';
import type { VirtualNode } from '../../../messages/db-to-all.virtual-node.ts';
import type { Outcome, Refusal } from '../../../messages/grammar/envelope.ts';
import type { BodyOf, ReplyOf } from '../../../messages/grammar/wire.ts';
import type { restToDbVirtualNode } from '../../../messages/rest-to-db.virtual-node.ts';
import type { Log } from '../../../observability/log.ts';
import { findSchemas } from '../cpk-schemas.ts';
import type { CpkSchema, DbTx, VirtualNodeOperation } from '../db-tx.ts';

type AnyBody = BodyOf<typeof restToDbVirtualNode>;
export type Reply = ReplyOf<typeof restToDbVirtualNode>;
/** A request of one type; `messageId` is the same at each of its repeats. */
export type Request<Type extends AnyBody['type']> = {
  readonly body: Extract<AnyBody, { type: Type }>;
  readonly messageId: string;
  readonly log: Log;
  readonly now: number;
};

export const refused = (code: string, message: string): Refusal => ({ type: 'refused', code, message });

export const isRefused = (found: object): found is Refusal => 'type' in found && found.type === 'refused';

export const findCpi = async (tx: DbTx, checksum: string): Promise<CpiMetadata | Refusal> => {
  const found = /^[0-9A-Fa-f]{12,64}$/.test(checksum) ? await tx.cpis.findByChecksum(checksum.toUpperCase()) : [];
  const [cpi, another] = found;
  if (cpi === undefined) return refused('DB_CPI_NOT_FOUND', `no CPI has the checksum ${JSON.stringify(checksum)}; GET /cpi lists those that are here`);
  if (another !== undefined) return refused('DB_CPI_NOT_FOUND', `several CPIs have checksums that begin with ${checksum}; give more digits`);
  return cpi;
};

const unknownNode = (shortHash: string): Refusal => refused('DB_VIRTUAL_NODE_NOT_FOUND', `there is no virtual node ${shortHash} on this cluster`);

export const findNode = async (tx: DbTx, shortHash: string): Promise<VirtualNode | Refusal> => (await tx.virtualNodes.find(shortHash)) ?? unknownNode(shortHash);

/** The virtual node, held until the transaction ends, unless an operation holds it already. */
export const holdNode = async (tx: DbTx, shortHash: string): Promise<VirtualNode | Refusal> => {
  const node = await tx.virtualNodes.findToChange(shortHash);
  if (node === undefined) return unknownNode(shortHash);
  if (node.operationInProgress === undefined) return node;
  return refused('DB_OPERATION_IN_PROGRESS', `the operation ${node.operationInProgress} is in progress on virtual node ${shortHash}; GET /virtualnode/status/${node.operationInProgress} tells how far it is`);
};

/** In the order of the code units. */
export const schemasOf = async (tx: DbTx, cpkHashes: readonly string[]): Promise<CpkSchema[]> => {
  const schemas = await findSchemas(tx, cpkHashes);
  return cpkHashes.flatMap((hash) => schemas.get(hash) ?? []);
};

export const reported = (operation: VirtualNodeOperation): Outcome<Reply> => ({ type: 'done', value: { requestId: operation.requestId, status: operation } });

export const changed = (node: VirtualNode, changes: Partial<VirtualNode>, now: number): VirtualNode => ({ ...node, ...changes, version: node.version + 1, timestamp: now });

/** The four statuses together: Corda's two states of a virtual node. */
export const statuses = (status: 'ACTIVE' | 'INACTIVE') =>
  ({ flowStartOperationalStatus: status, flowOperationalStatus: status, flowP2pOperationalStatus: status, vaultDbOperationalStatus: status }) as const;

export const isInMaintenance = ({ flowOperationalStatus }: VirtualNode): boolean => flowOperationalStatus === 'INACTIVE';
