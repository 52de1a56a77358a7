/** A section of the configuration is replaced. */
import * as z from 'zod';
import { configCharsMax } from './configuration/sections.ts';
import { storedSection } from './db-to-all.config.ts';
import { wire } from './grammar/wire.ts';

export const restToDbConfig = wire({
  topic: 'rest-to-db.config',
  from: ['rest'],
  to: ['db'],
  key: 'section',
  retention: 'log',
  version: 1,
  /** Refused with DB_CONFIG_SECTION_UNKNOWN, DB_CONFIG_INVALID, DB_CONFIG_VERSION. */
  body: z.object({
    section: z.string().max(100),
    /** The version that it replaces. */
    version: z.int().nonnegative(),
    schemaVersion: z.object({ major: z.int(), minor: z.int() }),
    source: z.string().max(configCharsMax),
    /** Who does it. */
    actor: z.string().max(255),
  }),
  reply: storedSection,
});
