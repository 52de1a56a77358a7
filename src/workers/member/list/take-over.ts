/** How a version of the list becomes this cluster's: judged against the state, its records and what its members here are told. */
import { deriveId } from '../../../identity/derive.ts';
import { distinguishedName } from '../../../identity/x500.ts';
import { encode } from '../../../messages/grammar/envelope.ts';
import type { OutRecord } from '../../../messages/grammar/record.ts';
import { memberToMemberListed } from '../../../messages/member-to-member.listed.ts';
import type { StoredItem } from '../../../shell/worker.ts';
import { peerMessageTtlMs, resendMsMax, syncMs } from '../config.ts';
import type { ListedNotice } from '../event.ts';
import type { Stepped } from '../joining/state.ts';
import type { Networks } from '../network.ts';
import { clientSubjectRecord, groupParametersRecord, memberRecord } from '../publication.ts';
import { keysIn, tlsSubjectKey } from '../peer/context-map.ts';
import { isContextSigned, leafOf, memberOf, parametersDigest, rootOfRoster, type Entry } from '../peer/entry.ts';
import type { ListPayload } from '../peer/peer-message.ts';
import { say, shortHashOf } from '../peer/say.ts';
import { certificatesFault, trustOf, type SessionTrust } from '../peer/session-certificates.ts';
import type { ListPage, ListState, RosterLeaf, Staging } from './state.ts';

/** `page`: to be kept as an item. */
export type SteppedList = Stepped<ListState | undefined> & { readonly refusal?: string; readonly page?: StoredItem<ListPage> };

/** `from`: which of this cluster's identities it came to; none where the manager lives here. */
export type Hearing = { readonly from: string | undefined; readonly networks: Networks; readonly now: number };

// ── Asking the manager ───────────────────────────────────────────────────────────────────────────────────────────────

type Asking = { readonly from: string | undefined; readonly version: number; readonly after: string | null; readonly now: number };

export const sync = (state: ListState, { from, version, after, now }: Asking): Stepped<ListState> => {
  const syncs = state.syncs + 1;
  const asked: ListState = { ...state, syncs, syncAt: now + Math.min(syncMs, resendMsMax * 2 ** Math.min(syncs, 10)) };
  const source = from ?? state.locals[state.syncs % Math.max(1, state.locals.length)];
  const to = state.manager.x500Name;
  if (source === undefined || source === to) return { state: asked, effects: [] };
  const record = say({
    from: { groupId: state.groupId, x500Name: source }, to, receiverKey: shortHashOf(to, state.groupId),
    id: `sync/${state.version}/${after ?? ''}/${now}`, expiresAt: now + peerMessageTtlMs,
    message: { type: 'sync', v: 1, version, epoch: state.epoch, after },
  });
  return { state: asked, effects: [record] };
};

// ── Entries ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Whose packets come in: of active members, and where the manager lives of all that it speaks to. A manager of another cluster is the policy's to name. */
const subjectOf = ({ groupId, manager }: ListState, { status, memberContext }: Entry, networks: Networks): { readonly subject?: string } => {
  const subject = distinguishedName(memberContext[tlsSubjectKey] ?? '');
  const managedHere = networks.virtualNode(shortHashOf(manager.x500Name, groupId)) !== undefined;
  return subject !== undefined && (status === 'ACTIVE' || managedHere) ? { subject } : {};
};

/**
 * What no manager can make up: a member's own signature, and in a network with session PKI that an authority vouches for its keys. Dates
 * were the manager's to judge, and are judged again with each session. The manager's own key stands in the group policy.
 */
const faultOf = async ({ x500Name, memberContext, signatures }: Entry, manager: string, trust: SessionTrust | null): Promise<string | undefined> => {
  if (!(await isContextSigned(memberContext, signatures))) return `the context of ${x500Name} is not signed by its session keys`;
  if (x500Name === manager || trust === null) return undefined;
  const fault = await certificatesFault(memberContext, { x500Name, trust, at: 'ever' });
  return fault === undefined ? undefined : `${x500Name}: ${fault}`;
};

export type Changes = { readonly entries: readonly Entry[]; readonly leaves: Readonly<Record<string, RosterLeaf>>; /** Why one of them is not believed. */ readonly fault: string | undefined };

/** Those of the entries that say something new. */
export const changesOf = async (state: ListState, { entries: all, parameters }: ListPayload, networks: Networks): Promise<Changes> => {
  const leaves: Record<string, RosterLeaf> = {};
  const entries: Entry[] = [];
  for (const one of all) {
    const leaf = leafOf(one);
    if (state.roster[one.x500Name]?.leaf === leaf) continue;
    leaves[one.x500Name] = { leaf, ...subjectOf(state, one, networks) };
    entries.push(one);
  }
  const trust = parameters?.p2p ?? state.trust;
  const faults = await Promise.all(entries.map((one) => faultOf(one, state.manager.x500Name, trust)));
  return { entries, leaves, fault: faults.find((one) => one !== undefined) };
};

