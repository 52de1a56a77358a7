/** The keys of a virtual node leave for a file of its export, or come from one: sealed as they lie in the database, never opened. */
import * as z from 'zod';
import { hsmCategory, keyAlias, keyId, keyScheme } from './all-to-crypto.key.ts';
import { base64url, shortHash, timestampMs } from './grammar/shapes.ts';
import { wire } from './grammar/wire.ts';

/** Keys of one virtual node that are carried together: what fits into a record. */
export const transferredKeysMax = 200;

const alias = z.string().min(1).max(255);
const generation = z.int().positive();
const sealed = base64url.max(20_000);

export const sealedKeys = z.object({
  tenant: shortHash,
  associations: z.array(z.object({ category: hsmCategory, id: z.uuid(), wrappingAlias: alias, createdAt: timestampMs })).max(20),
  wrappingKeys: z.array(z.object({ alias, generation, parent: alias, material: sealed, createdAt: timestampMs })).max(100),
  signingKeys: z
    .array(
      z.object({
        id: keyId,
        alias: keyAlias,
        category: hsmCategory,
        scheme: keyScheme,
        publicKey: base64url.max(5_000),
        wrappingAlias: alias,
        wrappingGeneration: generation,
        material: sealed,
        createdAt: timestampMs,
      }),
    )
    .max(transferredKeysMax),
});
export type SealedKeys = z.infer<typeof sealedKeys>;

export const restToCryptoTransfer = wire({
  topic: 'rest-to-crypto.transfer',
  from: ['rest'],
  to: ['crypto'],
  key: 'tenant',
  retention: 'log',
  version: 1,
  body: z.discriminatedUnion('type', [
    /** Refused with CRYPTO_TOO_MANY_KEYS. */
    z.object({ type: z.literal('export'), tenant: shortHash }),
    /** Refused with CRYPTO_ROOT_KEY_WRONG where this cluster's root key did not seal them, with CRYPTO_TENANT_TAKEN where the tenant has other keys. */
    z.object({ type: z.literal('check'), keys: sealedKeys }),
    /** As `check`, and then they are kept. */
    z.object({ type: z.literal('import'), keys: sealedKeys }),
  ]),
  reply: z.object({ keys: sealedKeys.optional() }),
});
