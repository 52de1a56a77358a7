/** Asks crypto for a certificate signing request (PKCS#10, RFC 2986) of a key that a tenant owns. */
import * as z from 'zod';
import { keyId, tenant } from './all-to-crypto.key.ts';
import { signatureSpec } from './all-to-crypto.sign.ts';
import { x500Name } from './grammar/shapes.ts';
import { wire } from './grammar/wire.ts';

/** Names and addresses of one request. */
export const alternativeNamesMax = 100;

export const restToCryptoCsr = wire({
  topic: 'rest-to-crypto.csr',
  from: ['rest'],
  to: ['crypto'],
  key: 'tenant',
  retention: 'log',
  version: 1,
  body: z.object({
    tenant,
    keyId,
    x500Name,
    /** Host names, with a wildcard as their first label or without, and IP addresses. */
    alternativeNames: z.array(z.string().min(1).max(253)).max(alternativeNamesMax),
    /** Default: that of the key's scheme. */
    spec: signatureSpec.optional(),
  }),
  /** Refused with CRYPTO_KEY_NOT_FOUND, CRYPTO_X500_NAME, CRYPTO_HOST_NAME, CRYPTO_SPEC_UNFIT. */
  reply: z.object({ pem: z.string().max(100_000) }),
});
