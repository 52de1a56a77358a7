/**
 * Certificate signing requests (PKCS#10, RFC 2986), written out here because libraries want the private key in a form that not every
 * scheme of ours has; only the signature needs it, and that is made where all signatures are.
 */
import 'reflect-metadata';
import { ExtendedKeyUsage, ExtendedKeyUsageExtension, KeyUsageFlags, KeyUsagesExtension, Name, SubjectAlternativeNameExtension, type Extension } from '@peculiar/x509';
import { concat, fromHex, type Bytes } from '../../cipher/bytes.ts';
import { derOf, tags } from '../../cipher/der.ts';
import { encodePem } from '../../cipher/pem.ts';
import type { SignatureSpec } from '../../cipher/signature.ts';
import { x500Attributes, type X500Attribute } from '../../identity/x500.ts';
import type { Category } from './crypto-tx.ts';
import { generalNameOf } from './tls-certificate.ts';

const oid = (hex: string): Bytes => derOf(tags.oid, fromHex(hex));
/** 1.2.840.113549.1.9.14 */
const extensionRequest = oid('2a864886f70d01090e');

/** AlgorithmIdentifier (RFC 4055, 5758, 8410); RSASSA-PSS names its digests and the length of its salt. */
const algorithms: Readonly<Record<SignatureSpec, Bytes>> = {
  SHA256withRSA: derOf(tags.sequence, oid('2a864886f70d01010b'), derOf(tags.null)),
  SHA384withRSA: derOf(tags.sequence, oid('2a864886f70d01010c'), derOf(tags.null)),
  SHA512withRSA: derOf(tags.sequence, oid('2a864886f70d01010d'), derOf(tags.null)),
  'RSASSA-PSS-SHA256': fromHex('304106092a864886f70d01010a3034a00f300d06096086480165030402010500a11c301a06092a864886f70d010108300d06096086480165030402010500a203020120'),
  SHA256withECDSA: derOf(tags.sequence, oid('2a8648ce3d040302')),
  SHA384withECDSA: derOf(tags.sequence, oid('2a8648ce3d040303')),
  SHA512withECDSA: derOf(tags.sequence, oid('2a8648ce3d040304')),
  EdDSA: derOf(tags.sequence, oid('2b6570')),
};

const keyUsageOf = (category: Category): KeyUsageFlags => {
  switch (category) {
    case 'LEDGER':
    case 'NOTARY':
    case 'ACCOUNTS':
    case 'CI':
      // What they sign shall bind whoever owns them.
      return KeyUsageFlags.digitalSignature | KeyUsageFlags.nonRepudiation;
    case 'PRE_AUTH':
      return KeyUsageFlags.digitalSignature | KeyUsageFlags.keyAgreement;
    case 'SESSION_INIT':
    case 'TLS':
    case 'JWT_KEY':
    case 'ENCRYPTION_SECRET':
      return KeyUsageFlags.digitalSignature;
  }
};

const extensionsOf = (category: Category, hosts: readonly string[]): Extension[] => [
  new KeyUsagesExtension(keyUsageOf(category), true),
  // A gateway is server to some clusters and client to others.
  ...(category === 'TLS' ? [new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth, ExtendedKeyUsage.clientAuth])] : []),
  ...(hosts.length === 0 ? [] : [new SubjectAlternativeNameExtension(hosts.map(generalNameOf))]),
];

/** Country first, as RFC 4514 has it: its text is the reverse of what is encoded. */
const subjectOf = (attributes: Readonly<Partial<Record<X500Attribute, string>>>): Bytes => {
  const parts = x500Attributes.toReversed().flatMap((attribute) => {
    const value = attributes[attribute];
    return value === undefined ? [] : [{ [attribute]: [value] }];
  });
  return new Uint8Array(new Name(parts).toArrayBuffer());
};

export type SigningRequest = {
  readonly attributes: Readonly<Partial<Record<X500Attribute, string>>>;
  readonly category: Category;
  /** Normal spellings. */
  readonly hosts: readonly string[];
  /** SubjectPublicKeyInfo. */
  readonly publicKey: Uint8Array;
  readonly spec: SignatureSpec;
  readonly sign: (data: Uint8Array) => Promise<Bytes>;
};

/** PEM. */
export const makeSigningRequest = async ({ attributes, category, hosts, publicKey, spec, sign }: SigningRequest): Promise<string> => {
  const extensions = derOf(tags.sequence, ...extensionsOf(category, hosts).map(({ rawData }) => new Uint8Array(rawData)));
  const requested = derOf(tags.sequence, extensionRequest, derOf(tags.set, extensions));
  const version = derOf(tags.integer, Uint8Array.of(0));
  const info = derOf(tags.sequence, version, subjectOf(attributes), publicKey, derOf(tags.context0, requested));
  const signature = derOf(tags.bitString, Uint8Array.of(0), await sign(info));
  return encodePem('CERTIFICATE REQUEST', derOf(tags.sequence, concat(info, algorithms[spec], signature)));
};
