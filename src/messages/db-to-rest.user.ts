/** Users that may call REST, with their password hashes (scrypt, RFC 7914). */
import * as z from 'zod';
import { base64url } from './grammar/shapes.ts';
import { wire } from './grammar/wire.ts';

export const user = z.object({
  login: z.string().regex(/^[-._@a-zA-Z0-9]{3,255}$/),
  fullName: z.string().max(255),
  enabled: z.boolean(),
  password: z.object({ n: z.int(), r: z.int(), p: z.int(), salt: base64url, hash: base64url }),
});
export type User = z.infer<typeof user>;

export const dbToRestUser = wire({
  topic: 'db-to-rest.user',
  from: ['db'],
  to: ['rest'],
  key: 'login',
  retention: 'compacted',
  version: 1,
  body: user,
});
