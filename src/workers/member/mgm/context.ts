/** Reads the context that a network's manager registers with: its keys and endpoints, and the rules of the network it founds. */
import { decodePem } from '../../../cipher/pem.ts';
import { platformVersion } from '../config.ts';
import { boundsFault, customOf } from '../context-fields.ts';
import { readEndpoints, type Endpoint } from '../joining/context.ts';
import type { P2pParameters } from '../../../packaging/group-policy.ts';

export type GroupRules = {
  readonly registrationProtocol: string;
  readonly synchronisationProtocol: string;
  readonly sessionKeyPolicy: 'Combined' | 'Distinct';
  readonly p2p: P2pParameters;
};

export type MgmContext = {
  readonly sessionKeyIds: readonly string[];
  readonly agreementKeyId: string;
  readonly endpoints: readonly Endpoint[];
  readonly rules: GroupRules;
  readonly custom: Readonly<Record<string, string>>;
};

export type ParsedMgmContext = { readonly type: 'context'; readonly context: MgmContext } | { readonly type: 'invalid'; readonly reason: string };

const trustRoot = /^corda\.group\.trustroot\.(tls|session)\.(0|[1-9]\d{0,2})$/;
const sessionKeyId = /^corda\.session\.keys\.(0|[1-9])\.id$/;
const endpoint = /^corda\.endpoints\.(0|[1-9]\d{0,2})\.(connectionURL|protocolVersion)$/;

/** PEM certificates are longer than what else stands in a context. */
const trustRootCharsMax = 10_000;
const trustRootsMax = 20;

/** The fields that must be there, and what each may say. */
const choices = {
  'corda.group.protocol.registration': ['net.corda.membership.impl.registration.dynamic.member.DynamicMemberRegistrationService'],
  'corda.group.protocol.synchronisation': ['net.corda.membership.impl.synchronisation.MemberSynchronisationServiceImpl'],
  'corda.group.protocol.p2p.mode': ['Authenticated_Encryption', 'Authentication'],
  'corda.group.key.session.policy': ['Combined', 'Distinct'],
  'corda.group.pki.session': ['Standard', 'NoPKI'],
  'corda.group.pki.tls': ['Standard', 'StandardEV3', 'Corda4'],
  'corda.group.tls.type': ['OneWay', 'Mutual'],
  'corda.group.tls.version': ['1.2', '1.3'],
} as const;
type Choice = keyof typeof choices;
/** Where Corda has a default. */
const defaults: Partial<Record<Choice, string>> = { 'corda.group.tls.type': 'OneWay' };

const allowed = {
  isKnown: (key: string): boolean =>
    Object.hasOwn(choices, key) || key === 'corda.ecdh.key.id' || sessionKeyId.test(key) || endpoint.test(key) || trustRoot.test(key) || key.startsWith('ext.'),
  hint: "is not a key of a manager's registration; corda.session.keys.N.id, corda.ecdh.key.id, corda.group.*, corda.endpoints.N.* and ext.* are",
  valueCharsMax: (key: string): number => (trustRoot.test(key) ? trustRootCharsMax : 800),
};

const isCertificates = (pem: string): boolean => {
  try {
    const blocks = decodePem(pem);
    return blocks.length > 0 && blocks.every(({ label }) => label === 'CERTIFICATE');
  } catch {
    return false;
  }
};

const readRoots = (fields: Readonly<Record<string, string>>, kind: 'tls' | 'session'): readonly string[] | string => {
  const roots: string[] = [];
  const prefix = `corda.group.trustroot.${kind}.`;
  for (let n = 0; fields[`${prefix}${n}`] !== undefined; n++) {
    const pem = fields[`${prefix}${n}`]!;
    if (!isCertificates(pem)) return `${prefix}${n} is not a PEM certificate`;
    roots.push(pem);
  }
  const named = Object.keys(fields).filter((key) => key.startsWith(prefix)).length;
  if (named > roots.length) return `${prefix}N count from 0 without a gap`;
  return roots.length > trustRootsMax ? `more than ${trustRootsMax} of ${prefix}N` : roots;
};

