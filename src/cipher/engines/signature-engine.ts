/** What an engine of signatures offers. Keys come parsed and checked; ECDSA signatures are r ‖ s here. */
import type { Bytes } from '../bytes.ts';
import type { CurveScheme, KeyScheme } from '../key-encoding.ts';

export type SignatureSpec =
  | 'SHA256withRSA'
  | 'SHA384withRSA'
  | 'SHA512withRSA'
  | 'RSASSA-PSS-SHA256'
  | 'SHA256withECDSA'
  | 'SHA384withECDSA'
  | 'SHA512withECDSA'
  | 'EdDSA';

export type PublicKey = { readonly scheme: KeyScheme; readonly key: Uint8Array; readonly spki: Uint8Array };
export type PrivateKey =
  | { readonly scheme: CurveScheme; readonly secret: Uint8Array; readonly pkcs8: Uint8Array }
  | { readonly scheme: 'CORDA.RSA'; readonly pkcs8: Uint8Array };

export type SignWith = (spec: SignatureSpec, data: Uint8Array) => Promise<Bytes>;
export type VerifyWith = (spec: SignatureSpec, data: Uint8Array, signature: Uint8Array) => Promise<boolean>;

export type SignatureEngine = {
  /** The engine keeps what it needs of the key; the caller may wipe its bytes once this resolves. */
  signer(key: PrivateKey): Promise<{ readonly sign: SignWith; readonly wipe: () => void }>;
  /** Throws where the key is not one (a point off its curve). */
  verifier(key: PublicKey): Promise<VerifyWith>;
};
