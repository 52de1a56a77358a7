/** A small certificate authority for tests: it issues, revokes, signs lists, and answers as an OCSP responder. */
import 'reflect-metadata';
import { BasicOCSPResponse, CertStatus, OCSPRequest, OCSPResponse, OCSPResponseStatus, ResponderID, ResponseBytes, ResponseData, RevokedInfo, SingleResponse, id_pkix_ocsp_basic } from '@peculiar/asn1-ocsp';
import { AsnConvert, OctetString } from '@peculiar/asn1-schema';
import { AlgorithmIdentifier, Certificate, Name } from '@peculiar/asn1-x509';
import * as x509 from '@peculiar/x509';

export type Issued = { readonly certificate: x509.X509Certificate; readonly keys: CryptoKeyPair };
export type IssueOptions = {
  readonly name: string;
  readonly ca?: boolean;
  readonly ocsp?: string;
  readonly crl?: string;
  readonly usages?: readonly string[];
  readonly hosts?: readonly string[];
};

const p256 = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
export const hourMs = 3_600_000;
let serial = 0x1000;

const extensionsOf = ({ ca = false, ocsp, crl, usages = [], hosts = [] }: IssueOptions): x509.Extension[] => [
  new x509.BasicConstraintsExtension(ca, undefined, true),
  new x509.KeyUsagesExtension(ca ? x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign : x509.KeyUsageFlags.digitalSignature, true),
  ...(ocsp === undefined ? [] : [new x509.AuthorityInfoAccessExtension({ ocsp })]),
  ...(crl === undefined ? [] : [new x509.CRLDistributionPointsExtension([crl])]),
  ...(usages.length === 0 ? [] : [new x509.ExtendedKeyUsageExtension([...usages])]),
  ...(hosts.length === 0 ? [] : [new x509.SubjectAlternativeNameExtension(hosts.map((value) => ({ type: /^[\d.]+$/.test(value) ? ('ip' as const) : ('dns' as const), value })))]),
];

export const issue = async (options: IssueOptions, issuer?: Issued): Promise<Issued> => {
  const keys = await crypto.subtle.generateKey(p256, true, ['sign', 'verify']);
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: (++serial).toString(16).padStart(4, '0'),
    subject: options.name,
    issuer: issuer?.certificate.subject ?? options.name,
    notBefore: new Date(Date.now() - hourMs),
    notAfter: new Date(Date.now() + 24 * hourMs),
    signingAlgorithm: p256,
    publicKey: keys.publicKey,
    signingKey: (issuer?.keys ?? keys).privateKey,
    extensions: extensionsOf(options),
  });
  return { certificate, keys };
};

export const derOf = ({ certificate }: Issued): Uint8Array<ArrayBuffer> => new Uint8Array(certificate.rawData);

export type ListOptions = { readonly revoked: readonly Issued[]; readonly thisUpdate?: Date; readonly nextUpdate?: Date; readonly extensions?: readonly x509.Extension[] };

export const listBy = async (issuer: Issued, { revoked, thisUpdate = new Date(), nextUpdate = new Date(Date.now() + hourMs), extensions = [] }: ListOptions): Promise<Uint8Array<ArrayBuffer>> => {
  const list = await x509.X509CrlGenerator.create({
    issuer: issuer.certificate.subject,
    thisUpdate,
    nextUpdate,
    entries: revoked.map(({ certificate }) => ({ serialNumber: certificate.serialNumber, revocationDate: new Date() })),
    extensions: [...extensions],
    signingAlgorithm: p256,
    signingKey: issuer.keys.privateKey,
  });
  return new Uint8Array(list.rawData);
};

export type AnswerOptions = {
  readonly status: 'good' | 'revoked' | 'unknown';
  /** Who signs; a delegate's certificate goes with the answer. */
  readonly signer: Issued;
  readonly delegate?: boolean;
  readonly thisUpdate?: Date;
  readonly nextUpdate?: Date;
};

const statusOf = (status: AnswerOptions['status']): CertStatus => {
  if (status === 'good') return new CertStatus({ good: null });
  return status === 'unknown' ? new CertStatus({ unknown: null }) : new CertStatus({ revoked: new RevokedInfo({ revocationTime: new Date() }) });
};

/** Answers an OCSP request for whatever certificate it names. */
export const answerRequest = async (request: Uint8Array, { status, signer, delegate = false, thisUpdate = new Date(), nextUpdate = new Date(Date.now() + hourMs) }: AnswerOptions): Promise<Uint8Array<ArrayBuffer>> => {
  const { tbsRequest } = AsnConvert.parse(request, OCSPRequest);
  const data = new ResponseData({
    responderID: new ResponderID({ byName: AsnConvert.parse(signer.certificate.subjectName.toArrayBuffer(), Name) }),
    producedAt: new Date(),
    responses: [new SingleResponse({ certID: tbsRequest.requestList[0]!.reqCert, certStatus: statusOf(status), thisUpdate, nextUpdate })],
  });
  const signature = await crypto.subtle.sign(p256, signer.keys.privateKey, AsnConvert.serialize(data));
  const basic = new BasicOCSPResponse({
    tbsResponseData: data,
    signatureAlgorithm: new AlgorithmIdentifier({ algorithm: '1.2.840.10045.4.3.2' }),
    signature: new x509.AsnEcSignatureFormatter().toAsnSignature(p256, signature)!,
    ...(delegate ? { certs: [AsnConvert.parse(signer.certificate.rawData, Certificate)] } : {}),
  });
  const responseBytes = new ResponseBytes({ responseType: id_pkix_ocsp_basic, response: new OctetString(AsnConvert.serialize(basic)) });
  return new Uint8Array(AsnConvert.serialize(new OCSPResponse({ responseStatus: OCSPResponseStatus.successful, responseBytes })));
};
