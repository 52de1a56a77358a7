/**
 * A network's manager, stepped under its short hash: its own registration (founding.ts), requests to join and to change (queue.ts), the
 * list and the group parameters (roster.ts), and what operators ask (commands.ts).
 *
 * - **M8** a request that comes again, by its id, is answered as it was and changes nothing more.
 */
import type { OutRecord } from '../../../messages/grammar/record.ts';
import type { StoredItem } from '../../../shell/worker.ts';
import { historyMax } from '../config.ts';
import type { AnswerEvent, ListedNotice, MemberEvent, NetworkSetup, Received } from '../event.ts';
import { hostedIdentityRecord, hostedOf } from '../publication.ts';
import { peerMessage, readPeer, signedLeave, signedRequest } from '../peer/peer-message.ts';
import { setupFault } from '../peer/session-certificates.ts';
import { answered, isRegister, refused, statusOf, update } from '../registrations.ts';
import { onCommand } from './commands.ts';
import { hearFoundingAnswer, register } from './founding.ts';
import { expire, hearIntroduced, hearVerified, openSealed, queueDueAt, receive, takeOpened, type Concluded } from './queue.ts';
import { hearLeave } from './leaving.ts';
import { answerSync, hearListSignature, publish } from './roster.ts';
import { newMgmState, type MgmFacts, type MgmState, type Request } from './state.ts';

/** A stranger asks to join, or a member whose sessions have ended says so. */
const hearSealed = (before: MgmState, event: AnswerEvent, facts: MgmFacts): Promise<Concluded> | Concluded => {
  const { state, said } = takeOpened(before, event);
  if (said === undefined) return { state, effects: [], refusal: 'a request that was not sealed to this manager' };
  const { text, source } = said;
  const request = readPeer(signedRequest, text);
  if (request !== undefined) return receive(state, { signed: request, source, onSession: false }, facts);
  const left = readPeer(signedLeave, text);
  return left === undefined ? { state, effects: [], refusal: 'a sealed text that is no request' } : hearLeave(state, left, source, facts);
};

const hearAnswer = (state: MgmState, event: AnswerEvent, facts: MgmFacts): Promise<Concluded> | Concluded => {
  const { requestId } = event;
  if (state.progress?.waiting.includes(requestId) === true) return hearFoundingAnswer(state, state.progress, event, facts);
  if (state.signing?.id === requestId) return hearListSignature(state, event, facts);
  if (state.opening[requestId] !== undefined) return hearSealed(state, event, facts);
  return hearIntroduced(state, event, facts);
};

const hearReceived = (state: MgmState, message: Received, facts: MgmFacts): Promise<Concluded> | Concluded => {
  const own = facts.virtualNode.holdingIdentity;
  if (message.groupId !== own.groupId || message.destination !== own.x500Name) return { state, effects: [], refusal: 'for somebody else' };
  if (message.type === 'unauthenticated') return openSealed(state, message, facts);
  const read = readPeer(peerMessage, message.payload);
  switch (read?.type) {
    case 'register':
      return receive(state, { signed: read.signed, source: message.source, onSession: true }, facts);
    case 'verified':
      return hearVerified(state, message.source, read.registrationId, facts);
    case 'sync':
      return answerSync(state, message.source, read, message.messageId, facts);
    default:
      return { state, effects: [], refusal: 'nothing that a manager hears' };
  }
};

/** Its own name in the list that this cluster has taken over: the network is founded. */
const hearListed = (state: MgmState, { registrationId, serial }: ListedNotice, now: number): Concluded => {
  const mine = state.registrations.find((one) => one.registrationId === registrationId);
  if (mine === undefined || mine.registrationStatus === 'APPROVED') return { state, effects: [] };
  return { state: { ...state, registrations: update(state.registrations, registrationId, { registrationStatus: 'APPROVED', registrationUpdated: now, serial }) }, effects: [] };
};

