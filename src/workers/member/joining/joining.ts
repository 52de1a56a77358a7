/**
 * The registrations of one virtual node in a dynamic network, stepped under its short hash.
 *
 *     register ──► NEW: finding ─► signing ─► announcing ──► SENT_TO_MGM: sending ──► … the manager's statuses … ──► APPROVED
 *        │              │ (keys)    (crypto)   (this cluster, │  repeated until answered                            (listed)
 *        │              │                       the seal)     └──► FAILED after half an hour · DECLINED · INVALID
 *        │              └──► INVALID (a key that will not do) · FAILED (crypto refused)
 *        └──► refused: nothing is kept
 *
 * - **J1** one registration is under way at a time; what it sends is the same with each repeat, and the manager knows it by its id;
 * - **J2** APPROVED is said when this cluster has taken over the list that shows the member, not when the manager says so: who reads
 *   it finds everybody informed;
 * - **J3** only the manager that the policy names moves a registration, over a session, and only forward;
 * - **J4** a request that comes again, by its id, is answered again and begins nothing.
 */
import type { OutRecord } from '../../../messages/grammar/record.ts';
import { registrationStatus } from '../../../messages/rest-to-member.registration.ts';
import type { ListedNotice, MemberEvent, NetworkSetup, Received } from '../event.ts';
import { tlsTypeFault } from '../network.ts';
import { hostedIdentityRecord, hostedOf } from '../publication.ts';
import { peerMessage, readPeer } from '../peer/peer-message.ts';
import { certificatesOfSetup, setupFault } from '../peer/session-certificates.ts';
import { say, shortHashOf } from '../peer/say.ts';
import { peerMessageTtlMs } from '../config.ts';
import { answered, ended, isRegister, newRegistration, refused, remember, reply, statusOf, update, type Register } from '../registrations.ts';
import { parseJoinContext } from './context.ts';
import { managerOf } from './policy.ts';
import { beginWork, forgetRecord, hearAnswer, transmitDue, type Work } from './work.ts';
import { newJoiningState, type JoiningFacts, type JoiningState, type Stepped } from './state.ts';

const unchanged = (state: JoiningState): Stepped<JoiningState> => ({ state, effects: [] });

// ── Register ─────────────────────────────────────────────────────────────────────────────────────────────────────────

const faultOf = (state: JoiningState, { virtualNode }: JoiningFacts, { body }: Register): string | undefined => {
  const { x500Name } = virtualNode.holdingIdentity;
  const parsed = parseJoinContext(body.context, x500Name);
  if (parsed.type === 'invalid') return parsed.reason;
  const { serial } = parsed.context;
  const known = state.listed?.serial ?? 0;
  if (serial !== undefined && serial !== known) return `corda.serial is ${serial}, and the serial of ${x500Name} is ${known}: look at GET /members and register with what it shows`;
  return undefined;
};

const register = (state: JoiningState, request: Register, facts: JoiningFacts, now: number): Stepped<JoiningState> => {
  const known = state.registrations.find(({ messageId }) => messageId === request.id);
  if (known !== undefined) return { state, effects: answered(request, reply([known])) };
  if (state.progress !== null) return { state, effects: answered(request, refused('MEMBER_ALREADY_REGISTERED', `a registration of ${request.body.shortHash} is under way`)) };
  const fault = faultOf(state, facts, request);
  if (fault !== undefined) return { state, effects: answered(request, refused('MEMBER_CONTEXT_INVALID', fault)) };
  const registration = newRegistration(request, now);
  const { registrationId } = registration;
  const registrations = remember(state.registrations, registration);
  const accepted = answered(request, reply([registration]));
  const manager = managerOf(facts.policy);
  const tlsFault = tlsTypeFault(facts.policy.p2p.tlsType, facts.tlsType);
  const reason =
    typeof manager === 'string' ? manager
    : tlsFault !== undefined ? tlsFault
    : state.hosted === null ? `nothing is set up for ${request.body.shortHash} to be reached by: PUT /network/setup/${request.body.shortHash} first`
    : undefined;
  if (reason !== undefined) return { state: { ...state, registrations: ended(registrations, registrationId, { status: 'INVALID', reason, now }) }, effects: accepted };
  const begun = beginWork({ ...state, registrations }, registrationId, facts, now);
  return { state: begun.state, effects: [...accepted, ...begun.effects] };
};

// ── The manager speaks ───────────────────────────────────────────────────────────────────────────────────────────────

const order = registrationStatus.options;
const finals = ['DECLINED', 'INVALID', 'FAILED'] as const;

type Told = { readonly registrationId: string; readonly status: (typeof order)[number]; readonly reason: string | null };

const moved = (state: JoiningState, { registrationId, status, reason }: Told, { virtualNode }: JoiningFacts, now: number): Stepped<JoiningState> => {
  const { progress, registrations } = state;
  const registration = registrations.find((one) => one.registrationId === registrationId);
  if (progress?.registrationId !== registrationId || registration === undefined) return unchanged(state);
  const final = finals.find((one) => one === status);
  if (final !== undefined) {
    const { x500Name, groupId } = virtualNode.holdingIdentity;
    const next = ended(registrations, registrationId, { status: final, reason: reason ?? 'the manager of the network gave no reason', now });
    return { state: { ...state, progress: null, registrations: next }, effects: [forgetRecord(groupId, x500Name, registrationId)] };
  }
  // J2: the list says APPROVED. J3: never back.
  const heard: JoiningState = { ...state, progress: { ...progress, giveUpAt: Number.MAX_SAFE_INTEGER } };
  if (status === 'APPROVED' || order.indexOf(status) <= order.indexOf(registration.registrationStatus)) return unchanged(heard);
  return unchanged({ ...heard, registrations: update(registrations, registrationId, { registrationStatus: status, registrationUpdated: now }) });
};

