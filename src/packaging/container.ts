/** What CPK, CPB and CPI have in common: a canonical zip whose manifest lists every file and is signed. */
import { toHex, type Bytes } from '../cipher/bytes.ts';
import { packageLimits } from './config.ts';
import { invalid, type Invalid } from './invalid.ts';
import { manifestEntry, readManifest, signatureEntry, type ManifestEntry, type ManifestOf, type PackageKind } from './manifest.ts';
import { readSignature, type PackageSigner, type Trust } from './signature.ts';
import { readZip, type ZipEntries } from './zip.ts';

export type OpenedContainer<Kind extends PackageKind> = {
  readonly type: 'container';
  readonly manifest: ManifestOf<Kind>;
  /** The files, without manifest and signature: exactly those that the manifest lists. */
  readonly files: ZipEntries;
  readonly signer: PackageSigner;
  /** SHA-256 of the whole file, upper-case hex. */
  readonly hash: string;
};

/** SHA-256 in upper-case hex: how packages and their files are named. Off the thread, since packages are large. */
export const hashOf = async (bytes: Uint8Array): Promise<string> => {
  // Bytes read from a file or an upload never stand on shared memory, which is what the wider type leaves open.
  const digest = await crypto.subtle.digest('SHA-256', bytes as Bytes);
  return toHex(new Uint8Array(digest)).toUpperCase();
};

const contentFault = (reason: string): Invalid => invalid('PACKAGE_CONTENT_MISMATCH', reason);

const checkFiles = async (listed: readonly ManifestEntry[], files: ZipEntries): Promise<Invalid | undefined> => {
  const names = new Set(listed.map(({ name }) => name));
  if (names.size !== listed.length) return contentFault('the manifest lists a file twice');
  const unlisted = [...files.keys()].find((name) => !names.has(name));
  if (unlisted !== undefined) return contentFault(`the file ${unlisted} is not in the manifest`);
  for (const { name, bytes, sha256 } of listed) {
    const content = files.get(name);
    if (content === undefined) return contentFault(`the file ${name} of the manifest is missing`);
    if (content.length !== bytes) return contentFault(`the file ${name} has ${content.length} bytes; the manifest says ${bytes}`);
    if ((await hashOf(content)) !== sha256) return contentFault(`the file ${name} is not what the manifest says (SHA-256)`);
  }
  return undefined;
};

const take = (entries: ZipEntries, name: string, bytesMax: number): Uint8Array | Invalid => {
  const content = entries.get(name);
  if (content === undefined) return contentFault(`the file ${name} is missing`);
  return content.length > bytesMax ? invalid('PACKAGE_TOO_LARGE', `${name} has more than ${bytesMax} bytes`) : content;
};

/** The signature is checked before anything of the content is read: a stranger's manifest is never parsed. */
export const openContainer = async <Kind extends PackageKind>(bytes: Uint8Array, kind: Kind, trust: Trust): Promise<OpenedContainer<Kind> | Invalid> => {
  const zip = readZip(bytes);
  if (zip.type === 'invalid') return zip;
  const manifestBytes = take(zip.entries, manifestEntry, packageLimits.manifestBytesMax);
  if ('type' in manifestBytes) return manifestBytes;
  const signatureBytes = take(zip.entries, signatureEntry, packageLimits.signatureBytesMax);
  if ('type' in signatureBytes) return signatureBytes;
  const signature = await readSignature(signatureBytes, manifestBytes, trust);
  if (signature.type === 'invalid') return signature;
  const read = readManifest(manifestBytes, kind);
  if (read.type === 'invalid') return read;
  const files = new Map([...zip.entries].filter(([name]) => name !== manifestEntry && name !== signatureEntry));
  const fault = await checkFiles(read.manifest.entries, files);
  if (fault !== undefined) return fault;
  return { type: 'container', manifest: read.manifest, files, signer: signature.signer, hash: await hashOf(bytes) };
};
