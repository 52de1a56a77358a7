/** Virtual nodes and CPIs for tests, each of its own name. */
import { holdingIdentityOf } from '../../../src/identity/holding-identity.ts';
import { parseX500 } from '../../../src/identity/x500.ts';
import type { CpiMetadata } from '../../../src/messages/db-to-all.cpi.ts';
import type { VirtualNode } from '../../../src/messages/db-to-all.virtual-node.ts';
import { newVirtualNode } from '../../../src/workers/db/virtual-node.ts';
import type { DbTx } from '../../../src/workers/db/worker.ts';

export const hex64 = (count: number): string => count.toString(16).toUpperCase().padStart(12, '0').padEnd(64, '0');

const groupId = '8c5a9a2e-6f0b-4b8c-9a55-0d6b6d1f5a10';
const now = Date.UTC(2026, 0, 1);

export const testCpi = (count: number, changes: Partial<CpiMetadata> = {}): CpiMetadata => ({
  id: { name: `app-${count}`, version: '1.0', signerSummaryHash: 'SHA-256:AB' },
  fullChecksum: hex64(0xabc000 + count),
  groupId,
  groupPolicy: '{}',
  cpks: [{ hash: hex64(0xdef000 + count), id: { name: `cpk-${count}`, version: '1.0', signerSummaryHash: 'SHA-256:AB' }, flows: [{ name: 'com.example.Flow', kind: 'startable' }], timestamp: now }],
  timestamp: now,
  ...changes,
});

export const testCode = (cpi: CpiMetadata) => cpi.cpks.map(({ hash }) => ({ hash, code: new TextEncoder().encode(`code of ${hash}`), sourceMap: null, schema: null }));

let count = 0;

export const testVirtualNode = (cpi: CpiMetadata): VirtualNode => {
  const parsed = parseX500(`O=Member ${++count}, L=London, C=GB`);
  if (parsed.type === 'invalid') throw new Error(parsed.reason);
  return newVirtualNode(holdingIdentityOf(parsed.name, cpi.groupId), cpi, now);
};

/** A virtual node of a stored CPI, made; its short hash. */
export const makeVirtualNode = async (tx: DbTx): Promise<string> => {
  const cpi = testCpi(0);
  if ((await tx.cpis.findById(cpi.id)) === undefined) await tx.cpis.put(cpi, testCode(cpi));
  const node = testVirtualNode(cpi);
  const created = await tx.virtualNodes.create(node, []);
  if (created.type !== 'created') throw new Error(JSON.stringify(created));
  return node.holdingIdentity.shortHash;
};
