/**
 * Seals to somebody's public key, and opens what was sealed to a key of a tenant, as src/cipher/sealed-to-key.ts has it: the MGM's
 * PRE_AUTH key opens registrations. Neither private key nor shared secret leaves crypto.
 */
import * as z from 'zod';
import { hsmCategory, keyId, tenant } from './all-to-crypto.key.ts';
import { base64url } from './grammar/shapes.ts';
import { wire } from './grammar/wire.ts';

/** Bound on the plaintext, in base64url digits; a sealed text is little longer. */
export const sealedPlaintextCharsMax = 400_000;

export const sealedToKey = z.object({
  /** SubjectPublicKeyInfo, of the reader's scheme. */
  ephemeralPublicKey: base64url.max(200),
  salt: base64url.length(43),
  nonce: base64url.length(16),
  ciphertext: base64url.max(sealedPlaintextCharsMax + 100),
});

const context = {
  /** What is sealed and why: the same words at both ends. */
  info: z.string().max(200),
  /** What it belongs to: the same bytes at both ends. */
  aad: base64url.max(10_000),
};

export const memberToCryptoSeal = wire({
  topic: 'member-to-crypto.seal',
  from: ['member'],
  to: ['crypto'],
  key: 'tenant',
  retention: 'log',
  version: 1,
  body: z.discriminatedUnion('type', [
    /** Refused with CRYPTO_PUBLIC_KEY. A repeat gives another text, which opens to the same: the asker keeps the first. */
    z.object({ type: z.literal('seal'), tenant, /** SubjectPublicKeyInfo of X25519, P-256 or secp256k1. */ publicKey: base64url.max(200), ...context, plaintext: base64url.max(sealedPlaintextCharsMax) }),
    /** Refused with CRYPTO_KEY_NOT_FOUND, CRYPTO_KEY_CATEGORY, CRYPTO_SCHEME_UNFIT (the key does not agree), CRYPTO_NOT_OPENED. */
    z.object({ type: z.literal('open'), tenant, keyId, category: hsmCategory, ...context, sealed: sealedToKey }),
  ]),
  reply: z.discriminatedUnion('type', [
    z.object({ type: z.literal('sealed'), sealed: sealedToKey }),
    z.object({ type: z.literal('opened'), plaintext: base64url.max(sealedPlaintextCharsMax + 100) }),
  ]),
});