/** Before it has founded its network nobody knows what that will ask for: founding.ts looks then. */
const setUp = async (state: MgmState, request: NetworkSetup, { virtualNode, now }: MgmFacts): Promise<Concluded> => {
  const { body } = request;
  const { holdingIdentity } = virtualNode;
  const trust = state.group?.rules.p2p;
  const fault = trust === undefined ? undefined : await setupFault(body, { x500Name: holdingIdentity.x500Name, trust, at: now });
  if (fault !== undefined) return { state, effects: answered(request, refused('MEMBER_CERTIFICATES_INVALID', fault)) };
  const hosted = hostedOf(holdingIdentity, body);
  const subject = state.group?.rules.p2p.tlsType === 'Mutual' ? state.hosted?.tlsCertificate?.subject : undefined;
  if (subject !== undefined && hosted.tlsCertificate?.subject !== subject) {
    return { state, effects: answered(request, refused('MEMBER_TLS_SUBJECT', `the network's group policy names the TLS certificate of its manager: a new one must be of the same subject, ${subject}`)) };
  }
  return { state: { ...state, hosted }, effects: [hostedIdentityRecord(hosted), ...answered(request, { type: 'done', value: {} })] };
};

export type MgmInput = {
  readonly before: MgmState | undefined;
  readonly events: readonly MemberEvent[];
  readonly facts: MgmFacts;
  /** Requests that have ended, where they were asked for. */
  readonly history: readonly Request[];
  readonly onRefused: (reason: string) => void;
};

const stepOne = (state: MgmState, event: MemberEvent, { before, facts, history }: MgmInput): Promise<Concluded> | Concluded => {
  switch (event.type) {
    case 'registration': {
      const { request } = event;
      if (isRegister(request)) return register(state, request, facts);
      const { body } = request;
      return { state, effects: body.type === 'status' ? answered(request, statusOf((before ?? newMgmState).registrations, true, body)) : [] };
    }
    case 'answer':
      return hearAnswer(state, event, facts);
    case 'received':
      return hearReceived(state, event.message, facts);
    case 'listed':
      return hearListed(state, event.notice, facts.now);
    case 'set-up':
      return setUp(state, event.request, facts);
    case 'mgm':
      return onCommand(state, event.request, facts, history);
    case 'wake':
      return expire(state, facts);
    case 'group':
    case 'departure':
      return { state, effects: [] };
  }
};

export type SteppedMgm =
  | { readonly type: 'stepped'; readonly state: MgmState; readonly effects: readonly OutRecord[]; readonly itemsAdded: readonly StoredItem<Request>[]; readonly itemsRemoved: readonly number[] }
  | { readonly type: 'later'; readonly reason: string };

/** Concluded requests are items, numbered as they ended; the oldest make room. */
const itemsOf = (before: number, concluded: readonly Request[]): Pick<Extract<SteppedMgm, { type: 'stepped' }>, 'itemsAdded' | 'itemsRemoved'> => {
  const itemsAdded = concluded.map((value, n) => ({ position: before + n + 1, value }));
  return { itemsAdded, itemsRemoved: itemsAdded.map(({ position }) => position - historyMax).filter((position) => position > 0) };
};

export const stepMgm = async (input: MgmInput): Promise<SteppedMgm> => {
  const { facts, onRefused } = input;
  let state = input.before ?? newMgmState;
  const endedBefore = state.endedCount;
  const effects: OutRecord[] = [];
  const concluded: Request[] = [];
  for (const event of input.events) {
    const stepped = await stepOne(state, event, input);
    if (stepped.later !== undefined) return { type: 'later', reason: stepped.later };
    if (stepped.refusal !== undefined) onRefused(stepped.refusal);
    state = stepped.state;
    effects.push(...stepped.effects);
    concluded.push(...(stepped.concluded ?? []));
  }
  const published = publish(state, facts);
  return { type: 'stepped', state: published.state, effects: [...effects, ...published.effects], ...itemsOf(endedBefore, concluded) };
};

export const mgmDueAt = queueDueAt;
