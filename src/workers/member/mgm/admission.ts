/** Whether a request to join or to change may be granted at all, before anybody is asked: the network's rules, as pure checks. */
import { distinguishedName } from '../../../identity/x500.ts';
import { readEndpoints } from '../joining/context.ts';
import { readRole, type NotaryChoice } from '../context-fields.ts';
import { keysIn, pemOf, tlsSubjectKey, type ContextMap } from '../peer/context-map.ts';
import type { NotaryDetails } from '../../../messages/member-to-member.group.ts';
import type { Member } from '../../../messages/member-to-all.member.ts';
import { commonVersions, minimumOf } from './group-parameters.ts';
import { standingOf, type MgmState, type Request } from './state.ts';

export type AdmissionInput = { readonly state: MgmState; readonly request: Request; readonly current: Member | undefined; readonly now: number };

/** Keys with numbers and parts: they are not the notary service's own fields. */
const isKeyField = (key: string): boolean => /^corda\.(session|ledger|notary)\.keys\./.test(key);

const roleOf = (context: ContextMap): NotaryChoice | undefined | string => {
  const role = readRole(Object.entries(context).filter(([key]) => !isKeyField(key)));
  if (role.type === 'invalid') return role.reason;
  return role.type === 'none' ? undefined : role.notary;
};

/** What a notary adds to the group's parameters; `undefined` for a member that is none. The context was found fit. */
export const notaryOf = (context: ContextMap): NotaryDetails | undefined => {
  const role = roleOf(context);
  const key = keysIn(context, 'notary')[0];
  return role === undefined || typeof role === 'string' || key === undefined ? undefined : { ...role, protocolVersions: [...role.protocolVersions], keyPem: pemOf(key.publicKey) };
};

const keysFault = (state: MgmState, context: ContextMap): string | undefined => {
  const session = keysIn(context, 'session').map(({ publicKey }) => publicKey);
  const others = [...keysIn(context, 'ledger'), ...keysIn(context, 'notary')].map(({ publicKey }) => publicKey);
  if (state.group?.rules.sessionKeyPolicy === 'Distinct' && others.some((key) => session.includes(key))) return 'the group wants session keys that are used for nothing else (corda.group.key.session.policy Distinct)';
  return undefined;
};

const tokenFault = ({ state, request, now }: AdmissionInput): string | undefined => {
  const { token: id, x500Name } = request;
  if (id === null) return undefined;
  const token = state.tokens[id];
  // One text for all: who guesses ids learns nothing.
  const fit = token?.ownerX500Name === x500Name && token.status === 'AVAILABLE' && (token.ttl === null || now < token.ttl);
  return fit ? undefined : 'the pre-auth token is not valid for this member';
};

const notaryFault = ({ state, request }: AdmissionInput): string | undefined => {
  const { x500Name, memberContext } = request;
  const own = notaryOf(memberContext);
  if (own === undefined) return undefined;
  if (state.roster[own.serviceName] !== undefined) return `${own.serviceName} is the name of a member; a notary service needs a name of its own`;
  const others = Object.entries(state.notaries).filter(([name]) => name !== x500Name);
  if (others.some(([, { keyPem }]) => keyPem === own.keyPem)) return 'the notary key is that of another notary';
  const peers = others.filter(([, { serviceName }]) => serviceName === own.serviceName).map(([, peer]) => peer);
  const differs = peers.find((peer) => peer.protocolName !== own.protocolName || peer.backchainRequired !== own.backchainRequired);
  if (differs !== undefined) return `the notary service ${own.serviceName} speaks ${differs.protocolName}, backchain required: ${differs.backchainRequired}`;
  return commonVersions([...peers, own]).length === 0 ? `no version of ${own.protocolName} is spoken by all notaries of ${own.serviceName}` : undefined;
};

/** What a member may not change once it is one; the flag of the backchain is the exception. */
const fixed = (key: string): boolean =>
  /^corda\.(ledger|notary)\.keys\.\d+\.(pem|signature\.spec)$/.test(key) || /^corda\.roles\.\d+$/.test(key) ||
  (key.startsWith('corda.notary.service.') && key !== 'corda.notary.service.backchain.required');

export const changedKeys = (before: ContextMap, after: ContextMap): readonly string[] =>
  [...new Set([...Object.keys(before), ...Object.keys(after)])].filter((key) => before[key] !== after[key]).sort();

const differenceFault = ({ request, current }: AdmissionInput): string | undefined => {
  if (current === undefined) return undefined;
  const { memberContext } = request;
  const refused = changedKeys(current.memberContext, memberContext).filter(fixed);
  if (refused.length > 0) return `a member cannot change ${refused.slice(0, 5).join(', ')}`;
  const overlap = keysIn(memberContext, 'session').some(({ publicKey }) => current.sessionKeys.some((key) => key.publicKey === publicKey));
  return overlap ? undefined : 'a session key is changed in two steps: register with the new and the old one, then without the old one';
};

/** A member keeps the certificate it was admitted with, whatever has been taken from the list since. */
const tlsFault = ({ state, request, current }: AdmissionInput): string | undefined => {
  if (state.group?.rules.p2p.tlsType !== 'Mutual') return undefined;
  const subject = distinguishedName(request.memberContext[tlsSubjectKey] ?? '');
  if (subject === undefined) return `${tlsSubjectKey} is missing: the network asks for TLS client certificates`;
  const known = subject === distinguishedName(current?.memberContext[tlsSubjectKey] ?? '');
  return known || state.subjects.includes(subject) ? undefined : `the TLS client certificate subject ${subject} is not among those that the network allows`;
};

/** Why the request is declined, or `undefined` where it may go on. */
export const admissionFault = (input: AdmissionInput): string | undefined => {
  const { state, request } = input;
  const { memberContext, serial, x500Name } = request;
  const known = standingOf(state, x500Name)?.serial ?? 0;
  if (serial !== known) return `the serial ${serial} is not the current one, ${known}`;
  const endpoints = readEndpoints(Object.entries(memberContext));
  if (typeof endpoints === 'string') return endpoints;
  const role = roleOf(memberContext);
  if (typeof role === 'string') return role;
  if (role !== undefined && keysIn(memberContext, 'ledger').length > 0) return 'a notary has no ledger keys';
  if (role !== undefined && keysIn(memberContext, 'notary').length === 0) return 'a notary names a notary key';
  if (role?.serviceName === x500Name) return 'a notary service needs a name of its own';
  const platform = Number(memberContext['corda.platformVersion']);
  const minimum = state.parameters === null ? 0 : minimumOf(state.parameters);
  if (!(platform >= minimum)) return `the platform version ${memberContext['corda.platformVersion'] ?? ''} is below the network's minimum, ${minimum}`;
  return keysFault(state, memberContext) ?? tokenFault(input) ?? notaryFault(input) ?? differenceFault(input) ?? tlsFault(input);
};
