/** X.509 certificates that the cluster signs itself for its TLS key (RFC 5280). */
import 'reflect-metadata';
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509CertificateGenerator,
  type JsonGeneralName,
} from '@peculiar/x509';
import { toHex, type Bytes, type Chance } from '../../cipher/bytes.ts';
import { encodePem } from '../../cipher/pem.ts';
import { keyIdOf } from '../../cipher/signature.ts';
import { certificateBackdateMs } from './config.ts';

const label = '[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?';
const dnsForm = new RegExp(`^(?=.{1,253}$)${label}(?:\\.${label})*$`);
const ipv4Form = /^(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)(?:\.(?!$)|$)){4}$/;
/** Loose: the URL parser decides. */
const ipv6Form = /^[0-9a-f:.]{2,45}$/;

const isIpv6 = (host: string): boolean => host.includes(':') && ipv6Form.test(host) && URL.canParse(`http://[${host}]/`);

/** The one spelling of a host name or address (lower case, no last dot, shortest IPv6); `undefined` where it is neither. */
export const normalHost = (text: string): string | undefined => {
  const host = text.toLowerCase().replace(/\.$/, '');
  if (isIpv6(host)) return new URL(`http://[${host}]/`).hostname.slice(1, -1);
  if (ipv4Form.test(host)) return host;
  // Four numbers that are no address must not become a name.
  return dnsForm.test(host) && !/^[\d.]+$/.test(host) ? host : undefined;
};

export const generalNameOf = (host: string): JsonGeneralName => ({ type: host.includes(':') || ipv4Form.test(host) ? 'ip' : 'dns', value: host });

/** Bound on a common name (RFC 5280 appendix A.1: ub-common-name). */
const commonNameCharsMax = 64;

/** RFC 5280 section 4.1.2.2: at most 20 bytes, positive; the first bits are set so that the length is always the same. */
const serialNumberBytes = 16;
const serialNumberOf = (chance: Chance): string => {
  const bytes = chance(serialNumberBytes);
  bytes[0] = (bytes[0]! & 0x3f) | 0x40;
  return toHex(bytes);
};

const p256 = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;

const importKeys = async (publicKey: Uint8Array, pkcs8: Uint8Array): Promise<CryptoKeyPair> => ({
  // Both byte strings lie over ordinary buffers, which is all that WebCrypto's type asks for.
  publicKey: await crypto.subtle.importKey('spki', publicKey as Bytes, p256, true, ['verify']),
  // As above.
  privateKey: await crypto.subtle.importKey('pkcs8', pkcs8 as Bytes, p256, false, ['sign']),
});

export type CertificateInput = {
  /** Normal spellings; the first is the common name where it is short enough. */
  readonly hostNames: readonly string[];
  /** SubjectPublicKeyInfo and PKCS#8 of a P-256 key. */
  readonly publicKey: Uint8Array;
  readonly pkcs8: Uint8Array;
  readonly notAfter: number;
  readonly now: number;
  readonly chance: Chance;
};

/** PEM of a certificate for server and client, which is no authority. */
export const makeCertificate = async ({ hostNames, publicKey, pkcs8, notAfter, now, chance }: CertificateInput): Promise<string> => {
  const keys = await importKeys(publicKey, pkcs8);
  const commonName = hostNames.find((host) => host.length <= commonNameCharsMax) ?? 'gateway';
  const certificate = await X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumberOf(chance),
    // The key's id makes the name the key's own: TLS libraries look for an issuer by name, and two clusters on one host would
    // otherwise be taken for one another in a list of trusted certificates.
    name: [{ C: ['GB'] }, { L: ['London'] }, { O: ['Cordage'] }, { OU: [keyIdOf(publicKey)] }, { CN: [commonName] }],
    notBefore: new Date(now - certificateBackdateMs),
    notAfter: new Date(notAfter),
    signingAlgorithm: p256,
    keys,
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth, ExtendedKeyUsage.clientAuth]),
      new SubjectAlternativeNameExtension(hostNames.map(generalNameOf)),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
      await AuthorityKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return encodePem('CERTIFICATE', new Uint8Array(certificate.rawData));
};
