/** Keys and endpoints as member contexts spell them: `corda.session.keys.0.pem`, `corda.endpoints.0.connectionURL` … */
import { fromBase64url, toBase64url, toHex } from '../../../cipher/bytes.ts';
import { sha256 } from '../../../cipher/digest.ts';
import { decodePem, encodePem } from '../../../cipher/pem.ts';
import { keyIdOf } from '../../../cipher/signature.ts';
import type { Member } from '../../../messages/member-to-all.member.ts';

export type ContextMap = Readonly<Record<string, string>>;
/** The subject of the TLS client certificate that a member's gateway shows. */
export const tlsSubjectKey = 'corda.tls.certificate.subject';

export type KeyUse = 'session' | 'ledger' | 'notary';
export type ContextKey = { /** SubjectPublicKeyInfo, base64url. */ readonly publicKey: string; readonly spec: string };

/** Of each use, and of endpoints: as many as a member's record holds. */
export const numberedMax = 10;

export const pemOf = (publicKey: string): string => encodePem('PUBLIC KEY', fromBase64url(publicKey));

/** SubjectPublicKeyInfo of a PEM text, or `undefined`. */
export const publicKeyOf = (pem: string): string | undefined => {
  try {
    const [block, ...others] = decodePem(pem);
    return block?.label === 'PUBLIC KEY' && others.length === 0 ? toBase64url(block.der) : undefined;
  } catch {
    return undefined;
  }
};

export const keyMap = (prefix: string, { publicKey, spec }: ContextKey): Record<string, string> => {
  const der = fromBase64url(publicKey);
  return {
    [`${prefix}.id`]: keyIdOf(der),
    [`${prefix}.pem`]: pemOf(publicKey),
    [`${prefix}.hash`]: `SHA-256:${toHex(sha256(der)).toUpperCase()}`,
    [`${prefix}.signature.spec`]: spec,
  };
};

export const keysIn = (context: ContextMap, use: KeyUse): readonly ContextKey[] => {
  const keys: ContextKey[] = [];
  for (let n = 0; n < numberedMax; n++) {
    const pem = context[`corda.${use}.keys.${n}.pem`];
    const spec = context[`corda.${use}.keys.${n}.signature.spec`];
    const publicKey = pem === undefined ? undefined : publicKeyOf(pem);
    if (publicKey === undefined || spec === undefined) break;
    keys.push({ publicKey, spec });
  }
  return keys;
};

export const endpointsIn = (context: ContextMap): Member['endpoints'] => {
  const endpoints: Member['endpoints'] = [];
  for (let n = 0; n < numberedMax; n++) {
    const url = context[`corda.endpoints.${n}.connectionURL`];
    const protocolVersion = Number(context[`corda.endpoints.${n}.protocolVersion`]);
    if (url === undefined || !Number.isSafeInteger(protocolVersion)) break;
    endpoints.push({ url, protocolVersion });
  }
  return endpoints;
};
