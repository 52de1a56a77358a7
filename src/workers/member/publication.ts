/** The records by which member tells the cluster of networks. Ids follow from what they say: a repeat is the same record. */
import { deriveId } from '../../identity/derive.ts';
import { encode } from '../../messages/grammar/envelope.ts';
import type { OutRecord } from '../../messages/grammar/record.ts';
import { memberToAllGroupParameters, type GroupParameters } from '../../messages/member-to-all.group-parameters.ts';
import { memberToAllMember, type Member } from '../../messages/member-to-all.member.ts';
import { memberToLinkManagerHostedIdentity, type HostedIdentity } from '../../messages/member-to-link-manager.hosted-identity.ts';

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

export const hostedIdentityRecord = (hosted: HostedIdentity): OutRecord => {
  const { shortHash } = hosted.holdingIdentity;
  return encode(memberToLinkManagerHostedIdentity, { key: shortHash, id: deriveId('hosted-identity', shortHash, hosted.sessionKey.id), body: hosted });
};
