/** The records by which member tells the cluster of networks. Ids follow from what they say: a repeat is the same record. */
import { readTrusted } from '../../cipher/certificates.ts';
import { deriveId } from '../../identity/derive.ts';
import { distinguishedName } from '../../identity/x500.ts';
import { encode } from '../../messages/grammar/envelope.ts';
import type { OutRecord } from '../../messages/grammar/record.ts';
import { memberToAllGroupParameters, type GroupParameters } from '../../messages/member-to-all.group-parameters.ts';
import { memberToAllMember, type Member } from '../../messages/member-to-all.member.ts';
import { memberToGatewayClientSubject } from '../../messages/member-to-gateway.client-subject.ts';
import { memberToLinkManagerHostedIdentity, type HostedIdentity, type TlsChoice } from '../../messages/member-to-link-manager.hosted-identity.ts';
import type { NetworkSetup } from './event.ts';

export const memberKey = (groupId: string, x500Name: string): string => `${groupId}/${x500Name}`;

export const memberRecord = (member: Member): OutRecord => {
  const key = memberKey(member.groupId, member.x500Name);
  return encode(memberToAllMember, { key, id: deriveId('member', key, JSON.stringify(member)), body: member });
};

/** Whoever comes back under this name is told of anew. */
export const memberRemoval = ({ groupId, x500Name }: Pick<Member, 'groupId' | 'x500Name'>): OutRecord => {
  const key = memberKey(groupId, x500Name);
  return encode(memberToAllMember, { key, id: deriveId('member-removed', key), body: null });
};

export const hostedIdentityRemoval = (shortHash: string): OutRecord =>
  encode(memberToLinkManagerHostedIdentity, { key: shortHash, id: deriveId('hosted-identity-removed', shortHash), body: null });

export const groupParametersRecord = (parameters: GroupParameters): OutRecord =>
  encode(memberToAllGroupParameters, { key: parameters.groupId, id: deriveId('group-parameters', parameters.groupId, String(parameters.epoch)), body: parameters });

/** A certificate is shown by the subject of its leaf. */
const tlsChoiceOf = (tls: NetworkSetup['body']['tls']): { readonly tlsCertificate?: TlsChoice } => {
  const [leaf] = readTrusted(tls === undefined ? [] : [tls.certificates]);
  return tls === undefined || leaf === undefined ? {} : { tlsCertificate: { holder: tls.holder, alias: tls.alias, subject: distinguishedName(leaf.subject) ?? leaf.subject } };
};

/** As it was set up. */
export const hostedOf = (holdingIdentity: HostedIdentity['holdingIdentity'], { sessionKey, sessionCertificates, tls }: NetworkSetup['body']): HostedIdentity => ({
  holdingIdentity,
  sessionKey,
  ...(sessionCertificates === null ? {} : { sessionCertificates }),
  ...tlsChoiceOf(tls),
});

export const hostedIdentityRecord = (hosted: HostedIdentity): OutRecord => {
  const { shortHash } = hosted.holdingIdentity;
  return encode(memberToLinkManagerHostedIdentity, { key: shortHash, id: deriveId('hosted-identity', shortHash, JSON.stringify(hosted)), body: hosted });
};

/** Of a member, or of a subject that the manager allows. */
export type SubjectOf = { readonly groupId: string; readonly member: string } | { readonly groupId: string; readonly allowed: string };

/** Which client certificate the gateway lets in for it; `undefined` for none any more. */
export const clientSubjectRecord = (of: SubjectOf, subject: string | undefined): OutRecord => {
  const key = `${of.groupId}/${'member' in of ? `member/${of.member}` : `allowed/${deriveId('client-subject', of.allowed)}`}`;
  return encode(memberToGatewayClientSubject, { key, id: deriveId('client-subject', key, subject ?? ''), body: subject === undefined ? null : { groupId: of.groupId, subject } });
};

/** In a network that nobody manages its trust roots alone say who is let in. */
export const anyClientRecord = (groupId: string): OutRecord => {
  const key = `${groupId}/any`;
  return encode(memberToGatewayClientSubject, { key, id: deriveId('client-subject', key), body: { groupId, subject: null } });
};
