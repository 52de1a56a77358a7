/** Every CPI of the cluster: its identity, group policy and what its CPKs declare. Code travels on `db-to-flow.cpk`. */
import * as z from 'zod';
import { cpiId, flowDeclaration, groupId, timestampMs } from './grammar/shapes.ts';
import { wire } from './grammar/wire.ts';

export const cpkMetadata = z.object({
  /** SHA-256 of the CPK file, upper-case hex. */
  hash: z.string().regex(/^[0-9A-F]{64}$/),
  id: cpiId,
  flows: z.array(flowDeclaration).max(1_000),
  timestamp: timestampMs,
});

export const cpiMetadata = z.object({
  id: cpiId,
  /** SHA-256 of the CPI file, upper-case hex; REST shows its first 12 digits. */
  fullChecksum: z.string().regex(/^[0-9A-F]{64}$/),
  groupId,
  /** The group policy file's text. */
  groupPolicy: z.string().max(500_000),
  cpks: z.array(cpkMetadata).max(100),
  timestamp: timestampMs,
});
export type CpiMetadata = z.infer<typeof cpiMetadata>;

export const dbToAllCpi = wire({
  topic: 'db-to-all.cpi',
  from: ['db'],
  to: ['rest', 'flow', 'member'],
  key: 'full checksum',
  retention: 'compacted',
  version: 1,
  body: cpiMetadata,
});
