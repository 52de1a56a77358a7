/** What the network is told of a member, as Corda shows it over REST: a member context, an MGM context, endpoints and keys. */
import { fromBase64url } from '../../cipher/bytes.ts';
import { keyIdOf } from '../../cipher/signature.ts';
import { encodePem } from '../../cipher/pem.ts';
import { sha256 } from '../../cipher/digest.ts';
import { toHex } from '../../cipher/bytes.ts';
import type { CpiMetadata } from '../../messages/db-to-all.cpi.ts';
import type { Member } from '../../messages/member-to-all.member.ts';
import type { StaticMember } from '../../packaging/group-policy.ts';
import { platformVersion, softwareVersion } from './config.ts';
import type { NotaryChoice } from './context.ts';

type Context = Record<string, string>;

/** A public key and the spec it signs with. */
export type MemberKey = { /** SubjectPublicKeyInfo, base64url. */ readonly publicKey: string; readonly spec: string };

export const publicKeyPem = (publicKey: string): string => encodePem('PUBLIC KEY', fromBase64url(publicKey));

const keyContext = (prefix: string, { publicKey, spec }: MemberKey): Context => {
  const der = fromBase64url(publicKey);
  return {
    [`${prefix}.id`]: keyIdOf(der),
    [`${prefix}.pem`]: publicKeyPem(publicKey),
    [`${prefix}.hash`]: `SHA-256:${toHex(sha256(der)).toUpperCase()}`,
    [`${prefix}.signature.spec`]: spec,
  };
};

export const endpointContext = (endpoints: readonly { readonly url: string; readonly protocolVersion: number }[]): Context =>
  Object.assign(
    {},
    ...endpoints.map(({ url, protocolVersion }, n) => ({
      [`corda.endpoints.${n}.connectionURL`]: url,
      [`corda.endpoints.${n}.protocolVersion`]: String(protocolVersion),
    })),
  );

export const notaryContext = ({ serviceName, protocolName, protocolVersions, backchainRequired }: NotaryChoice): Context => ({
  'corda.roles.0': 'notary',
  'corda.notary.service.name': serviceName,
  'corda.notary.service.flow.protocol.name': protocolName,
  'corda.notary.service.backchain.required': String(backchainRequired),
  ...Object.fromEntries(protocolVersions.map((version, n) => [`corda.notary.service.flow.protocol.version.${n}`, String(version)])),
});

const basicContext = (groupId: string, member: StaticMember, serial: number): Context => ({
  'corda.name': member.x500Name,
  'corda.groupId': groupId,
  'corda.platformVersion': platformVersion,
  'corda.softwareVersion': softwareVersion,
  'corda.serial': String(serial),
  ...endpointContext(member.endpoints),
  ...member.custom,
});

/** The part that a network's manager writes; in a static network the policy stands in for it. */
const mgmContext = (status: StaticMember['status'], serial: number, createdAt: number, modifiedAt: number): Context => ({
  'corda.status': status,
  'corda.creationTime': new Date(createdAt).toISOString(),
  'corda.modifiedTime': new Date(modifiedAt).toISOString(),
  'corda.serial': String(serial),
  'corda.mgm.static': 'true',
});

export type HostedMember = {
  readonly groupId: string;
  readonly cpi: CpiMetadata;
  readonly member: StaticMember;
  readonly registrationId: string;
  readonly sessionKey: MemberKey;
  /** Exactly one of the two. */
  readonly ledgerKey: MemberKey | undefined;
  readonly notary: { readonly choice: NotaryChoice; readonly key: MemberKey } | undefined;
  readonly custom: Context;
  readonly now: number;
};

/** A member that lives on this cluster and was approved. */
export const hostedMember = (input: HostedMember): Member => {
  const { groupId, cpi, member, sessionKey, ledgerKey, notary, now } = input;
  const serial = 1;
  return {
    groupId,
    x500Name: member.x500Name,
    status: member.status,
    serial,
    memberContext: {
      ...basicContext(groupId, member, serial),
      ...input.custom,
      'corda.registration.id': input.registrationId,
      'corda.cpi.name': cpi.id.name,
      'corda.cpi.version': cpi.id.version,
      'corda.cpi.signer.summary.hash': cpi.id.signerSummaryHash,
      ...keyContext('corda.session.keys.0', sessionKey),
      ...(ledgerKey === undefined ? {} : keyContext('corda.ledger.keys.0', ledgerKey)),
      ...(notary === undefined ? {} : { ...notaryContext(notary.choice), ...keyContext('corda.notary.keys.0', notary.key) }),
    },
    mgmContext: mgmContext(member.status, serial, now, now),
    endpoints: [...member.endpoints],
    sessionKeys: [sessionKey],
    ledgerKeys: ledgerKey === undefined ? [] : [ledgerKey],
  };
};

/** A member of another cluster: all we know of it is what the policy says. */
export const remoteMember = (groupId: string, member: StaticMember & { readonly sessionKey: MemberKey }, serial: number, policyTimestamp: number): Member => {
  const sessionKey = { publicKey: member.sessionKey.publicKey, spec: member.sessionKey.spec };
  const ledgerKey = member.ledgerKey === undefined ? undefined : { publicKey: member.ledgerKey.publicKey, spec: member.ledgerKey.spec };
  return {
    groupId,
    x500Name: member.x500Name,
    status: member.status,
    serial,
    memberContext: {
      ...basicContext(groupId, member, serial),
      ...keyContext('corda.session.keys.0', sessionKey),
      ...(ledgerKey === undefined ? {} : keyContext('corda.ledger.keys.0', ledgerKey)),
    },
    mgmContext: mgmContext(member.status, serial, policyTimestamp, policyTimestamp),
    endpoints: [...member.endpoints],
    sessionKeys: [sessionKey],
    ledgerKeys: ledgerKey === undefined ? [] : [ledgerKey],
  };
};
