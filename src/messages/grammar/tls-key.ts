/**
 * What the wires carry on which a process asks crypto for a TLS key. Keys of the category TLS are the only private keys that leave
 * crypto, sealed to the ephemeral X25519 key of the asking process: HKDF-SHA256 over the shared secret, AES-256-GCM, both public keys as
 * additional data. Each asking room has a wire of its own, on which crypto gives only what that room serves with.
 */
import * as z from 'zod';
import { base64url } from './shapes.ts';

export const tlsKeyRequest = z.object({
  /** Raw X25519 public key, 32 bytes. */
  ephemeralPublicKey: base64url.length(43),
  wanted: z.discriminatedUnion('type', [
    /** The cluster's own key, with a certificate for these names and addresses that crypto signs itself. */
    z.object({ type: z.literal('own'), hostNames: z.array(z.string().min(1).max(253)).min(1).max(20) }),
    /** The key that an imported certificate of this room's usage was issued for: SubjectPublicKeyInfo, DER. Refused with CRYPTO_KEY_NOT_FOUND. */
    z.object({ type: z.literal('of-certificate'), publicKey: base64url.max(2_000) }),
  ]),
});
export type TlsKeyRequest = z.infer<typeof tlsKeyRequest>;

export const tlsKeyReply = z.object({
  /** Of `own`. */
  certificateChainPem: z.string().max(100_000).optional(),
  /** Raw X25519 public key of crypto, 12-byte nonce, ciphertext with tag of the PKCS#8 key. */
  sealed: z.object({ ephemeralPublicKey: base64url, nonce: base64url, ciphertext: base64url }),
});
export type TlsKeyReply = z.infer<typeof tlsKeyReply>;
