/**
 * The gateway asks for its TLS key. It is the only private key that leaves crypto, sealed to the ephemeral X25519 key of
 * the asking process: HKDF-SHA256 over the shared secret, AES-256-GCM, both public keys as additional data.
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
    /** Names and addresses for a certificate that crypto signs itself when the cluster has none. */
    hostNames: z.array(z.string().min(1).max(253)).min(1).max(20),
  }),
  reply: z.object({
    certificateChainPem: z.string().max(100_000),
    /** Raw X25519 public key of crypto, 12-byte nonce, ciphertext with tag of the PKCS#8 key. */
    sealed: z.object({ ephemeralPublicKey: base64url, nonce: base64url, ciphertext: base64url }),
  }),
});
