/** What an OCSP responder says of a certificate (RFC 6960; the request as RFC 5019 section 2.1 wants it: one certificate, SHA-1). */
import 'reflect-metadata';
import { BasicOCSPResponse, CertID, OCSPRequest, OCSPResponse, OCSPResponseStatus, Request, TBSRequest, id_pkix_ocsp_basic } from '@peculiar/asn1-ocsp';
import { AsnConvert, OctetString } from '@peculiar/asn1-schema';
import { AlgorithmIdentifier } from '@peculiar/asn1-x509';
import * as x509 from '@peculiar/x509';
import { readElements, readOne, tags } from '../der.ts';
import { equalConstantTime, toHex } from '../bytes.ts';
import type { Question, RevocationAnswer } from './revocation.ts';
import { isCurrent, verifySigned } from './signed.ts';

const sha1 = '1.3.14.3.2.26';
/** An answer that names no end holds for a day. */
const answerMsDefault = 86_400_000;
const ocspSigning = '1.3.6.1.5.5.7.3.9';

const digest = async (bytes: BufferSource): Promise<OctetString> => new OctetString(await crypto.subtle.digest('SHA-1', bytes));

/** The bits of the public key without its algorithm, which are what RFC 6960 section 4.1.1 hashes. */
const keyBitsOf = (issuer: x509.X509Certificate): Uint8Array<ArrayBuffer> => {
  const [, bits] = readElements(readOne(new Uint8Array(issuer.publicKey.rawData), tags.sequence));
  return new Uint8Array(bits!.content.subarray(1));
};

const certificateIdOf = async ({ certificate, issuer }: Question): Promise<CertID> =>
  new CertID({
    hashAlgorithm: new AlgorithmIdentifier({ algorithm: sha1, parameters: null }),
    issuerNameHash: await digest(issuer.subjectName.toArrayBuffer()),
    issuerKeyHash: await digest(keyBitsOf(issuer)),
    serialNumber: new Uint8Array(hexBytes(certificate.serialNumber)).buffer,
  });

const hexBytes = (hex: string): number[] => (hex.match(/../g) ?? []).map((pair) => Number.parseInt(pair, 16));

const sameBytes = (one: ArrayBuffer, other: ArrayBuffer): boolean => equalConstantTime(new Uint8Array(one), new Uint8Array(other));
const serialOf = (serial: ArrayBuffer): string => toHex(new Uint8Array(serial)).replace(/^(00)+(?=..)/, '').toLowerCase();

const isAbout = (asked: CertID, told: CertID): boolean =>
  told.hashAlgorithm.algorithm === sha1 &&
  sameBytes(asked.issuerNameHash.buffer, told.issuerNameHash.buffer) &&
  sameBytes(asked.issuerKeyHash.buffer, told.issuerKeyHash.buffer) &&
  serialOf(asked.serialNumber) === serialOf(told.serialNumber);

/** The issuer itself, or whom it has given the right to answer (RFC 6960 section 4.2.2.2). */
const signersOf = async ({ issuer, now }: Question, basic: BasicOCSPResponse): Promise<x509.X509Certificate[]> => {
  const signers = [issuer];
  for (const asn of basic.certs ?? []) {
    const delegate = new x509.X509Certificate(AsnConvert.serialize(asn));
    const usages = delegate.getExtension(x509.ExtendedKeyUsageExtension)?.usages ?? [];
    const isValid = delegate.notBefore.getTime() <= now && now <= delegate.notAfter.getTime();
    if (!isValid || delegate.issuer !== issuer.subject || !usages.includes(ocspSigning)) continue;
    if (await delegate.verify({ publicKey: issuer.publicKey, signatureOnly: true })) signers.push(delegate);
  }
  return signers;
};

const isSignedByOne = async (question: Question, basic: BasicOCSPResponse): Promise<boolean> => {
  // The signed part as it was sent: encoding it again need not give the same bytes.
  if (basic.tbsResponseDataRaw === undefined) return false;
  const signed = { data: new Uint8Array(basic.tbsResponseDataRaw), signature: basic.signature, algorithm: basic.signatureAlgorithm };
  for (const { publicKey } of await signersOf(question, basic)) if (await verifySigned({ ...signed, publicKey })) return true;
  return false;
};

const unknown = (reason: string): RevocationAnswer => ({ type: 'unknown', reason });

export const responderAnswer = async (question: Question): Promise<RevocationAnswer> => {
  const { url, fetchBytes, now } = question;
  const asked = await certificateIdOf(question);
  const request = new OCSPRequest({ tbsRequest: new TBSRequest({ requestList: [new Request({ reqCert: asked })] }) });
  const bytes = await fetchBytes({ url, body: new Uint8Array(AsnConvert.serialize(request)), contentType: 'application/ocsp-request' });
  const response = AsnConvert.parse(bytes, OCSPResponse);
  if (response.responseStatus !== OCSPResponseStatus.successful) return unknown(`the responder answered ${OCSPResponseStatus[response.responseStatus] ?? response.responseStatus}`);
  if (response.responseBytes?.responseType !== id_pkix_ocsp_basic) return unknown('the answer is of another kind');
  const basic = AsnConvert.parse(response.responseBytes.response.buffer, BasicOCSPResponse);
  if (!(await isSignedByOne(question, basic))) return unknown('the answer is not signed by the issuer or its responder');
  const single = basic.tbsResponseData.responses.find(({ certID }) => isAbout(asked, certID));
  if (single === undefined) return unknown('the answer is about another certificate');
  const { certStatus, thisUpdate, nextUpdate } = single;
  if (!isCurrent({ thisUpdate, nextUpdate }, now)) return unknown('the answer is out of date');
  const until = nextUpdate?.getTime() ?? thisUpdate.getTime() + answerMsDefault;
  if (certStatus.revoked !== undefined) return { type: 'revoked', until, reason: `its responder ${url} says so since ${certStatus.revoked.revocationTime.toISOString()}` };
  return certStatus.good === undefined ? unknown('the responder does not know it') : { type: 'good', until };
};
