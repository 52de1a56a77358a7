/** CPI upload in chunks of one ordered key, its status, and the list of CPIs. */
import * as z from 'zod';
import { base64url } from './grammar/shapes.ts';
import { wire } from './grammar/wire.ts';
import { cpiMetadata } from './db-to-all.cpi.ts';

/** Bytes of a chunk (before base64url), and of a whole CPI file. */
export const cpiChunkBytesMax = 512 * 1024;
export const cpiBytesMax = 50 * 1024 * 1024;

const uploadId = z.uuid();

export const restToDbCpi = wire({
  topic: 'rest-to-db.cpi',
  from: ['rest'],
  to: ['db'],
  key: 'upload id',
  retention: 'log',
  version: 1,
  body: z.discriminatedUnion('type', [
    z.object({
      type: z.literal('chunk'),
      uploadId,
      index: z.int().min(0),
      count: z.int().min(1).max(Math.ceil(cpiBytesMax / cpiChunkBytesMax)),
      bytes: base64url.max(Math.ceil((cpiChunkBytesMax * 4) / 3) + 4),
      /** `true` replaces a CPI of the same name, version and signer (Corda's force upload). */
      force: z.boolean(),
    }),
    /** Refused with DB_UPLOAD_UNKNOWN, DB_CPI_DUPLICATE or DB_CPI_INVALID. */
    z.object({ type: z.literal('status'), uploadId }),
    z.object({ type: z.literal('list') }),
  ]),
  reply: z.object({
    status: z.string().optional(),
    /** 12 hex digits once the status is `OK`, else empty. */
    cpiFileChecksum: z.string().optional(),
    cpis: z.array(cpiMetadata).optional(),
  }),
});
