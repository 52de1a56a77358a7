/**
 * The list and the parameters of one dynamic network, as this cluster has them: one copy for all its virtual nodes, stepped under the
 * group id.
 *
 *                  pending                    list that leads to its root
 *     (unknown) ───────────▶ version 0 ──────────────────────────────────▶ version n ──┐ the next ones
 *                                 │  another root: something is missing         ▲──────┘
 *                                 └────────── sync ──▶ manager ── pages ────────┘
 *
 * - **L3** a version is taken over whole or not at all: its statement is signed by the manager, its entries lead to its root, its
 *   parameters to their digest, and it is newer than what is there; else nothing changes;
 * - **L4** this state alone writes the records of the group's members and parameters on this cluster;
 * - **L5** what was missed is asked for: at once when a root does not fit, and seldom in any case.
 */
import { encode } from '../../../messages/grammar/envelope.ts';
import type { OutRecord } from '../../../messages/grammar/record.ts';
import { deriveId } from '../../../identity/derive.ts';
import { distinguishedName } from '../../../identity/x500.ts';
import { memberToAllMember } from '../../../messages/member-to-all.member.ts';
import { memberToMemberListed } from '../../../messages/member-to-member.listed.ts';
import { entriesStagedMax, membersMax, peerMessageTtlMs, resendMsMax, syncMs } from '../config.ts';
import type { GroupRequest, MemberEvent, Received } from '../event.ts';
import type { Networks } from '../network.ts';
import { clientSubjectRecord, groupParametersRecord, memberKey, memberRecord } from '../publication.ts';
import { answered, refused } from '../registrations.ts';
import { isContextSigned, isSignedBy, leafOf, memberOf, parametersDigest, rootOfRoster, statementInput, type Entry } from '../peer/entry.ts';
import { keysIn, tlsSubjectKey } from '../peer/context-map.ts';
import { listPayload, readPeer, type ListPayload } from '../peer/peer-message.ts';
import { say, shortHashOf } from '../peer/say.ts';
import { certificatesFault, trustOf, type SessionTrust } from '../peer/session-certificates.ts';
import type { Stepped } from '../joining/state.ts';
import type { ListState, RosterLeaf } from './state.ts';

export type SteppedList = Stepped<ListState | undefined> & { readonly refusal?: string };

// ── Asking the manager ───────────────────────────────────────────────────────────────────────────────────────────────

type Asking = { readonly from: string | undefined; readonly version: number; readonly after: string | null; readonly now: number };

