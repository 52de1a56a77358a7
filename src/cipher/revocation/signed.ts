/** What answers of responders and lists have in common: a signature and dates. */
import 'reflect-metadata';
import type { AlgorithmIdentifier } from '@peculiar/asn1-x509';
import * as x509 from '@peculiar/x509';

/** Clocks may differ by so much: 5 minutes. */
const skewMs = 300_000;

export const isCurrent = ({ thisUpdate, nextUpdate }: { readonly thisUpdate: Date; readonly nextUpdate: Date | undefined }, now: number): boolean =>
  thisUpdate.getTime() <= now + skewMs && (nextUpdate === undefined || nextUpdate.getTime() >= now - skewMs);

export type Signed = {
  readonly data: Uint8Array<ArrayBuffer>;
  readonly signature: ArrayBuffer;
  readonly algorithm: AlgorithmIdentifier;
  readonly publicKey: x509.PublicKey;
};

/** False also where this runtime does not know the algorithm. */
export const verifySigned = async ({ data, signature, algorithm, publicKey }: Signed): Promise<boolean> => {
  try {
    const told = new x509.AlgorithmProvider().toWebAlgorithm(algorithm);
    const used = { ...publicKey.algorithm, ...told };
    const key = await publicKey.export(used, ['verify']);
    // ECDSA signatures are two numbers in DER here, and two numbers side by side in WebCrypto.
    const plain = new x509.AsnEcSignatureFormatter().toWebSignature(used, signature) ?? signature;
    return await crypto.subtle.verify(used, key, plain, data);
  } catch {
    return false;
  }
};
