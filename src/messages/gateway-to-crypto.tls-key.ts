/**
 * The gateway asks for a TLS key. Those of the tenant `p2p` and the category TLS are the only private keys that leave crypto, sealed
 * to the ephemeral X25519 key of the asking process: HKDF-SHA256 over the shared secret, AES-256-GCM, both public keys as additional
 * data.
 */
import * as z from 'zod';
import { base64url } from './grammar/shapes.ts';
import { wire } from './grammar/wire.ts';

export const gatewayToCryptoTlsKey = wire({
  topic: 'gateway-to-crypto.tls-key',
  from: ['gateway'],
  to: ['crypto'],
  key: '`p2p`',
  retention: 'log',
  version: 1,
  body: z.object({
    /** Raw X25519 public key, 32 bytes. */
    ephemeralPublicKey: base64url.length(43),
    wanted: z.discriminatedUnion('type', [
      /** The cluster's own key, with a certificate for these names and addresses that crypto signs itself. */
      z.object({ type: z.literal('own'), hostNames: z.array(z.string().min(1).max(253)).min(1).max(20) }),
      /** The key that a certificate was issued for: SubjectPublicKeyInfo, DER. Refused with CRYPTO_KEY_NOT_FOUND. */
      z.object({ type: z.literal('of-certificate'), publicKey: base64url.max(2_000) }),
    ]),
  }),
  reply: z.object({
    /** Of `own`. */
    certificateChainPem: z.string().max(100_000).optional(),
    /** Raw X25519 public key of crypto, 12-byte nonce, ciphertext with tag of the PKCS#8 key. */
    sealed: z.object({ ephemeralPublicKey: base64url, nonce: base64url, ciphertext: base64url }),
  }),
});
