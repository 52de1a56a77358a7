/**
 * A member's virtual node is deleted. Its sessions end with it, so the manager is told by a message of no session, signed and sealed as a
 * registration is; it suspends the member. The message is sent once: whoever misses it sees a member that does not answer.
 *
 *     departure ──▶ signing ──▶ sealing ──▶ told; the cluster forgets the identity, and db is answered
 *                      └───────────┴──▶ (crypto refuses, or takes too long) the same, without the manager's being told
 */
import { toBase64url, utf8 } from '../../../cipher/bytes.ts';
import { canonicalJson } from '../../../cipher/canonical-json.ts';
import { deriveId, pairTagOf } from '../../../identity/derive.ts';
import { allToCryptoSign } from '../../../messages/all-to-crypto.sign.ts';
import { allToMemberAnswer } from '../../../messages/all-to-member.answer.ts';
import { encode } from '../../../messages/grammar/envelope.ts';
import type { OutRecord } from '../../../messages/grammar/record.ts';
import { memberToCryptoSeal } from '../../../messages/member-to-crypto.seal.ts';
import { memberToLinkManagerUnauthenticated } from '../../../messages/member-to-link-manager.unauthenticated.ts';
import { memberToMemberGroup } from '../../../messages/member-to-member.group.ts';
import { leavingAnswerMs } from '../config.ts';
import type { AnswerEvent, DepartureRequest, MemberEvent } from '../event.ts';
import { departureRecords } from '../on-departure.ts';
import { leaveInput } from '../peer/entry.ts';
import { sealInfo, type Leave } from '../peer/peer-message.ts';
import { askToSign } from '../peer/say.ts';
import { managerOf } from './policy.ts';
import type { JoiningFacts, JoiningState } from './state.ts';
import { sealAad } from './work.ts';

export type Leaving = {
  readonly request: Pick<DepartureRequest, 'key' | 'id' | 'body' | 'replyTo'>;
  readonly leave: Leave;
  /** The question to crypto whose answer is awaited. */
  readonly waiting: string;
  readonly giveUpAt: number;
};

type Step = { readonly state: JoiningState | null; readonly effects: readonly OutRecord[] };
type LeavingFacts = JoiningFacts & { readonly now: number };

const gone = (request: Leaving['request'], told: readonly OutRecord[] = []): Step => {
  const { groupId, x500Name } = request.body;
  const left = encode(memberToMemberGroup, { key: groupId, id: `${request.id}/left`, body: { type: 'left', groupId, x500Name } });
  return { state: null, effects: [...told, left, ...departureRecords(request, true)] };
};

const begin = (state: JoiningState, { key, id, body, replyTo }: DepartureRequest, { policy, now }: LeavingFacts): Step => {
  const request: Leaving['request'] = { key, id, body, ...(replyTo === undefined ? {} : { replyTo }) };
  // Asked again meanwhile: the later question is answered.
  if (state.leaving !== undefined) return { state: { ...state, leaving: { ...state.leaving, request } }, effects: [] };
  const manager = managerOf(policy);
  const { hosted, listed } = state;
  if (typeof manager === 'string' || hosted === null || listed === null) return gone(request);
  const { groupId, x500Name, shortHash: tenant } = body;
  const leave: Leave = { v: 1, type: 'leave', groupId, x500Name, manager: manager.member.x500Name, serial: listed.serial, sentAt: now };
  const waiting = `${id}/sign`;
  const { id: keyId, spec } = hosted.sessionKey;
  return { state: { ...state, progress: null, leaving: { request, leave, waiting, giveUpAt: now + leavingAnswerMs } }, effects: [askToSign({ tenant, keyId, spec, id: waiting, input: leaveInput(leave) })] };
};

const hear = (state: JoiningState, leaving: Leaving, { outcome }: AnswerEvent, { policy }: LeavingFacts): Step => {
  const { request, leave } = leaving;
  const manager = managerOf(policy);
  if (outcome.type === 'refused' || typeof manager === 'string') return gone(request);
  const { groupId, x500Name, shortHash } = request.body;
  const to = leave.manager;
  const signed = allToCryptoSign.reply?.safeParse(outcome.value).data;
  if (signed !== undefined) {
    const waiting = `${request.id}/seal`;
    const plaintext = toBase64url(utf8(canonicalJson({ leave, signature: signed.signature })));
    const body = { type: 'seal' as const, tenant: shortHash, publicKey: manager.agreementKey, info: sealInfo, aad: sealAad(groupId, to), plaintext };
    return { state: { ...state, leaving: { ...leaving, waiting } }, effects: [encode(memberToCryptoSeal, { key: shortHash, id: waiting, replyTo: { topic: allToMemberAnswer.topic, key: shortHash }, body })] };
  }
  const sealed = memberToCryptoSeal.reply?.safeParse(outcome.value).data;
  if (sealed?.type !== 'sealed') return gone(request);
  const messageId = deriveId('leaving-message', request.id);
  const told = encode(memberToLinkManagerUnauthenticated, {
    key: pairTagOf(groupId, x500Name, to), id: messageId,
    body: { messageId, groupId, source: x500Name, destination: to, address: manager.member.endpoints[0]!.url, payload: JSON.stringify({ v: 1, sealed: sealed.sealed }) },
  });
  return gone(request, [told]);
};

const stepOne = (state: JoiningState, event: MemberEvent, facts: LeavingFacts): Step => {
  const { leaving } = state;
  if (event.type === 'departure') return begin(state, event.request, facts);
  if (leaving === undefined) return { state, effects: [] };
  if (event.type === 'answer' && event.requestId === leaving.waiting) return hear(state, leaving, event, facts);
  return event.type === 'wake' && facts.now >= leaving.giveUpAt ? gone(leaving.request) : { state, effects: [] };
};

/** `null`: nothing is kept of it any more. What else is heard meanwhile finds that the virtual node is gone. */
export const stepLeaving = (before: JoiningState, events: readonly MemberEvent[], facts: LeavingFacts): Step => {
  let state: JoiningState | null = before;
  const effects: OutRecord[] = [];
  for (const event of events) {
    if (state === null) {
      if (event.type === 'departure') effects.push(...departureRecords(event.request, true));
      continue;
    }
    const stepped: Step = stepOne(state, event, facts);
    state = stepped.state;
    effects.push(...stepped.effects);
  }
  return { state, effects };
};
