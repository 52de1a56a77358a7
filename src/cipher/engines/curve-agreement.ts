/** ECDH (NIST SP 800-56A, 5.7.1.2) on the curves of ECDSA keys: the secret is the x-coordinate. */
import { p256 } from '@noble/curves/nist.js';
import { secp256k1 } from '@noble/curves/secp256k1.js';
import type { Bytes } from '../bytes.ts';

const curves = { 'CORDA.ECDSA.SECP256K1': secp256k1, 'CORDA.ECDSA.SECP256R1': p256 } as const;
export type EcScheme = keyof typeof curves;

/** `undefined` where the public key is no point of the curve. */
export const agreeOnCurve = (scheme: EcScheme, secret: Uint8Array, point: Uint8Array): Bytes | undefined => {
  try {
    // Compressed: one byte that tells the sign of y, then x.
    return curves[scheme].getSharedSecret(secret, point, true).slice(1);
  } catch {
    return undefined;
  }
};
