/** Writes signed CPK, CPB and CPI files. The same content and an Ed25519 key give the same bytes (ECDSA signatures are drawn). */
import { FlattenedSign } from 'jose';
import { decodePem } from '../../cipher/pem.ts';
import { toBase64url, utf8 } from '../../cipher/bytes.ts';
import { hashOf } from '../container.ts';
import { bundleEntry, formatVersion, groupPolicyEntry, manifestEntry, schemaEntry, signatureEntry, sourceMapEntry, writeManifest, type FlowDeclaration, type Manifest, type ManifestEntry } from '../manifest.ts';
import { signatureType, type SignatureAlgorithm } from '../signature.ts';
import { writeZip, type ZipEntries } from '../zip.ts';

/** Who signs: a private key and the certificates that vouch for it. */
export type Signer = {
  readonly algorithm: SignatureAlgorithm;
  readonly privateKey: CryptoKey;
  /** The signer's certificate and its issuers', leaf first; it (or its CA's) is what a cluster must import as `code-signer`. */
  readonly certificateChainPem: string;
};

export type PackageName = { readonly name: string; readonly version: string };

const entriesOf = (files: ZipEntries): Promise<ManifestEntry[]> =>
  Promise.all([...files].map(async ([name, content]) => ({ name, bytes: content.length, sha256: await hashOf(content) })));

/** `x5c` is base64 with padding (RFC 7515, 4.1.6). */
const x5cOf = (pem: string): string[] =>
  decodePem(pem).map(({ der }) => {
    const digits = toBase64url(der).replaceAll('-', '+').replaceAll('_', '/');
    return digits.padEnd(Math.ceil(digits.length / 4) * 4, '=');
  });

const signManifest = async (manifest: Uint8Array, { algorithm, privateKey, certificateChainPem }: Signer): Promise<Uint8Array> => {
  const header = { alg: algorithm, typ: signatureType, x5c: x5cOf(certificateChainPem) };
  const { protected: protectedHeader, signature } = await new FlattenedSign(manifest).setProtectedHeader(header).sign(privateKey);
  return utf8(`${protectedHeader}..${signature}`);
};

/** Signs a manifest and zips it with its files. */
export const writeContainer = async (manifest: Manifest, files: ZipEntries, signer: Signer): Promise<Uint8Array> => {
  const bytes = writeManifest(manifest);
  return writeZip(new Map([...files, [manifestEntry, bytes], [signatureEntry, await signManifest(bytes, signer)]]));
};

export const cpkFileName = ({ name, version }: PackageName): string => `${name}-${version}.cpk`;
export const cpbFileName = ({ name, version }: PackageName): string => `${name}-${version}.cpb`;
export const cpiFileName = ({ name, version }: PackageName): string => `${name}-${version}.cpi`;

export type CpkContent = PackageName & {
  readonly bundle: Uint8Array;
  /** Source map (version 3) of the bundle, JSON in UTF-8. */
  readonly sourceMap?: Uint8Array;
  /** Entities, indexes and migrations, JSON in UTF-8. */
  readonly schema?: Uint8Array;
  readonly flows: readonly FlowDeclaration[];
};

export const writeCpk = async ({ name, version, bundle, sourceMap, schema, flows }: CpkContent, signer: Signer): Promise<Uint8Array> => {
  const files = new Map([[bundleEntry, bundle]]);
  if (sourceMap !== undefined) files.set(sourceMapEntry, sourceMap);
  if (schema !== undefined) files.set(schemaEntry, schema);
  return writeContainer({ formatVersion, kind: 'cpk', name, version, entries: await entriesOf(files), flows: [...flows] }, files, signer);
};

/** `cpks` are files by name (`cpkFileName`). */
export const writeCpb = async ({ name, version, cpks }: PackageName & { readonly cpks: ZipEntries }, signer: Signer): Promise<Uint8Array> =>
  writeContainer({ formatVersion, kind: 'cpb', name, version, entries: await entriesOf(cpks) }, cpks, signer);

/** Without a CPB it is an MGM's CPI. */
export const writeCpi = async ({ name, version, cpb, groupPolicy }: PackageName & { readonly cpb?: Uint8Array; readonly groupPolicy: string }, signer: Signer): Promise<Uint8Array> => {
  const files = new Map<string, Uint8Array>([[groupPolicyEntry, utf8(groupPolicy)]]);
  if (cpb !== undefined) files.set(cpbFileName({ name, version }), cpb);
  return writeContainer({ formatVersion, kind: 'cpi', name, version, entries: await entriesOf(files) }, files, signer);
};
