/** The configuration, one record a section: what operators set. Defaults are each reader's own (configuration/sections.ts). */
import * as z from 'zod';
import { configCharsMax } from './configuration/sections.ts';
import { timestampMs } from './grammar/shapes.ts';
import { wire } from './grammar/wire.ts';

export const storedSection = z.object({
  section: z.string().max(100),
  /** Counts the changes; a section that nobody has set has none, and its version is 0. */
  version: z.int().positive(),
  schemaVersion: z.object({ major: z.int(), minor: z.int() }),
  /** JSON text, as the operator gave it. */
  source: z.string().max(configCharsMax),
  updatedAt: timestampMs,
});
export type StoredSection = z.infer<typeof storedSection>;

export const dbToAllConfig = wire({
  topic: 'db-to-all.config',
  from: ['db'],
  to: ['rest', 'flow', 'crypto', 'member', 'link-manager', 'gateway'],
  key: 'section',
  retention: 'compacted',
  version: 1,
  body: storedSection,
});
