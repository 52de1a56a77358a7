/** What this runtime's WebCrypto can do, found out once for each algorithm. */
import type { Bytes } from '../bytes.ts';

/**
 * WebCrypto's types want bytes over an ArrayBuffer. Ours always are: no caller hands in shared memory, and a runtime
 * that is given some refuses it.
 */
export const source = (bytes: Uint8Array): Bytes =>
  // The reason stands above.
  bytes as Bytes;

export type PlatformAlgorithm = 'AES-GCM' | 'X25519' | 'Ed25519' | 'ECDSA';

const generate = async (algorithm: PlatformAlgorithm): Promise<unknown> => {
  switch (algorithm) {
    case 'AES-GCM':
      return crypto.subtle.generateKey({ name: 'AES-GCM', length: 256 }, false, ['encrypt', 'decrypt']);
    case 'X25519':
      return crypto.subtle.generateKey({ name: 'X25519' }, false, ['deriveBits']);
    case 'Ed25519':
      return crypto.subtle.generateKey({ name: 'Ed25519' }, false, ['sign', 'verify']);
    case 'ECDSA':
      return crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, false, ['sign', 'verify']);
  }
};

/** Answers, not promises: on some edge runtimes a promise made while serving one request must not be awaited by another. */
const found = new Map<PlatformAlgorithm, boolean>();

export const platformHas = async (algorithm: PlatformAlgorithm): Promise<boolean> => {
  const known = found.get(algorithm);
  if (known !== undefined) return known;
  const has = await generate(algorithm).then(
    () => true,
    () => false,
  );
  found.set(algorithm, has);
  return has;
};
