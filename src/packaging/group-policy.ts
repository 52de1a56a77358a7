/**
 * `GroupPolicy.json`: which network a CPI joins, and how (Corda's file format 1).
 *
 * A static network lists its members in the policy. Cordage adds fields of a member: `sessionKeyPem`, the public key that signs its
 * handshakes, `ledgerKeyPem`, the one that flows sign with, and their signature specs `sessionKeySpec` and `ledgerKeySpec`, so that a static network can span clusters. The policies of an MGM and
 * of a dynamic network's members are recognised and checked in form.
 */
import * as z from 'zod';
import { toBase64url } from '../cipher/bytes.ts';
import { decodePem } from '../cipher/pem.ts';
import { defaultSpec, schemeOf, specsOf } from '../cipher/signature.ts';
import { parseX500, type X500Name } from '../identity/x500.ts';
import { groupPolicyLimits as limits, packageLimits } from './config.ts';

// ── What a policy is ─────────────────────────────────────────────────────────────────────────────────────────────────

export type P2pParameters = {
  readonly sessionPki: 'Standard' | 'NoPKI';
  /** PEM certificates. */
  readonly sessionTrustRoots: readonly string[];
  readonly tlsTrustRoots: readonly string[];
  readonly tlsPki: string;
  readonly tlsVersion: '1.2' | '1.3';
  readonly tlsType: 'OneWay' | 'Mutual';
  readonly protocolMode: 'Authenticated_Encryption' | 'Authentication';
  readonly mtlsMgmClientCertificateSubject?: string | undefined;
};

export type StaticMember = {
  readonly x500Name: X500Name;
  readonly status: 'ACTIVE' | 'PENDING' | 'SUSPENDED';
  readonly endpoints: readonly { readonly url: string; readonly protocolVersion: number }[];
  readonly sessionKey?: {
    readonly pem: string;
    /** SubjectPublicKeyInfo, DER in base64url. */
    readonly publicKey: string;
    readonly spec: string;
  };
  /** The key that its flows sign with, for members of other clusters to know it. */
  readonly ledgerKey?: NonNullable<StaticMember['sessionKey']>;
  /** The member's `ext.*` fields, with their names. */
  readonly custom: Readonly<Record<string, string>>;
};

export type GroupPolicy =
  | {
      readonly type: 'static';
      /** UUID. */
      readonly groupId: string;
      readonly sessionKeyPolicy: 'Combined' | 'Distinct';
      readonly members: readonly StaticMember[];
      readonly groupParameters: Readonly<Record<string, string>>;
      readonly p2p: P2pParameters;
      readonly cipherSuite: Readonly<Record<string, string>>;
    }
  /** `CREATE_ID` asks for a new group id when the MGM's virtual node is made. */
  | { readonly type: 'mgm'; readonly groupId: string }
  | {
      readonly type: 'dynamic';
      readonly groupId: string;
      readonly sessionKeyPolicy: 'Combined' | 'Distinct';
      readonly p2p: P2pParameters;
      readonly mgmInfo: Readonly<Record<string, string>>;
      readonly cipherSuite: Readonly<Record<string, string>>;
    };

export type ParsedGroupPolicy =
  | { readonly type: 'policy'; readonly policy: GroupPolicy }
  /** Each reason names the field at fault. Never empty. */
  | { readonly type: 'invalid'; readonly reasons: readonly string[] };

// ── Its schema ───────────────────────────────────────────────────────────────────────────────────────────────────────

const groupIdToCreate = 'CREATE_ID';
const protocols = {
  static: {
    registration: 'net.corda.membership.impl.registration.staticnetwork.StaticMemberRegistrationService',
    synchronisation: 'net.corda.membership.impl.sync.staticnetwork.StaticMemberSyncService',
  },
  mgm: {
    registration: 'net.corda.membership.impl.registration.dynamic.mgm.MGMRegistrationService',
    synchronisation: 'net.corda.membership.impl.synchronisation.MgmSynchronisationServiceImpl',
  },
  dynamic: {
    registration: 'net.corda.membership.impl.registration.dynamic.member.DynamicMemberRegistrationService',
    synchronisation: 'net.corda.membership.impl.synchronisation.MemberSynchronisationServiceImpl',
  },
} as const;