const readChoice = <Key extends Choice>(fields: Readonly<Record<string, string>>, key: Key): (typeof choices)[Key][number] | undefined =>
  (choices[key] as readonly (typeof choices)[Key][number][]).find((one) => one === (fields[key] ?? defaults[key]));

type Rules = { readonly rules: GroupRules } | string;

const readRules = (fields: Readonly<Record<string, string>>): Rules => {
  for (const key of Object.keys(choices) as Choice[]) {
    if (readChoice(fields, key) === undefined) return `${key} must be ${choices[key].length === 1 ? choices[key][0] : `one of ${choices[key].join(', ')}`}`;
  }
  const tlsTrustRoots = readRoots(fields, 'tls');
  const sessionTrustRoots = readRoots(fields, 'session');
  if (typeof tlsTrustRoots === 'string') return tlsTrustRoots;
  if (typeof sessionTrustRoots === 'string') return sessionTrustRoots;
  const sessionPki = readChoice(fields, 'corda.group.pki.session')!;
  if (tlsTrustRoots.length === 0) return 'corda.group.trustroot.tls.0 is missing: the PEM certificate that the gateways of all members chain to';
  if (sessionPki === 'Standard' && sessionTrustRoots.length === 0) return 'corda.group.trustroot.session.0 is missing: corda.group.pki.session is Standard';
  if (sessionPki === 'NoPKI' && sessionTrustRoots.length > 0) return 'corda.group.trustroot.session goes with corda.group.pki.session Standard only';
  return {
    rules: {
      registrationProtocol: readChoice(fields, 'corda.group.protocol.registration')!,
      synchronisationProtocol: readChoice(fields, 'corda.group.protocol.synchronisation')!,
      sessionKeyPolicy: readChoice(fields, 'corda.group.key.session.policy')!,
      p2p: {
        sessionPki, sessionTrustRoots, tlsTrustRoots,
        tlsPki: readChoice(fields, 'corda.group.pki.tls')!,
        tlsVersion: readChoice(fields, 'corda.group.tls.version')!,
        tlsType: readChoice(fields, 'corda.group.tls.type')!,
        protocolMode: readChoice(fields, 'corda.group.protocol.p2p.mode')!,
      },
    },
  };
};

const keyIdPattern = /^[0-9A-F]{12}$/;

const readKeyIds = (fields: Readonly<Record<string, string>>): readonly string[] | string => {
  const ids: string[] = [];
  for (let n = 0; fields[`corda.session.keys.${n}.id`] !== undefined; n++) ids.push(fields[`corda.session.keys.${n}.id`]!);
  if (ids.length === 0) return 'corda.session.keys.0.id is missing: the key that signs handshakes and the member list';
  if (Object.keys(fields).filter((key) => sessionKeyId.test(key)).length > ids.length) return 'corda.session.keys.N count from 0 without a gap';
  return ids.every((id) => keyIdPattern.test(id)) ? ids : 'corda.session.keys.N.id must be the 12 hex digits that POST /key answered with';
};

export const parseMgmContext = (fields: Readonly<Record<string, string>>): ParsedMgmContext => {
  const invalid = (reason: string): ParsedMgmContext => ({ type: 'invalid', reason });
  const entries = Object.entries(fields);
  const fault = boundsFault(entries, allowed);
  if (fault !== undefined) return invalid(fault);
  const sessionKeyIds = readKeyIds(fields);
  if (typeof sessionKeyIds === 'string') return invalid(sessionKeyIds);
  const agreementKeyId = fields['corda.ecdh.key.id'] ?? '';
  if (!keyIdPattern.test(agreementKeyId)) return invalid('corda.ecdh.key.id must be the 12 hex digits of a key of category PRE_AUTH');
  const endpoints = readEndpoints(entries);
  if (typeof endpoints === 'string') return invalid(endpoints);
  const rules = readRules(fields);
  if (typeof rules === 'string') return invalid(rules);
  return { type: 'context', context: { sessionKeyIds, agreementKeyId, endpoints, rules: rules.rules, custom: customOf(entries) } };
};

/** What the network demands of its members' platform until the operator says otherwise. */
export const minimumPlatformVersion = platformVersion;
