/** What a dynamic network's group policy tells a cluster that knows nothing else of it: its manager, and how members speak. */
import { distinguishedName } from '../../../identity/x500.ts';
import type { GroupParameters } from '../../../messages/member-to-all.group-parameters.ts';
import type { Member } from '../../../messages/member-to-all.member.ts';
import type { GroupPolicy, P2pParameters } from '../../../packaging/group-policy.ts';
import { endpointsIn, keysIn, publicKeyOf } from '../peer/context-map.ts';
import { canonicalName } from './context.ts';

export type DynamicPolicy = Extract<GroupPolicy, { type: 'dynamic' }>;

export type Manager = { readonly member: Member; /** SubjectPublicKeyInfo that requests are sealed to. */ readonly agreementKey: string; /** With mutual TLS. */ readonly clientSubject: string | undefined };

/** Of `mgmInfo`, the fields that the manager itself answers for. */
const mgmFields = new Set(['corda.mgm', 'corda.status', 'corda.creationTime', 'corda.modifiedTime']);

export const managerOf = ({ groupId, mgmInfo, p2p }: DynamicPolicy): Manager | string => {
  const x500Name = canonicalName(mgmInfo['corda.name'] ?? '');
  const agreementKey = publicKeyOf(mgmInfo['corda.ecdh.key'] ?? '');
  const sessionKeys = keysIn(mgmInfo, 'session');
  const endpoints = endpointsIn(mgmInfo);
  if (x500Name === undefined) return 'mgmInfo of the group policy lacks corda.name';
  if (agreementKey === undefined) return 'mgmInfo of the group policy lacks corda.ecdh.key, the PEM of a public key';
  if (sessionKeys.length === 0) return 'mgmInfo of the group policy lacks corda.session.keys.0.pem and .signature.spec';
  if (endpoints.length === 0) return 'mgmInfo of the group policy lacks corda.endpoints.0.connectionURL and .protocolVersion';
  const clientSubject = p2p.tlsType === 'Mutual' ? distinguishedName(p2p.mtlsMgmClientCertificateSubject ?? '') : undefined;
  if (p2p.tlsType === 'Mutual' && clientSubject === undefined) return "p2pParameters of the group policy lacks mtlsMgmClientCertificateSubject, the subject of the TLS certificate that the manager's gateway shows";
  const entries = Object.entries(mgmInfo);
  const member: Member = {
    groupId, x500Name, status: 'ACTIVE', serial: 1,
    memberContext: Object.fromEntries(entries.filter(([key]) => !mgmFields.has(key))),
    mgmContext: { ...Object.fromEntries(entries.filter(([key]) => mgmFields.has(key))), 'corda.mgm': 'true' },
    endpoints: [...endpoints], sessionKeys: [...sessionKeys], ledgerKeys: [],
  };
  return { member, agreementKey, clientSubject };
};

export const p2pOf = ({ protocolMode, sessionPki, sessionTrustRoots, tlsType, tlsTrustRoots }: Omit<P2pParameters, 'tlsPki' | 'tlsVersion'>): GroupParameters['p2p'] => ({
  protocolMode, sessionPki, sessionTrustRoots: [...sessionTrustRoots], tlsType, tlsTrustRoots: [...tlsTrustRoots],
});

/** Nothing is agreed yet but how to speak. */
export const firstParameters = ({ groupId, p2p }: DynamicPolicy): GroupParameters => ({ groupId, epoch: 0, parameters: {}, p2p: p2pOf(p2p) });
