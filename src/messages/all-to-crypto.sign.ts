/** Asks crypto to sign with a key that a tenant owns. */
import * as z from 'zod';
import { hsmCategory, keyId, tenant } from './all-to-crypto.key.ts';
import { base64url } from './grammar/shapes.ts';
import { wire } from './grammar/wire.ts';

/** Bound on what may be signed in one request, in base64url digits. */
export const signDataCharsMax = 200_000;

export const signatureSpec = z.enum([
  'SHA256withRSA', 'SHA384withRSA', 'SHA512withRSA', 'RSASSA-PSS-SHA256',
  'SHA256withECDSA', 'SHA384withECDSA', 'SHA512withECDSA', 'EdDSA',
]);
export type SignatureSpec = z.infer<typeof signatureSpec>;

export const allToCryptoSign = wire({
  topic: 'all-to-crypto.sign',
  from: ['flow', 'link-manager', 'member'],
  to: ['crypto'],
  key: 'tenant',
  retention: 'log',
  version: 1,
  body: z.object({
    tenant,
    keyId,
    /** When given, the key must be of this category. */
    category: hsmCategory.optional(),
    /** Default: the spec of the key's scheme (SHA256withECDSA, EdDSA, SHA256withRSA). */
    spec: signatureSpec.optional(),
    /** Must not be empty. */
    data: base64url.min(1).max(signDataCharsMax),
  }),
  reply: z.object({ signature: base64url, spec: signatureSpec, publicKey: base64url }),
});