const hearPeer = (state: JoiningState, { groupId, source, destination, type, payload }: Received, facts: JoiningFacts, now: number): Stepped<JoiningState> => {
  const own = facts.virtualNode.holdingIdentity;
  const manager = managerOf(facts.policy);
  if (typeof manager === 'string' || type !== 'message' || groupId !== own.groupId || destination !== own.x500Name || source !== manager.member.x500Name) return unchanged(state);
  const message = readPeer(peerMessage, payload);
  if (message?.type === 'status') return moved(state, message, facts, now);
  if (message?.type !== 'verify') return unchanged(state);
  const { registrationId } = message;
  const next = moved(state, { registrationId, status: 'PENDING_MEMBER_VERIFICATION', reason: null }, facts, now);
  if (state.progress?.registrationId !== registrationId) return next;
  // The session proves who answers: nothing more is to be said than that this registration is ours.
  const verified = say({
    from: own, to: source, receiverKey: shortHashOf(source, groupId), id: `${registrationId}/verified`, expiresAt: now + peerMessageTtlMs,
    message: { type: 'verified', v: 1, registrationId },
  });
  return { state: next.state, effects: [...next.effects, verified] };
};

const hearListed = (state: JoiningState, { registrationId, status, serial }: ListedNotice, now: number): Stepped<JoiningState> => {
  if (state.listed !== null && state.listed.serial > serial) return unchanged(state);
  const listed = { status, serial };
  const mine = state.registrations.find((one) => one.registrationId === registrationId);
  if (mine === undefined || mine.registrationStatus === 'APPROVED') return unchanged({ ...state, listed });
  const registrations = update(state.registrations, registrationId, { registrationStatus: 'APPROVED', registrationUpdated: now, serial, reason: null });
  return unchanged({ ...state, listed, registrations, progress: state.progress?.registrationId === registrationId ? null : state.progress });
};

// ── Setting up ───────────────────────────────────────────────────────────────────────────────────────────────────────

const setUp = async (state: JoiningState, request: NetworkSetup, { virtualNode, policy }: JoiningFacts, now: number): Promise<Stepped<JoiningState>> => {
  const { body } = request;
  const { holdingIdentity } = virtualNode;
  const fault = await setupFault(body, { x500Name: holdingIdentity.x500Name, trust: policy.p2p, at: now });
  if (fault !== undefined) return { state, effects: answered(request, refused('MEMBER_CERTIFICATES_INVALID', fault)) };
  const hosted = hostedOf(holdingIdentity, body);
  return { state: { ...state, hosted, certificates: certificatesOfSetup(body) }, effects: [hostedIdentityRecord(hosted), ...answered(request, { type: 'done', value: {} })] };
};

// ── The step ─────────────────────────────────────────────────────────────────────────────────────────────────────────

export type JoiningInput = {
  readonly before: JoiningState | undefined;
  readonly events: readonly MemberEvent[];
  readonly facts: JoiningFacts;
  readonly now: number;
};

/** What one event does, and what it is answered. `before` is the state before the batch: a status is told once its effects are out. */
const stepOne = (state: JoiningState, event: MemberEvent, { before, facts, now }: Omit<JoiningInput, 'events'>): Promise<Stepped<JoiningState>> | Stepped<JoiningState> => {
  const work: Work = { state, facts, now };
  switch (event.type) {
    case 'registration': {
      const { request } = event;
      if (isRegister(request)) return register(state, request, facts, now);
      const { body } = request;
      return { state, effects: body.type === 'status' ? answered(request, statusOf((before ?? newJoiningState).registrations, true, body)) : [] };
    }
    case 'answer':
      return hearAnswer(work, event);
    case 'received':
      return hearPeer(state, event.message, facts, now);
    case 'listed':
      return hearListed(state, event.notice, now);
    case 'set-up':
      return setUp(state, event.request, facts, now);
    case 'mgm':
      return { state, effects: answered(event.request, refused('MEMBER_NOT_MGM', `${event.request.body.shortHash} is not the manager of its network`)) };
    case 'wake':
      return transmitDue(work);
    case 'group':
    case 'departure':
      return unchanged(state);
  }
};

export const stepJoining = async (input: JoiningInput): Promise<Stepped<JoiningState>> => {
  let state = input.before ?? newJoiningState;
  const effects: OutRecord[] = [];
  for (const event of input.events) {
    const stepped = await stepOne(state, event, input);
    state = stepped.state;
    effects.push(...stepped.effects);
  }
  return { state, effects };
};

/** When it wants to be woken: for the next repeat. */
export const joiningDueAt = ({ progress }: JoiningState): number | undefined => progress?.sendAt ?? undefined;
