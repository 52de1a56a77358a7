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
 *   parameters to their digest, and it is newer than what is there; else nothing changes. Of a list of several pages the records go out page by page behind
 *   that, but for those that a newer version has overtaken;
 * - **L4** this state alone writes the records of the group's members and parameters on this cluster;
 * - **L5** what was missed is asked for: at once when a root does not fit, and seldom in any case.
 */
import { encode } from '../../../messages/grammar/envelope.ts';
import type { OutRecord } from '../../../messages/grammar/record.ts';
import { deriveId } from '../../../identity/derive.ts';
import { memberToAllMember } from '../../../messages/member-to-all.member.ts';
import type { StoredItem } from '../../../shell/worker.ts';
import { membersMax, resumesMax, syncMs } from '../config.ts';
import type { GroupRequest, MemberEvent, Received } from '../event.ts';
import type { Networks } from '../network.ts';
import { clientSubjectRecord, groupParametersRecord, memberKey, memberRecord } from '../publication.ts';
import { answered, refused } from '../registrations.ts';
import { isSignedBy, statementInput } from '../peer/entry.ts';
import { listPayload, readPeer, type ListPayload } from '../peer/peer-message.ts';
import { trustOf, type SessionTrust } from '../peer/session-certificates.ts';
import { hearPage, keptPages, takePage, type PagesKept } from './pages.ts';
import type { ListPage, ListState } from './state.ts';
import { sync, takeOver, type SteppedList } from './take-over.ts';

// ── A list ───────────────────────────────────────────────────────────────────────────────────────────────────────────

const hearList = async (state: ListState, payload: ListPayload, from: string | undefined, networks: Networks, now: number): Promise<SteppedList> => {
  const { statement, signature } = payload;
  if (statement.groupId !== state.groupId) return { state, effects: [], refusal: 'of another group' };
  // What was asked for is what is here: nothing was missed.
  if (statement.version === state.version && state.syncs > 0) return { state: { ...state, staging: null, syncs: 0, syncAt: now + syncMs }, effects: [] };
  // Heard before, or overtaken.
  if (statement.version <= state.version) return { state, effects: [] };
  const input = statementInput(statement);
  const signed = await Promise.all(state.manager.sessionKeys.map((key) => isSignedBy(key, input, signature)));
  if (!signed.includes(true)) return { state, effects: [], refusal: 'the statement is not signed by the manager of the network' };
  if (statement.count > membersMax) return { state, effects: [], refusal: `${statement.count} members; this cluster keeps ${membersMax} at most` };
  const isPage = payload.after !== null || payload.next !== null;
  return isPage ? hearPage(state, payload, { from, networks, now }) : takeOver(state, payload, { from, networks, now });
};

// ── Asked on this cluster ────────────────────────────────────────────────────────────────────────────────────────────

type Pending = Extract<GroupRequest['body'], { type: 'pending' }>;

const newList = (groupId: string, manager: ListState['manager'], trust: SessionTrust | null, now: number): ListState => ({
  type: 'list', v: 1, groupId, manager, trust, version: 0, epoch: 0, roster: {}, pending: {}, locals: [], staging: null, taking: null, nextPage: 1, syncAt: now + syncMs, syncs: 0,
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

/** Where pages were lost it goes on behind those that are here, unless that leads nowhere. */
const askAgain = (state: ListState, now: number): SteppedList => {
  const { staging, version, syncs } = state;
  if (staging !== null && syncs < resumesMax) return sync(state, { from: undefined, version: staging.since, after: staging.after, now });
  return sync({ ...state, staging: null }, { from: undefined, version, after: null, now });
};

// ── The step ─────────────────────────────────────────────────────────────────────────────────────────────────────────

export type ListInput = {
  readonly before: ListState | undefined;
  readonly events: readonly MemberEvent[];
  /** The page whose turn it is, where it was asked for. */
  readonly items: readonly StoredItem<ListPage>[] | undefined;
  readonly networks: Networks;
  readonly now: number;
  /** What was refused, for the log: strangers are told nothing. */
  readonly onRefused: (reason: string) => void;
};

const stepOne = (state: ListState | undefined, event: MemberEvent, { items, networks, now }: ListInput): Promise<SteppedList> | SteppedList => {
  switch (event.type) {
    case 'group':
      return hearGroup(state, event.request, networks, now);
    case 'received':
      return hearReceived(state, event.message, networks, now);
    case 'wake':
      if (state?.taking !== undefined && state.taking !== null) return takePage(state, items, networks, now);
      return state === undefined || now < state.syncAt ? { state, effects: [] } : askAgain(state, now);
    default:
      return { state, effects: [] };
  }
};

export const stepList = async (input: ListInput): Promise<SteppedList & PagesKept> => {
  let state = input.before;
  let items = input.items;
  const effects: OutRecord[] = [];
  const added: StoredItem<ListPage>[] = [];
  for (const event of input.events) {
    const stepped = await stepOne(state, event, { ...input, items });
    if (stepped.refusal !== undefined) input.onRefused(stepped.refusal);
    // One page a step.
    if (event.type === 'wake') items = undefined;
    state = stepped.state;
    effects.push(...stepped.effects);
    if (stepped.page !== undefined) added.push(stepped.page);
  }
  return { state, effects, ...keptPages(input.before, state, added) };
};

export const listDueAt = ({ syncAt, locals, taking }: ListState): number | undefined => taking?.dueAt ?? (locals.length === 0 ? undefined : syncAt);
