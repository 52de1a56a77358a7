/** The code of a verified CPK and its source map, each in chunks: what a flow worker compiles. Content addressed, so it never changes. */
import * as z from 'zod';
import { base64url } from './grammar/shapes.ts';
import { wire } from './grammar/wire.ts';

export const cpkChunkBytesMax = 512 * 1024;

export const dbToFlowCpk = wire({
  topic: 'db-to-flow.cpk',
  from: ['db'],
  to: ['flow'],
  key: '`<CPK hash>/<index>`, of a source map `<CPK hash>/map/<index>`',
  retention: 'compacted',
  version: 1,
  body: z.object({
    hash: z.string().regex(/^[0-9A-F]{64}$/),
    index: z.int().min(0),
    count: z.int().min(1).max(100),
    /** Chunks of the source map; 0 where the CPK has none. */
    sourceMapCount: z.int().min(0).max(100),
    /** UTF-8 of a slice of the bundle's JavaScript, or of its source map. */
    bytes: base64url,
  }),
});
