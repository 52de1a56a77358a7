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
/** Keys in one answer: what fits into one record with the longest names and RSA keys. */
export const keysFoundMax = 800;

export const publicKeyInfo = z.object({
  /** First 12 upper-case hex digits of SHA-256 over the SubjectPublicKeyInfo. */
  id: keyId,
  tenant,
  alias: keyAlias,
  category: hsmCategory,
  scheme: keyScheme,
  /** Of the tenant's wrapping key that seals it. */
  masterKeyAlias: z.string(),
  /** SubjectPublicKeyInfo, DER. */
  publicKey: base64url,
  createdAt: timestampMs,
});
export type PublicKeyInfo = z.infer<typeof publicKeyInfo>;

export const hsmAssociation = z.object({ id: z.string(), hsmId: z.literal('SOFT'), category: hsmCategory, masterKeyAlias: z.string() });

/** What a list of keys is ordered by; equal ones stand oldest first, then by alias. */
export const keyOrder = z.object({ by: z.enum(['age', 'id', 'alias', 'category', 'scheme', 'masterKeyAlias']), descending: z.boolean() });
export type KeyOrder = z.infer<typeof keyOrder>;

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
    /** Refused with CRYPTO_HSM_NOT_FOUND. */
    z.object({ type: z.literal('find-hsm'), tenant, category: hsmCategory }),
    /**
     * Refused with CRYPTO_HSM_UNASSIGNED without the category's HSM, CRYPTO_ALIAS_TAKEN when the alias has another scheme or category, or, where
     * `isNew` says that no key has it yet, any.
     */
    z.object({ type: z.literal('generate'), tenant, alias: keyAlias, category: hsmCategory, scheme: keyScheme, isNew: z.boolean().optional() }),
    /** Keys that fit all that is given. Refused with CRYPTO_TOO_MANY_KEYS where they are more than one answer holds and `take` is not given. */
    z.object({
      type: z.literal('find'),
      tenant,
      ids: z.array(keyId).max(keyIdsMax).optional(),
      alias: keyAlias.optional(),
      category: hsmCategory.optional(),
      scheme: keyScheme.optional(),
      masterKeyAlias: z.string().max(255).optional(),
      /** Both inclusive. */
      createdFrom: timestampMs.optional(),
      createdTo: timestampMs.optional(),
      order: keyOrder.optional(),
      skip: z.int().nonnegative().optional(),
      take: z.int().nonnegative().max(keysFoundMax).optional(),
    }),
  ]),
  reply: z.object({
    keys: z.array(publicKeyInfo),
    /** Of `assign-hsm` and `find-hsm`. */
    association: hsmAssociation.optional(),
  }),
});
