/** What the member room keeps of a network's manager, under its short hash. Requests that have ended are items, newest last. */
import type { PublicKeyInfo } from '../../../messages/all-to-crypto.key.ts';
import type { GroupParameters } from '../../../messages/member-to-all.group-parameters.ts';
import type { HostedIdentity } from '../../../messages/member-to-link-manager.hosted-identity.ts';
import type { NotaryDetails } from '../../../messages/member-to-member.group.ts';
import type { Member } from '../../../messages/member-to-all.member.ts';
import type { VirtualNode } from '../../../messages/db-to-all.virtual-node.ts';
import type { CpiMetadata } from '../../../messages/db-to-all.cpi.ts';
import type { Outcome } from '../../../messages/grammar/envelope.ts';
import type { OutRecord } from '../../../messages/grammar/record.ts';
import type { ApprovalRule, PreAuthToken } from '../../../messages/rest-to-member.mgm.ts';
import type { registrationStatus } from '../../../messages/rest-to-member.registration.ts';
import type { ContextSignature, Entry, Statement } from '../peer/entry.ts';
import type { MemberTimes } from '../config.ts';
import type { TlsType } from '../network.ts';
import type { StoredRegistration } from '../state.ts';
import type { GroupRules } from './context.ts';

/** A request to join or to change, as it stands in the queue. */
export type Request = {
  readonly registrationId: string;
  readonly x500Name: string;
  readonly status: (typeof registrationStatus.options)[number];
  readonly sentAt: number;
  readonly receivedAt: number;
  readonly updatedAt: number;
  readonly memberContext: Readonly<Record<string, string>>;
  readonly signatures: readonly ContextSignature[];
  readonly token: string | null;
  /** That it was made with; the member's next one is greater by one. */
  readonly serial: number;
  readonly reason: string | null;
};

export type Standing = { readonly serial: number; readonly status: Entry['status']; readonly createdAt: number };
export type RosterEntry = Standing & {
  readonly leaf: string;
  /** Of the list, when it last changed. */
  readonly version: number;
};

/** How it founds its network. */
export type Founding = {
  readonly registrationId: string;
  readonly stage: 'finding' | 'signing';
  readonly waiting: readonly string[];
  readonly keys: readonly PublicKeyInfo[];
  readonly memberContext: Readonly<Record<string, string>> | null;
  readonly signatures: readonly ContextSignature[];
};

export type Group = {
  readonly rules: GroupRules;
  readonly agreementKeyId: string;
  /** The first of its session keys signs the list. */
  readonly signer: { readonly id: string; readonly publicKey: string; readonly spec: string };
  readonly memberContext: Readonly<Record<string, string>>;
  readonly mgmContext: Readonly<Record<string, string>>;
};

/** A version of the list whose signature has not come. */
export type Signing = { readonly id: string; readonly statement: Statement; readonly entries: readonly Entry[]; readonly parameters: GroupParameters; readonly parametersChanged: boolean };

export type EndedRequest = { readonly registrationId: string; readonly x500Name: string; readonly status: Request['status']; readonly reason: string | null };

export type MgmState = {
  readonly type: 'mgm';
  readonly v: 1;
  readonly registrations: readonly StoredRegistration[];
  readonly progress: Founding | null;
  readonly hosted: HostedIdentity | null;
  /** Once it has registered. */
  readonly group: Group | null;
  /** As it was signed last. */
  readonly roster: Readonly<Record<string, RosterEntry>>;
  readonly signed: { readonly statement: Statement; readonly signature: string } | null;
  readonly signing: Signing | null;
  /** What the next version will say of members, and what it will say of the group. */
  readonly changed: Readonly<Record<string, Entry>>;
  readonly parameters: GroupParameters | null;
  readonly parametersChanged: boolean;
  /** What operators set: `corda.minimum.platform.version` and `ext.*`. */
  readonly custom: Readonly<Record<string, string>>;
  /** Of members with that role, suspended ones too. */
  readonly notaries: Readonly<Record<string, NotaryDetails>>;
  /** By registration id. */
  readonly requests: Readonly<Record<string, Request>>;
  /** Requests for which crypto opens what a stranger sealed. */
  readonly opening: Readonly<Record<string, { readonly source: string; readonly at: number }>>;
  /** The last ones: whoever repeats them is told again. */
  readonly ended: readonly EndedRequest[];
  readonly endedCount: number;
  /** Names that are not members after all, and when this cluster may forget them. */
  readonly leaving: Readonly<Record<string, { readonly x500Name: string; readonly at: number }>>;
  readonly rules: Readonly<Record<'standard' | 'preauth', readonly ApprovalRule[]>>;
  readonly tokens: Readonly<Record<string, PreAuthToken>>;
  /** Subjects of TLS client certificates. */
  readonly subjects: readonly string[];
  /** What the last commands that change something were answered: a repeat is answered the same. */
  readonly commands: readonly { readonly id: string; readonly outcome: Outcome }[];
};

export const newMgmState: MgmState = {
  type: 'mgm', v: 1, registrations: [], progress: null, hosted: null, group: null, roster: {}, signed: null, signing: null, changed: {},
  parameters: null, parametersChanged: false, custom: {}, notaries: {}, requests: {}, opening: {}, ended: [], endedCount: 0, leaving: {},
  rules: { standard: [], preauth: [] }, tokens: {}, subjects: [], commands: [],
};

/** What the views say, and the time. */
export type MgmFacts = {
  readonly virtualNode: VirtualNode;
  readonly cpi: CpiMetadata;
  readonly now: number;
  /** Of this cluster's gateway. */
  readonly tlsType: TlsType;
  readonly times: MemberTimes;
  /** UTF-16 code units of entries in one message. */
  readonly pageChars: number;
  /** As this cluster's list has the member. */
  readonly member: (x500Name: string) => Member | undefined;
};

/** What one event came to. `later`: a view lags behind the state. */
export type MgmStepped = { readonly state: MgmState; readonly effects: readonly OutRecord[]; readonly refusal?: string; readonly later?: string };

export const standingOf = ({ changed, signing, roster }: MgmState, x500Name: string): Standing | undefined => {
  const coming = changed[x500Name] ?? signing?.entries.find((one) => one.x500Name === x500Name);
  if (coming === undefined) return roster[x500Name];
  return { serial: coming.serial, status: coming.status, createdAt: Date.parse(coming.mgmContext['corda.creationTime'] ?? '') };
};
