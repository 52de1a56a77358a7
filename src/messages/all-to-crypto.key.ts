/** Asks crypto for keys of a tenant (a virtual node's short hash, or `p2p`). Private keys never come back. */
import * as z from 'zod';
import { base64url, timestampMs } from './grammar/shapes.ts';
import { wire } from './grammar/wire.ts';

export const tenant = z.string().regex(/^(p2p|[0-9A-F]{12})$/);
export const hsmCategory = z.enum(['ACCOUNTS', 'CI', 'LEDGER', 'NOTARY', 'PRE_AUTH', 'SESSION_INIT', 'TLS', 'JWT_KEY', 'ENCRYPTION_SECRET']);
export const keyScheme = z.enum(['CORDA.RSA', 'CORDA.ECDSA.SECP256K1', 'CORDA.ECDSA.SECP256R1', 'CORDA.EDDSA.ED25519', 'CORDA.X25519']);
export type KeyScheme = z.infer<typeof keyScheme>;
export const keyAlias = z.string().regex(/^[-._A-Za-z0-9]{1,255}$/);
export const keyId = z.string().regex(/^[0-9A-F]{12}$/);

/** Corda looks up at most 20 ids at a time. */
export const keyIdsMax = 20;

export const publicKeyInfo = z.object({
  /** First 12 upper-case hex digits of SHA-256 over the SubjectPublicKeyInfo. */
  id: keyId,
  tenant,
  alias: keyAlias,
  category: hsmCategory,
  scheme: keyScheme,
  /** SubjectPublicKeyInfo, DER. */
  publicKey: base64url,
  createdAt: timestampMs,
});
export type PublicKeyInfo = z.infer<typeof publicKeyInfo>;

export const allToCryptoKey = wire({
  topic: 'all-to-crypto.key',
  from: ['rest', 'member', 'flow'],
  to: ['crypto'],
  key: 'tenant',
  retention: 'log',
  version: 1,
  body: z.discriminatedUnion('type', [
    /** Idempotent: a tenant has one association of a category with the soft HSM. */
    z.object({ type: z.literal('assign-hsm'), tenant, category: hsmCategory }),
    /** Refused with CRYPTO_HSM_UNASSIGNED without the category's HSM, CRYPTO_ALIAS_TAKEN when the alias has another scheme. */
    z.object({ type: z.literal('generate'), tenant, alias: keyAlias, category: hsmCategory, scheme: keyScheme }),
    z.object({ type: z.literal('find'), tenant, ids: z.array(keyId).max(keyIdsMax).optional(), alias: keyAlias.optional(), category: hsmCategory.optional() }),
  ]),
  reply: z.object({
    keys: z.array(publicKeyInfo),
    /** Of `assign-hsm`. */
    association: z.object({ id: z.string(), hsmId: z.literal('SOFT'), category: hsmCategory, masterKeyAlias: z.string() }).optional(),
  }),
});