/** PEM blocks of one label, or `undefined`. */
const pemBlocks = (text: string, label: string): ReturnType<typeof decodePem> | undefined => {
  try {
    const blocks = decodePem(text);
    return blocks.length > 0 && blocks.every((block) => block.label === label) ? blocks : undefined;
  } catch {
    return undefined;
  }
};

const groupId = z.guid('a group id is a UUID');
const certificatePem = z.string().max(100_000).refine((text) => pemBlocks(text, 'CERTIFICATE') !== undefined, 'not a PEM certificate');
const trustRoots = z.array(certificatePem).max(limits.trustRootsMax);
const fewEntries = (value: object): boolean => Object.keys(value).length <= limits.mapEntriesMax;
const stringMap = z.record(z.string().max(1_000), z.string().max(100_000)).refine(fewEntries, `more than ${limits.mapEntriesMax} entries`);
/** Corda's static group parameters may hold numbers and booleans; the network sees text. */
const textMap = z
  .record(z.string().max(1_000), z.union([z.string().max(100_000), z.number(), z.boolean()]).transform(String))
  .refine(fewEntries, `more than ${limits.mapEntriesMax} entries`);

const p2pParameters = z
  .strictObject({
    sessionPki: z.enum(['Standard', 'NoPKI'], 'Cordage knows the session PKIs Standard and NoPKI'),
    sessionTrustRoots: trustRoots.default([]),
    tlsTrustRoots: trustRoots,
    tlsPki: z.enum(['Standard', 'StandardEV3', 'Corda4']),
    tlsVersion: z.enum(['1.2', '1.3']),
    tlsType: z.enum(['OneWay', 'Mutual']),
    protocolMode: z.enum(['Authenticated_Encryption', 'Authentication']),
    mtlsMgmClientCertificateSubject: z.string().max(600).optional(),
  })
  .refine(({ sessionPki, sessionTrustRoots }) => sessionPki === 'NoPKI' || sessionTrustRoots.length > 0, 'sessionTrustRoots may be empty with sessionPki NoPKI only');

const sessionKeyPolicy = z.enum(['Combined', 'Distinct']);
const fileFormatVersion = z.literal(1, 'the file format version must be 1');

const member = z.record(z.string().max(300), z.union([z.string().max(10_000), z.number()])).transform((fields, ctx) => {
  const read = readMember(fields);
  if (read.type === 'member') return read.member;
  for (const message of read.reasons) ctx.addIssue({ code: 'custom', message });
  return z.NEVER;
});

const sameNameTwice = (members: readonly StaticMember[]): boolean => new Set(members.map(({ x500Name }) => x500Name)).size < members.length;

const staticPolicy = z.strictObject({
  fileFormatVersion,
  groupId,
  registrationProtocol: z.literal(protocols.static.registration),
  synchronisationProtocol: z.literal(protocols.static.synchronisation),
  protocolParameters: z.strictObject({
    sessionKeyPolicy,
    staticNetwork: z.strictObject({
      members: z.array(member).min(1).max(limits.membersMax).refine((members) => !sameNameTwice(members), 'a member stands twice'),
      groupParameters: textMap.default({}),
    }),
  }),
  p2pParameters,
  cipherSuite: stringMap,
});

const mgmPolicy = z.strictObject({
  fileFormatVersion,
  groupId: z.union([z.literal(groupIdToCreate), groupId]),
  registrationProtocol: z.literal(protocols.mgm.registration),
  synchronisationProtocol: z.literal(protocols.mgm.synchronisation),
  protocolParameters: z.record(z.string(), z.unknown()).optional(),
});

