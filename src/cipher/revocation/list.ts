/** What a certificate revocation list says of a certificate (RFC 5280 sections 5 and 6.3). */
import 'reflect-metadata';
import { AsnConvert } from '@peculiar/asn1-schema';
import { IssuingDistributionPoint } from '@peculiar/asn1-x509';
import * as x509 from '@peculiar/x509';
import type { Question, RevocationAnswer } from './revocation.ts';
import { isCurrent } from './signed.ts';

const issuingDistributionPoint = '2.5.29.28';
/** Critical extensions that are understood: a list with others may mean something else (RFC 5280 section 5.2). */
const understood = new Set([issuingDistributionPoint, '2.5.29.20', '2.5.29.35']);
/** A list that names no end holds for a day. */
const listMsDefault = 86_400_000;

const unknown = (reason: string): RevocationAnswer => ({ type: 'unknown', reason });

/** Why the list does not speak for this certificate; `undefined` when it does. */
const scopeFault = (list: x509.X509Crl, certificate: x509.X509Certificate): string | undefined => {
  const foreign = list.extensions.find(({ critical, type }) => critical && !understood.has(type));
  if (foreign !== undefined) return `the list has a critical extension ${foreign.type} that is not understood`;
  const point = list.getExtension(issuingDistributionPoint);
  if (point === null) return undefined;
  const scope = AsnConvert.parse(point.value, IssuingDistributionPoint);
  const isAuthority = certificate.getExtension(x509.BasicConstraintsExtension)?.ca === true;
  if (scope.indirectCRL || scope.onlySomeReasons !== undefined || scope.onlyContainsAttributeCerts) return 'the list speaks for some certificates or reasons only';
  if (scope.onlyContainsUserCerts && isAuthority) return 'the list speaks for end entities only';
  return scope.onlyContainsCACerts && !isAuthority ? 'the list speaks for authorities only' : undefined;
};

export const listAnswer = async ({ certificate, issuer, url, fetchBytes, now }: Question): Promise<RevocationAnswer> => {
  const list = new x509.X509Crl(await fetchBytes({ url }));
  if (list.issuer !== issuer.subject) return unknown('the list is of another issuer');
  const usages = issuer.getExtension(x509.KeyUsagesExtension)?.usages;
  if (usages !== undefined && (usages & x509.KeyUsageFlags.cRLSign) === 0) return unknown('the issuer may not sign lists');
  if (!(await list.verify({ publicKey: issuer.publicKey }))) return unknown('the list is not signed by the issuer');
  const { thisUpdate, nextUpdate } = list;
  if (!isCurrent({ thisUpdate, nextUpdate }, now)) return unknown('the list is out of date');
  const fault = scopeFault(list, certificate);
  if (fault !== undefined) return unknown(fault);
  const until = nextUpdate?.getTime() ?? thisUpdate.getTime() + listMsDefault;
  const entry = list.findRevoked(certificate.serialNumber);
  // An entry that takes the certificate back from the list (RFC 5280 section 5.3.1) stands in deltas alone, which are not read.
  return entry === null ? { type: 'good', until } : { type: 'revoked', until, reason: `the list ${url} has it since ${entry.revocationDate.toISOString()}` };
};