export const managerKeysIn = ({ manager }: ListState, entries: readonly Entry[]): Staging['managerKeys'] => {
  const one = entries.find(({ x500Name }) => x500Name === manager.x500Name);
  return one === undefined ? null : keysIn(one.memberContext, 'session');
};

// ── Who lives here ───────────────────────────────────────────────────────────────────────────────────────────────────

const livesHere = (groupId: string, x500Name: string, networks: Networks): boolean => {
  const virtualNode = networks.virtualNode(shortHashOf(x500Name, groupId));
  const here = virtualNode?.deleting === true ? undefined : virtualNode?.holdingIdentity;
  return here?.x500Name === x500Name && here.groupId === groupId;
};

export const noticesOf = (groupId: string, entries: readonly Entry[], networks: Networks): ListedNotice[] =>
  entries
    .filter(({ x500Name }) => livesHere(groupId, x500Name, networks))
    .map(({ x500Name, status, serial, memberContext }) => ({ groupId, x500Name, registrationId: memberContext['corda.registration.id'] ?? '', status, serial }));

export const listedRecords = (notices: readonly ListedNotice[], version: number): OutRecord[] =>
  notices.map((body) => encode(memberToMemberListed, { key: shortHashOf(body.x500Name, body.groupId), id: deriveId('listed', body.groupId, body.x500Name, String(version)), body }));

/** Identities of this cluster that may ask the manager: with those that these notices are about, but for one that is leaving. */
export const localsWith = ({ groupId, locals, manager }: ListState, notices: readonly ListedNotice[], networks: Networks): readonly string[] => {
  const stays = (name: string): boolean => name !== manager.x500Name && networks.virtualNode(shortHashOf(name, groupId))?.deleting !== true;
  return [...new Set([...locals, ...notices.map(({ x500Name }) => x500Name).filter(stays)])];
};

// ── Taking over ──────────────────────────────────────────────────────────────────────────────────────────────────────

const subjectRecords = ({ groupId, roster: before }: ListState, leaves: Changes['leaves']): OutRecord[] =>
  Object.entries(leaves).flatMap(([member, { subject }]) => (subject === before[member]?.subject ? [] : [clientSubjectRecord({ groupId, member }, subject)]));

/**
 * The payload with all that was staged before it, in the place of the state; or a question, where that does not lead to the root (L3, L5). The
 * records of staged pages go out later.
 */
export const takeOver = async (state: ListState, payload: ListPayload, { from, networks, now }: Hearing): Promise<SteppedList> => {
  const { statement, parameters, since, after } = payload;
  const { groupId, staging } = state;
  const { entries, leaves: own, fault } = await changesOf(state, payload, networks);
  if (fault !== undefined) return { state: { ...state, staging: null }, effects: [], refusal: fault };
  const leaves = { ...staging?.leaves, ...own };
  const roster = { ...state.roster, ...leaves };
  const parametersFit = parameters === null ? statement.epoch === state.epoch : parametersDigest(parameters) === statement.parameters;
  if (Object.keys(roster).length !== statement.count || rootOfRoster(roster) !== statement.root || !parametersFit) {
    // A delta from where we are that does not fit: only the whole list can.
    const version = since === state.version && state.version > 0 && after === null ? 0 : state.version;
    return sync({ ...state, staging: null }, { from, version, after: null, now });
  }
  const sessionKeys = managerKeysIn(state, entries) ?? staging?.managerKeys ?? state.manager.sessionKeys;
  const notices = noticesOf(groupId, entries, networks);
  const taking = staging === null ? state.taking : { pages: [...(state.taking?.pages ?? []), staging.pages], listed: [...(state.taking?.listed ?? []), ...notices], dueAt: now };
  return {
    state: {
      ...state, roster, version: statement.version, epoch: statement.epoch, staging: null, taking, syncs: 0, syncAt: now + syncMs,
      pending: Object.fromEntries(Object.entries(state.pending).filter(([name]) => roster[name] === undefined)),
      trust: parameters === null ? state.trust : trustOf(parameters.p2p),
      locals: localsWith(state, notices, networks),
      manager: { ...state.manager, sessionKeys },
    },
    effects: [
      ...entries.map((one) => memberRecord(memberOf(groupId, one))),
      ...subjectRecords(state, leaves),
      ...(parameters === null ? [] : [groupParametersRecord(parameters)]),
      ...(staging === null ? listedRecords(notices, statement.version) : []),
    ],
  };
};