const dynamicPolicy = z.strictObject({
  fileFormatVersion,
  groupId,
  registrationProtocol: z.literal(protocols.dynamic.registration),
  synchronisationProtocol: z.literal(protocols.dynamic.synchronisation),
  protocolParameters: z.strictObject({ sessionKeyPolicy }),
  p2pParameters,
  mgmInfo: stringMap,
  cipherSuite: stringMap,
});

// ── Members of a static network ──────────────────────────────────────────────────────────────────────────────────────

type MemberFields = Readonly<Record<string, string | number>>;
type ReadMember = { readonly type: 'member'; readonly member: StaticMember } | { readonly type: 'invalid'; readonly reasons: readonly string[] };
/** Takes the complaints of one member as its fields are read. */
type Complain = (reason: string) => void;

const memberStatuses = ['ACTIVE', 'PENDING', 'SUSPENDED'] as const;
const fieldPattern = /^(name|memberStatus|sessionKeyPem|sessionKeySpec|ledgerKeyPem|ledgerKeySpec|endpointUrl-\d{1,3}|endpointProtocol-\d{1,3}|ext\..+)$/;

const isEndpointUrl = (text: unknown): text is string => {
  if (typeof text !== 'string' || text.length > 2_000 || !URL.canParse(text)) return false;
  const { protocol, username, password } = new URL(text);
  return (protocol === 'https:' || protocol === 'http:') && username === '' && password === '';
};

const readEndpoints = (fields: MemberFields, complain: Complain): StaticMember['endpoints'] => {
  const numbered = Object.keys(fields).filter((key) => key.startsWith('endpointUrl-') || key.startsWith('endpointProtocol-'));
  const endpoints: { url: string; protocolVersion: number }[] = [];
  for (let n = 1; fields[`endpointUrl-${n}`] !== undefined || fields[`endpointProtocol-${n}`] !== undefined; n++) {
    const url = fields[`endpointUrl-${n}`];
    const protocolText = String(fields[`endpointProtocol-${n}`]);
    const protocolVersion = /^[1-9]\d{0,4}$/.test(protocolText) ? Number(protocolText) : undefined;
    if (!isEndpointUrl(url)) complain(`endpointUrl-${n} is not an http(s) URL`);
    else if (protocolVersion === undefined) complain(`endpointProtocol-${n} is not a positive integer`);
    else endpoints.push({ url, protocolVersion });
  }
  if (endpoints.length * 2 < numbered.length) complain('endpoints count from 1 without a gap, each with endpointUrl-N and endpointProtocol-N');
  if (endpoints.length > limits.endpointsMax) complain(`more than ${limits.endpointsMax} endpoints`);
  return endpoints;
};

/** `<use>KeyPem`, and `<use>KeySpec` where it is not the default of the key's scheme. */
const readNamedKey = (use: 'session' | 'ledger', fields: MemberFields, complain: Complain): StaticMember['sessionKey'] => {
  const pem = fields[`${use}KeyPem`];
  const given = fields[`${use}KeySpec`];
  if (pem === undefined) {
    if (given !== undefined) complain(`${use}KeySpec stands without ${use}KeyPem`);
    return undefined;
  }
  const der = pemBlocks(String(pem), 'PUBLIC KEY')?.[0]?.der;
  const scheme = der === undefined ? undefined : schemeOf(der);
  if (der === undefined || scheme === undefined || specsOf(scheme).length === 0) {
    complain(`${use}KeyPem is not the PEM of a public key that signs (BEGIN PUBLIC KEY)`);
    return undefined;
  }
  const spec = given ?? defaultSpec(scheme);
  if (!specsOf(scheme).some((known) => known === spec)) complain(`${use}KeySpec ${String(spec)} does not go with a ${scheme} key; ${specsOf(scheme).join(', ')} do`);
  return { pem: String(pem), publicKey: toBase64url(der), spec: String(spec) };
};

