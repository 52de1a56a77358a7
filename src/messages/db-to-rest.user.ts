/** Users that may call REST, with the hashes of their passwords (scrypt, RFC 7914) and their roles. */
import * as z from 'zod';
import { base64url, timestampMs } from './grammar/shapes.ts';
import { wire } from './grammar/wire.ts';

export const passwordRecord = z.object({ n: z.int(), r: z.int(), p: z.int(), salt: base64url.max(100), hash: base64url.max(200) });
export type PasswordRecord = z.infer<typeof passwordRecord>;

/** scrypt's costs for new passwords: 32 MiB and three passes, the level that OWASP names for this memory. */
export const passwordCost = { n: 2 ** 15, r: 8, p: 3 } as const;

/** Roles of one user. */
export const rolesPerUserMax = 100;

export const login = z.string().regex(/^[-._@a-zA-Z0-9]{3,255}$/);

export const user = z.object({
  id: z.uuid(),
  /** In lower case. */
  login,
  fullName: z.string().max(255),
  enabled: z.boolean(),
  /** `null`: logs in with tokens of an identity provider alone. */
  password: passwordRecord.nullable(),
  /** From then on the password serves for nothing but its own change. */
  passwordExpiry: timestampMs.nullable(),
  /** Kept for clients of Corda; there are no groups, and nothing follows from it. */
  parentGroup: z.string().max(100).nullable(),
  roles: z.array(z.object({ id: z.uuid(), since: timestampMs })).max(rolesPerUserMax),
  version: z.int().positive(),
  updatedAt: timestampMs,
});
export type User = z.infer<typeof user>;

export const dbToRestUser = wire({
  topic: 'db-to-rest.user',
  from: ['db'],
  to: ['rest'],
  key: 'login',
  retention: 'compacted',
  version: 2,
  body: user,
});
