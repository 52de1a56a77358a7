/**
 * `signature.jws`: a detached JWS (RFC 7515, appendix F) over the bytes of `MANIFEST.json`, `<protected header>..<signature>`, by
 * ES256 or EdDSA (Ed25519), with the signer's certificate chain in `x5c`, leaf first.
 */
import 'reflect-metadata';
import { flattenedVerify, importX509 } from 'jose';
import * as z from 'zod';
import { fromBase64url, textOf, toBase64url, type Bytes } from '../cipher/bytes.ts';
import { encodePem } from '../cipher/pem.ts';
import { checkChain, readCertificate, subjectOf, type Certificate } from './certificates.ts';
import { packageLimits } from './config.ts';
import { invalid, type Invalid } from './invalid.ts';
import { signerSummaryHashOf } from './signer-summary.ts';

export const signatureType = 'cordage-package';
export type SignatureAlgorithm = 'ES256' | 'EdDSA';

/** Who signed a package whose signature is right. */
export type PackageSigner = {
  readonly certificate: Certificate;
  /** `SHA-256:<HEX>` over the signer's name (Corda). */
  readonly summaryHash: string;
};

/** The cluster's code signers, and the time (milliseconds since the epoch) at which certificates must be in their dates. */
export type Trust = { readonly trusted: readonly Certificate[]; readonly now: number };

export type ReadSignature = { readonly type: 'signed'; readonly signer: PackageSigner } | Invalid;

const header = z.strictObject({
  alg: z.enum(['ES256', 'EdDSA']),
  typ: z.literal(signatureType),
  x5c: z.array(z.string().regex(/^[A-Za-z0-9+/]+={0,2}$/)).min(1).max(packageLimits.chainLengthMax),
});

const fault = (reason: string): Invalid => invalid('PACKAGE_SIGNATURE_INVALID', reason);

type Parts = { readonly type: 'parts'; readonly protectedHeader: string; readonly signature: string; readonly alg: SignatureAlgorithm; readonly chain: Certificate[] };

/** `x5c` is base64 with padding (RFC 7515, 4.1.6). */
const derOf = (text: string): Bytes => fromBase64url(text.replace(/=+$/, '').replaceAll('+', '-').replaceAll('/', '_'));

const readParts = (bytes: Uint8Array): Parts | Invalid => {
  try {
    const match = /^([A-Za-z0-9_-]+)\.\.([A-Za-z0-9_-]+)$/.exec(textOf(bytes));
    if (match === null) return fault('the signature is not a detached JWS');
    const [, protectedHeader, signature] = match as unknown as [string, string, string];
    // One signature has one text: the strict decoder refuses stray last bits, which JWS libraries forgive.
    fromBase64url(signature);
    const parsed = header.safeParse(JSON.parse(textOf(fromBase64url(protectedHeader))));
    if (!parsed.success) return fault(`the header of the JWS: ${z.prettifyError(parsed.error).slice(0, 1_000)}`);
    const chain = parsed.data.x5c.map((text) => readCertificate(derOf(text)));
    if (chain.includes(undefined)) return invalid('PACKAGE_CERTIFICATE_INVALID', 'a certificate of the chain (x5c) cannot be read');
    return { type: 'parts', protectedHeader, signature, alg: parsed.data.alg, chain: chain.filter((one) => one !== undefined) };
  } catch {
    return fault('the signature is not a JWS');
  }
};

const isSignatureOf = async ({ protectedHeader, signature, alg, chain }: Parts, manifest: Uint8Array): Promise<boolean> => {
  try {
    const key = await importX509(encodePem('CERTIFICATE', new Uint8Array(chain[0]!.rawData)), alg);
    await flattenedVerify({ protected: protectedHeader, payload: toBase64url(manifest), signature }, key, { algorithms: [alg] });
    return true;
  } catch {
    return false;
  }
};

export const readSignature = async (bytes: Uint8Array, manifest: Uint8Array, trust: Trust): Promise<ReadSignature> => {
  const parts = readParts(bytes);
  if (parts.type === 'invalid') return parts;
  const certificate = parts.chain[0]!;
  const chainFault = await checkChain({ chain: parts.chain, ...trust });
  if (chainFault !== undefined) return chainFault;
  const subject = subjectOf(certificate);
  if (subject === undefined) return invalid('PACKAGE_CERTIFICATE_INVALID', "the signer's name has a part with several values; Corda's signer hash is not defined for it");
  if (!(await isSignatureOf(parts, manifest))) return fault(`the signature is not one of ${JSON.stringify(certificate.subject.slice(0, 200))} over this manifest`);
  return { type: 'signed', signer: { certificate, summaryHash: signerSummaryHashOf([subject]) } };
};