const readCustom = (fields: MemberFields, complain: Complain): Record<string, string> => {
  const entries = Object.entries(fields).filter(([key]) => key.startsWith('ext.'));
  if (entries.length > limits.customFieldsMax) complain(`more than ${limits.customFieldsMax} ext. fields`);
  for (const [key, value] of entries) {
    if (key.length > limits.customKeyCharsMax) complain(`an ext. field's name is longer than ${limits.customKeyCharsMax} characters`);
    if (String(value).length > limits.customValueCharsMax) complain(`${key.slice(0, limits.customKeyCharsMax)} is longer than ${limits.customValueCharsMax} characters`);
  }
  return Object.fromEntries(entries.map(([key, value]) => [key, String(value)]));
};

function readMember(fields: MemberFields): ReadMember {
  const reasons: string[] = [];
  const complain = (reason: string): void => void reasons.push(reason);
  const unknownField = Object.keys(fields).find((key) => !fieldPattern.test(key));
  if (unknownField !== undefined) complain(`unknown field ${JSON.stringify(unknownField.slice(0, 60))}; custom fields begin with "ext."`);
  const name = parseX500(String(fields['name'] ?? ''));
  if (name.type === 'invalid') complain(`name is not an X.500 name: ${name.reason}`);
  const status = memberStatuses.find((known) => known === (fields['memberStatus'] ?? 'ACTIVE'));
  if (status === undefined) complain(`memberStatus is not one of ${memberStatuses.join(', ')}`);
  const endpoints = readEndpoints(fields, complain);
  const sessionKey = readNamedKey('session', fields, complain);
  const ledgerKey = readNamedKey('ledger', fields, complain);
  const custom = readCustom(fields, complain);
  if (reasons.length > 0 || name.type === 'invalid' || status === undefined) return { type: 'invalid', reasons };
  return { type: 'member', member: { x500Name: name.name, status, endpoints, ...(sessionKey === undefined ? {} : { sessionKey }), ...(ledgerKey === undefined ? {} : { ledgerKey }), custom } };
}

// ── Reading ──────────────────────────────────────────────────────────────────────────────────────────────────────────

const refused = (...reasons: readonly string[]): ParsedGroupPolicy => ({ type: 'invalid', reasons });

const toPolicy = <Raw>(parsed: z.ZodSafeParseResult<Raw>, build: (raw: Raw) => GroupPolicy): ParsedGroupPolicy => {
  if (parsed.success) return { type: 'policy', policy: build(parsed.data) };
  const issues = parsed.error.issues.slice(0, limits.reasonsMax);
  return refused(...issues.map(({ path, message }) => `${path.length === 0 ? 'the policy' : path.map(String).join('.').slice(0, 200)}: ${message.slice(0, 500)}`));
};

const protocolOf = z.looseObject({ registrationProtocol: z.string() });

/** Reads the text of a group policy file. Never throws. */
export const parseGroupPolicy = (text: string): ParsedGroupPolicy => {
  if (text.length > packageLimits.groupPolicyCharsMax) return refused(`the policy is longer than ${packageLimits.groupPolicyCharsMax} characters`);
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return refused('the policy is not JSON');
  }
  const registration = protocolOf.safeParse(json);
  switch (registration.data?.registrationProtocol) {
    case protocols.static.registration:
      return toPolicy(staticPolicy.safeParse(json), ({ groupId: id, protocolParameters: { sessionKeyPolicy: keys, staticNetwork }, p2pParameters: p2p, cipherSuite }) => ({
        type: 'static', groupId: id, sessionKeyPolicy: keys, ...staticNetwork, p2p, cipherSuite,
      }));
    case protocols.mgm.registration:
      return toPolicy(mgmPolicy.safeParse(json), ({ groupId: id }) => ({ type: 'mgm', groupId: id }));
    case protocols.dynamic.registration:
      return toPolicy(dynamicPolicy.safeParse(json), ({ groupId: id, protocolParameters: { sessionKeyPolicy: keys }, p2pParameters: p2p, mgmInfo, cipherSuite }) => ({
        type: 'dynamic', groupId: id, sessionKeyPolicy: keys, p2p, mgmInfo, cipherSuite,
      }));
    default:
      return refused(`registrationProtocol is none that Cordage knows: ${Object.values(protocols).map((one) => one.registration).join(', ')}`);
  }
};