const sync = (state: ListState, { from, version, after, now }: Asking): SteppedList => {
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

// ── Taking over ──────────────────────────────────────────────────────────────────────────────────────────────────────

type Judged = { readonly type: 'taken'; readonly entries: readonly Entry[]; readonly roster: ListState['roster'] } | { readonly type: 'gap' } | { readonly type: 'refused'; readonly reason: string };

/** Whose packets come in: of active members, and where the manager lives of all that it speaks to. A manager of another cluster is the policy's to name. */
const subjectOf = ({ groupId, manager }: ListState, { status, memberContext }: Entry, networks: Networks): { readonly subject?: string } => {
  const subject = distinguishedName(memberContext[tlsSubjectKey] ?? '');
  const managedHere = networks.virtualNode(shortHashOf(manager.x500Name, groupId)) !== undefined;
  return subject !== undefined && (status === 'ACTIVE' || managedHere) ? { subject } : {};
};

const judge = async (state: ListState, { statement, parameters }: ListPayload, entries: readonly Entry[], networks: Networks): Promise<Judged> => {
  const roster: Record<string, RosterLeaf> = { ...state.roster };
  const changed: Entry[] = [];
  for (const one of entries) {
    const leaf = leafOf(one);
    if (roster[one.x500Name]?.leaf === leaf) continue;
    roster[one.x500Name] = { leaf, ...subjectOf(state, one, networks) };
    changed.push(one);
  }
  if (Object.keys(roster).length !== statement.count || rootOfRoster(roster) !== statement.root) return { type: 'gap' };
  if (parameters === null ? statement.epoch !== state.epoch : parametersDigest(parameters) !== statement.parameters) return { type: 'gap' };
  const trust = parameters?.p2p ?? state.trust;
  const faults = await Promise.all(changed.map((one) => faultOf(one, state.manager.x500Name, trust)));
  const fault = faults.find((one) => one !== undefined);
  return fault === undefined ? { type: 'taken', entries: changed, roster } : { type: 'refused', reason: fault };
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

const listedRecords = (groupId: string, entries: readonly Entry[], version: number, networks: Networks): OutRecord[] =>
  entries.flatMap(({ x500Name, status, serial, memberContext }) => {
    const key = shortHashOf(x500Name, groupId);
    const here = networks.virtualNode(key)?.holdingIdentity;
    if (here?.x500Name !== x500Name || here.groupId !== groupId) return [];
    const registrationId = memberContext['corda.registration.id'] ?? '';
    return [encode(memberToMemberListed, { key, id: deriveId('listed', groupId, x500Name, String(version)), body: { groupId, x500Name, registrationId, status, serial } })];
  });

const subjectRecords = ({ groupId, roster: before }: ListState, after: ListState['roster'], entries: readonly Entry[]): OutRecord[] =>
  entries.flatMap(({ x500Name }) => {
    const subject = after[x500Name]?.subject;
    return subject === before[x500Name]?.subject ? [] : [clientSubjectRecord({ groupId, member: x500Name }, subject)];
  });

const takeOver = (state: ListState, payload: ListPayload, judged: Extract<Judged, { type: 'taken' }>, networks: Networks, now: number): SteppedList => {
  const { groupId } = state;
  const { statement, parameters } = payload;
  const { entries, roster } = judged;
  const manager = entries.find(({ x500Name }) => x500Name === state.manager.x500Name);
  const pending = Object.fromEntries(Object.entries(state.pending).filter(([name]) => roster[name] === undefined));
  const isHere = (x500Name: string): boolean => {
    const virtualNode = networks.virtualNode(shortHashOf(x500Name, groupId));
    return virtualNode !== undefined && virtualNode.deleting !== true;
  };
  const local = entries.map(({ x500Name }) => x500Name).filter((x500Name) => x500Name !== state.manager.x500Name && isHere(x500Name));
  return {
    state: {
      ...state, roster, pending, trust: parameters === null ? state.trust : trustOf(parameters.p2p), version: statement.version, epoch: statement.epoch, staging: null, syncs: 0, syncAt: now + syncMs,
      locals: [...new Set([...state.locals, ...local])],
      manager: manager === undefined ? state.manager : { ...state.manager, sessionKeys: keysIn(manager.memberContext, 'session') },
    },
    effects: [
      ...entries.map((one) => memberRecord(memberOf(groupId, one))),
      ...subjectRecords(state, roster, entries),
      ...(parameters === null ? [] : [groupParametersRecord(parameters)]),
      ...listedRecords(groupId, entries, statement.version, networks),
    ],
  };
};

/** One page of several: kept until the last one is here. */
const stage = (state: ListState, payload: ListPayload, from: string | undefined, now: number): SteppedList | readonly Entry[] => {
  const { statement, since, after, next, entries } = payload;
  if (after === null && next === null) return entries;
  const { staging } = state;
  const goesOn = after !== null && staging?.version === statement.version && staging.since === since && staging.after === after;
  if (after !== null && !goesOn) {
    // Pages of two versions do not fit together: the one that is under way began anew, or nothing of it is here.
    return staging === null || staging.version < statement.version ? sync({ ...state, staging: null }, { from, version: since, after: null, now }) : { state, effects: [] };
  }
  const all = [...(goesOn ? staging!.entries : []), ...entries];
  if (all.length > entriesStagedMax) return { state: { ...state, staging: null }, effects: [], refusal: `more than ${entriesStagedMax} entries in pages` };
  if (next === null) return all;
  return sync({ ...state, staging: { version: statement.version, since, after: next, entries: all } }, { from, version: since, after: next, now });
};

const hearList = async (state: ListState, payload: ListPayload, from: string | undefined, networks: Networks, now: number): Promise<SteppedList> => {
  const { statement, signature, since } = payload;
  if (statement.groupId !== state.groupId) return { state, effects: [], refusal: 'of another group' };
  // What was asked for is what is here: nothing was missed.
  if (statement.version === state.version && state.syncs > 0) return { state: { ...state, staging: null, syncs: 0, syncAt: now + syncMs }, effects: [] };
  // Heard before, or overtaken.
  if (statement.version <= state.version) return { state, effects: [] };
  const input = statementInput(statement);
  const signed = await Promise.all(state.manager.sessionKeys.map((key) => isSignedBy(key, input, signature)));
  if (!signed.includes(true)) return { state, effects: [], refusal: 'the statement is not signed by the manager of the network' };
  if (statement.count > membersMax) return { state, effects: [], refusal: `${statement.count} members; this cluster keeps ${membersMax} at most` };
  const staged = stage(state, payload, from, now);
  if ('state' in staged) return staged;
  const judged = await judge(state, payload, staged, networks);
  switch (judged.type) {
    case 'taken':
      return takeOver(state, payload, judged, networks, now);
    case 'refused':
      return { state: { ...state, staging: null }, effects: [], refusal: judged.reason };
    case 'gap': {
      // A delta from where we are that does not fit: only the whole list can.
      const version = since === state.version && state.version > 0 && payload.after === null ? 0 : state.version;
      return sync({ ...state, staging: null }, { from, version, after: null, now });
    }
  }
};

// ── Asked on this cluster ────────────────────────────────────────────────────────────────────────────────────────────

type Pending = Extract<GroupRequest['body'], { type: 'pending' }>;

const newList = (groupId: string, manager: ListState['manager'], trust: SessionTrust | null, now: number): ListState => ({
  type: 'list', v: 1, groupId, manager, trust, version: 0, epoch: 0, roster: {}, pending: {}, locals: [], staging: null, syncAt: now + syncMs, syncs: 0,
});

/** What the group policy says to a cluster that has no list yet. */
const policyRecords = (groupId: string, { manager, parameters, clientSubject }: NonNullable<Pending['first']>): OutRecord[] => [
  memberRecord(manager),
  groupParametersRecord(parameters),
  ...(clientSubject === null ? [] : [clientSubjectRecord({ groupId, member: manager.x500Name }, clientSubject)]),
];

const announce = (before: ListState | undefined, request: GroupRequest, { groupId, pending, first }: Pending, now: number): SteppedList => {
  if (before === undefined && first === null) {
    return { state: before, effects: answered(request, refused('MEMBER_GROUP_UNKNOWN', `nothing of group ${groupId} is known on this cluster`)) };
  }
  const state = before ?? newList(groupId, { x500Name: first!.manager.x500Name, sessionKeys: first!.manager.sessionKeys }, trustOf(first!.parameters.p2p), now);
  const done = answered(request, { type: 'done', value: { epoch: state.epoch } });
  const policy = state.version === 0 && first !== null ? policyRecords(groupId, first) : [];
  const locals = first === null || state.locals.includes(pending.x500Name) ? state.locals : [...state.locals, pending.x500Name];
  // A member that registers anew stays as the list has it until the list says otherwise.
  if (state.roster[pending.x500Name] !== undefined) return { state: { ...state, locals }, effects: done };
  const registrationId = pending.memberContext['corda.registration.id'] ?? '';
  return { state: { ...state, locals, pending: { ...state.pending, [pending.x500Name]: registrationId } }, effects: [...policy, memberRecord(pending), ...done] };
};

type Forget = Extract<GroupRequest['body'], { type: 'forget' }>;

const forget = (state: ListState | undefined, { groupId, x500Name, registrationId }: Forget): SteppedList => {
  if (state === undefined || state.pending[x500Name] !== registrationId) return { state, effects: [] };
  const { [x500Name]: _gone, ...pending } = state.pending;
  const key = memberKey(groupId, x500Name);
  return { state: { ...state, pending }, effects: [encode(memberToAllMember, { key, id: deriveId('member-forgotten', key, registrationId), body: null })] };
};

const hearGroup = async (state: ListState | undefined, request: GroupRequest, networks: Networks, now: number): Promise<SteppedList> => {
  const { body } = request;
  switch (body.type) {
    case 'join':
      return { state, effects: answered(request, refused('MEMBER_GROUP_DYNAMIC', `the group ${body.groupId} is a dynamic network`)) };
    case 'pending':
      return announce(state, request, body, now);
    case 'forget':
      return forget(state, body);
    case 'left':
      return { state: state === undefined ? state : { ...state, locals: state.locals.filter((name) => name !== body.x500Name) }, effects: [] };
    case 'published': {
      const payload = readPeer(listPayload, body.payload);
      if (payload === undefined) return { state, effects: [], refusal: 'no list' };
      return hearList({ ...(state ?? newList(body.groupId, body.manager, null, now)), manager: body.manager }, payload, undefined, networks, now);
    }
  }
};

const hearReceived = async (state: ListState | undefined, { groupId, source, destination, type, payload }: Received, networks: Networks, now: number): Promise<SteppedList> => {
  if (state === undefined || type !== 'message' || groupId !== state.groupId || source !== state.manager.x500Name) return { state, effects: [], refusal: 'not of the manager of this network' };
  const read = readPeer(listPayload, payload);
  return read === undefined ? { state, effects: [], refusal: 'no list' } : hearList(state, read, destination, networks, now);
};

// ── The step ─────────────────────────────────────────────────────────────────────────────────────────────────────────

export type ListInput = {
  readonly before: ListState | undefined;
  readonly events: readonly MemberEvent[];
  readonly networks: Networks;
  readonly now: number;
  /** What was refused, for the log: strangers are told nothing. */
  readonly onRefused: (reason: string) => void;
};

const stepOne = (state: ListState | undefined, event: MemberEvent, { networks, now }: ListInput): Promise<SteppedList> | SteppedList => {
  switch (event.type) {
    case 'group':
      return hearGroup(state, event.request, networks, now);
    case 'received':
      return hearReceived(state, event.message, networks, now);
    case 'wake':
      return state === undefined || now < state.syncAt ? { state, effects: [] } : sync({ ...state, staging: null }, { from: undefined, version: state.version, after: null, now });
    default:
      return { state, effects: [] };
  }
};

export const stepList = async (input: ListInput): Promise<SteppedList> => {
  let state = input.before;
  const effects: OutRecord[] = [];
  for (const event of input.events) {
    const stepped = await stepOne(state, event, input);
    if (stepped.refusal !== undefined) input.onRefused(stepped.refusal);
    state = stepped.state;
    effects.push(...stepped.effects);
  }
  return { state, effects };
};

export const listDueAt = ({ syncAt, locals }: ListState): number | undefined => (locals.length === 0 ? undefined : syncAt);
