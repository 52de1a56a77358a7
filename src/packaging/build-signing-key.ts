/**
 * A signing key for development: made on first use, reused later. `signing-key.pem` (readable by its owner alone) and
 * `signing-certificate.pem`, self-signed for code signing. In production give the signer a key and a chain of your own CA.
 */
import 'reflect-metadata';
import { constants } from 'node:fs';
import { link, mkdir, open, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as x509 from '@peculiar/x509';
import { decodePem, encodePem } from '../cipher/pem.ts';
import type { Signer } from './build/containers.ts';
import { PackageBuildError } from './build/error.ts';

export type { Signer } from './build/containers.ts';

export type SigningKeyOptions = {
  /** Of a key that is made now; a key that is there keeps its own. Ed25519 makes builds reproducible. */
  readonly scheme?: 'Ed25519' | 'P-256';
  /** Milliseconds since the epoch. Default: the system's time. */
  readonly now?: number;
};

const subject = 'CN=Cordage Development Signer, OU=Development, O=Cordage, L=London, C=GB';
/** Ten years, in milliseconds: a key for development should not expire in the middle of it. */
const validityMs = 10 * 365 * 24 * 60 * 60 * 1000;
/** Allowance for clusters whose clocks are behind, in milliseconds. */
const clockSkewMs = 24 * 60 * 60 * 1000;

const algorithms = {
  Ed25519: { key: { name: 'Ed25519' }, jws: 'EdDSA' },
  'P-256': { key: { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }, jws: 'ES256' },
} as const;
type Scheme = keyof typeof algorithms;

const fault = (reason: string, cause?: unknown): PackageBuildError => new PackageBuildError('BUILD_SIGNING_KEY_INVALID', reason, { cause });

// ── The key ──────────────────────────────────────────────────────────────────────────────────────────────────────────

const isCode = (error: unknown, code: string): boolean => error instanceof Error && 'code' in error && error.code === code;

const readIfThere = async (path: string): Promise<string | undefined> => {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (isCode(error, 'ENOENT')) return undefined;
    throw fault(`${path} cannot be read (${String(error)}); check its owner and mode`, error);
  }
};

const checkMode = async (path: string): Promise<void> => {
  // Windows has no such modes; its access lists are the folder's owner's business.
  if (process.platform === 'win32') return;
  const { mode } = await stat(path);
  if ((mode & 0o077) !== 0) throw fault(`${path} is open to others (mode ${(mode & 0o777).toString(8)}); run: chmod 600 ${path}`);
};

const makeKeyPem = async (scheme: Scheme): Promise<string> => {
  // Both algorithms give a pair; the library's overloads cannot tell that of a union.
  const { privateKey } = (await crypto.subtle.generateKey(algorithms[scheme].key, true, ['sign', 'verify'])) as CryptoKeyPair;
  return encodePem('PRIVATE KEY', new Uint8Array(await crypto.subtle.exportKey('pkcs8', privateKey)));
};

/** Written beside and linked into place, so that of two processes one makes the key and both use it, whole. */
const createKeyFile = async (path: string, pem: string): Promise<void> => {
  const draft = `${path}.${crypto.randomUUID()}`;
  const file = await open(draft, constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY, 0o600);
  try {
    await file.writeFile(pem);
    await file.sync();
  } finally {
    await file.close();
  }
  try {
    await link(draft, path);
  } catch (error) {
    if (!isCode(error, 'EEXIST')) throw error;
  } finally {
    await rm(draft, { force: true });
  }
};

const importKeys = async (pem: string, path: string): Promise<{ scheme: Scheme; keys: CryptoKeyPair }> => {
  for (const scheme of ['Ed25519', 'P-256'] as const) {
    try {
      const der = decodePem(pem)[0]!.der;
      const privateKey = await crypto.subtle.importKey('pkcs8', der, algorithms[scheme].key, true, ['sign']);
      const { kty, crv, x, y } = await crypto.subtle.exportKey('jwk', privateKey);
      const jwk = { kty: kty!, crv: crv!, x: x!, ...(y === undefined ? {} : { y }) };
      const publicKey = await crypto.subtle.importKey('jwk', jwk, algorithms[scheme].key, true, ['verify']);
      return { scheme, keys: { privateKey, publicKey } };
    } catch {
      // Not this scheme; the next one tells.
    }
  }
  throw fault(`${path} is not an Ed25519 or P-256 private key in PKCS#8 PEM; delete it to have a new one made (clusters must then import the new certificate)`);
};

// ── The certificate ──────────────────────────────────────────────────────────────────────────────────────────────────

const makeCertificatePem = async (keys: CryptoKeyPair, scheme: Scheme, now: number): Promise<string> => {
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: subject,
    keys,
    notBefore: new Date(now - clockSkewMs),
    notAfter: new Date(now + validityMs),
    signingAlgorithm: algorithms[scheme].key,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.codeSigning], false),
    ],
  });
  return encodePem('CERTIFICATE', new Uint8Array(certificate.rawData));
};

const readOrMakeCertificate = async (path: string, keys: CryptoKeyPair, scheme: Scheme, now: number): Promise<string> => {
  const found = await readIfThere(path);
  if (found !== undefined) return found;
  const made = await makeCertificatePem(keys, scheme, now);
  const draft = `${path}.${crypto.randomUUID()}`;
  await writeFile(draft, made, { mode: 0o644 });
  await rename(draft, path);
  return made;
};

const checkPair = async (pem: string, path: string, keys: CryptoKeyPair): Promise<void> => {
  let leaf: x509.X509Certificate;
  try {
    leaf = new x509.X509Certificate(decodePem(pem)[0]!.der);
  } catch (cause) {
    throw fault(`${path} is not a PEM certificate; delete it to have it made again`, cause);
  }
  const [own, certified] = [await crypto.subtle.exportKey('spki', keys.publicKey), leaf.publicKey.rawData];
  if (Buffer.compare(Buffer.from(own), Buffer.from(certified)) !== 0) throw fault(`${path} is a certificate of another key; put the right one there, or delete it to have one made`);
};

/** Opens the signing key in this folder, making folder, key and certificate where they are not there yet. */
export const openSigningKey = async (directory: string, { scheme = 'Ed25519', now = Date.now() }: SigningKeyOptions = {}): Promise<Signer> => {
  const keyPath = join(directory, 'signing-key.pem');
  const certificatePath = join(directory, 'signing-certificate.pem');
  await mkdir(directory, { recursive: true, mode: 0o700 });
  if ((await readIfThere(keyPath)) === undefined) await createKeyFile(keyPath, await makeKeyPem(scheme));
  await checkMode(keyPath);
  const pem = await readIfThere(keyPath);
  const { scheme: found, keys } = await importKeys(pem ?? '', keyPath);
  const certificateChainPem = await readOrMakeCertificate(certificatePath, keys, found, now);
  await checkPair(certificateChainPem, certificatePath, keys);
  return { algorithm: algorithms[found].jws, privateKey: keys.privateKey, certificateChainPem };
};
