/**
 * Requests to join or to change, at the manager. One of a name is under way at a time.
 *
 *     stranger: sealed ──▶ opening ──┐
 *     member: on its session ────────┴─▶ RECEIVED_BY_MGM ─▶ STARTED_PROCESSING_BY_MGM ─▶ PENDING_MEMBER_VERIFICATION
 *                                          │ (rules)           (this cluster knows it)       │ verified
 *                                          └──▶ DECLINED ◀── too old ────────────────────────┤
 *                                                   ▲                                        ▼
 *                                                operator ◀── PENDING_MANUAL_APPROVAL ◀── a rule │ none ──▶ APPROVED
 *
 * - **Q1** what is not signed by the session keys it names, is too old, names another group or manager, or comes by another's session, is
 *   refused without a trace; what was answered before is answered again and changes nothing;
 * - **Q2** a member changes itself by its session alone; a stranger never speaks for a member;
 * - **Q3** a request that nobody has verified gives way to a newer one of its name; one that is verified does not.
 */
import { fromBase64url, textOf, toBase64url, utf8 } from '../../../cipher/bytes.ts';
import { deriveId } from '../../../identity/derive.ts';
import { allToMemberAnswer } from '../../../messages/all-to-member.answer.ts';
import { encode } from '../../../messages/grammar/envelope.ts';
import type { OutRecord } from '../../../messages/grammar/record.ts';
import { memberToCryptoSeal } from '../../../messages/member-to-crypto.seal.ts';
import { memberToMemberGroup } from '../../../messages/member-to-member.group.ts';
import type { Member } from '../../../messages/member-to-all.member.ts';
import { canonicalName } from '../joining/context.ts';
import {
  clockSkewMs, contextKeyCharsMax, endedKeptMax, leavingMs, membersMax, openingMax, openingMs, peerMessageTtlMs, reasonCharsMax, requestMsMax, requestsMax, type MemberTimes,
} from '../config.ts';
import type { AnswerEvent, Received } from '../event.ts';
import { endpointsIn, keysIn } from '../peer/context-map.ts';
import { isContextSigned, isSignedBy, requestInput } from '../peer/entry.ts';
import { readPeer, sealedRequest, sealInfo, type PeerMessage, type SignedRequest } from '../peer/peer-message.ts';
import { say, shortHashOf } from '../peer/say.ts';
import { certificatesFault, isTooLong } from '../peer/session-certificates.ts';
import { admissionFault, changedKeys, notaryOf } from './admission.ts';
import { parametersFor } from './group-parameters.ts';
import { mgmContextOf } from './roster.ts';
import { someMatches } from './rule-regex.ts';
import { standingOf, type MgmFacts, type MgmState, type MgmStepped, type Request } from './state.ts';

const unchanged = (state: MgmState, refusal?: string): MgmStepped => ({ state, effects: [], ...(refusal === undefined ? {} : { refusal }) });

// ── Telling the member ───────────────────────────────────────────────────────────────────────────────────────────────

const tell = ({ virtualNode: { holdingIdentity: own }, now }: MgmFacts, to: string, id: string, message: PeerMessage): OutRecord =>
  say({ from: own, to, receiverKey: shortHashOf(to, own.groupId), id, expiresAt: now + peerMessageTtlMs, message });

type Status = Pick<Request, 'registrationId' | 'x500Name' | 'status' | 'reason'>;

const tellStatus = (facts: MgmFacts, { registrationId, x500Name, status, reason }: Status, again = ''): OutRecord =>
  tell(facts, x500Name, `${registrationId}/${status}${again}`, { type: 'status', v: 1, registrationId, status, reason });

const put = (state: MgmState, request: Request): MgmState => ({ ...state, requests: { ...state.requests, [request.registrationId]: request } });

const take = (state: MgmState, { registrationId }: Request): MgmState => {
  const { [registrationId]: _taken, ...requests } = state.requests;
  return { ...state, requests };
};

/** The request has ended: it leaves the queue, and its last status is remembered. */
const conclude = (state: MgmState, request: Request): MgmState => {
  const { registrationId, x500Name, status, reason } = request;
  return { ...take(state, request), ended: [...state.ended, { registrationId, x500Name, status, reason }].slice(-endedKeptMax), endedCount: state.endedCount + 1 };
};

/** The concluded request is also an item, for the operator to read. */
export type Concluded = MgmStepped & { readonly concluded?: readonly Request[] };

export const decline = (state: MgmState, request: Request, reason: string, facts: MgmFacts): Concluded => {
  const { now } = facts;
  const { registrationId, x500Name } = request;
  const declined: Request = { ...request, status: 'DECLINED', reason: reason.slice(0, reasonCharsMax), updatedAt: now };
  const next = conclude(state, declined);
  const stranger = standingOf(state, x500Name) === undefined;
  return {
    state: stranger ? { ...next, leaving: { ...next.leaving, [registrationId]: { x500Name, at: now + leavingMs } } } : next,
    effects: [tellStatus(facts, declined)],
    concluded: [declined],
  };
};

// ── Receiving ────────────────────────────────────────────────────────────────────────────────────────────────────────

const sealAad = (groupId: string, manager: string): string => toBase64url(utf8(`${groupId}/${manager}`));

/** A stranger's message: crypto opens it. */
export const openSealed = (state: MgmState, { payload, source }: Received, { virtualNode, now }: MgmFacts): MgmStepped => {
  const { groupId, x500Name, shortHash } = virtualNode.holdingIdentity;
  const read = readPeer(sealedRequest, payload);
  if (read === undefined || state.group === null) return unchanged(state, 'no sealed request');
  const id = deriveId('open', payload);
  const opening = Object.fromEntries(Object.entries(state.opening).filter(([, { at }]) => now < at + openingMs));
  if (opening[id] !== undefined) return unchanged(state);
  if (Object.keys(opening).length >= openingMax) return unchanged(state, `${openingMax} sealed requests are being opened`);
  const body = { type: 'open' as const, tenant: shortHash, keyId: state.group.agreementKeyId, category: 'PRE_AUTH' as const, info: sealInfo, aad: sealAad(groupId, x500Name), sealed: read.sealed };
  const record = encode(memberToCryptoSeal, { key: shortHash, id, replyTo: { topic: allToMemberAnswer.topic, key: shortHash }, body });
  return { state: { ...state, opening: { ...opening, [id]: { source, at: now } } }, effects: [record] };
};

/** What a stranger said, to this manager alone; and the state without the question. */
export type Opened = { readonly state: MgmState; readonly said: { readonly text: string; readonly source: string } | undefined };

export const takeOpened = (before: MgmState, { requestId, outcome }: AnswerEvent): Opened => {
  const { [requestId]: asked, ...opening } = before.opening;
  const state: MgmState = { ...before, opening };
  const opened = outcome.type === 'done' ? memberToCryptoSeal.reply?.safeParse(outcome.value).data : undefined;
  if (asked === undefined || opened?.type !== 'opened') return { state, said: undefined };
  try {
    return { state, said: { text: textOf(fromBase64url(opened.plaintext)), source: asked.source } };
  } catch {
    // No text, then: nothing that reads as a message.
    return { state, said: { text: '', source: asked.source } };
  }
};

type Incoming = { readonly signed: SignedRequest; readonly source: string; readonly onSession: boolean };

/** Q1: why it is refused without a trace. */
const forgeryOf = async (state: MgmState, { signed: { request, signature, signatures }, source, onSession }: Incoming, { virtualNode, now }: MgmFacts): Promise<string | undefined> => {
  const { groupId, x500Name } = virtualNode.holdingIdentity;
  const { memberContext: context } = request;
  if (request.groupId !== groupId || request.manager !== x500Name) return 'it is for another group or manager';
  if (request.x500Name !== source || canonicalName(source) !== source || source === x500Name) return 'it does not come from whom it names';
  if (onSession !== (standingOf(state, source) !== undefined)) return onSession ? 'it came on a session of no member' : 'a member registers anew on its session';
  if (context['corda.name'] !== source || context['corda.groupId'] !== groupId || context['corda.registration.id'] !== request.registrationId) return 'its context is of another request';
  if (context['corda.serial'] !== String(request.serial)) return 'its context names another serial';
  if (isTooLong(context)) return 'its context is too long';
  if (Object.keys(context).some(({ length }) => length > contextKeyCharsMax)) return 'a key of its context is too long';
  if (now > request.sentAt + requestMsMax || request.sentAt > now + clockSkewMs) return 'it is too old, or of the future';
  const [first] = keysIn(context, 'session');
  if (first === undefined || !(await isSignedBy(first, requestInput(request), signature))) return 'it is not signed by the first session key it names';
  return (await isContextSigned(context, signatures)) ? undefined : 'its context is not signed by the session keys it names';
};

const unverified = ['RECEIVED_BY_MGM', 'STARTED_PROCESSING_BY_MGM', 'PENDING_MEMBER_VERIFICATION'] as const;
const isUnverified = ({ status }: Request): boolean => unverified.some((one) => one === status);

export const receive = async (state: MgmState, incoming: Incoming, facts: MgmFacts): Promise<Concluded> => {
  const { request: asked, signatures } = incoming.signed;
  const { registrationId, x500Name } = asked;
  const before = state.requests[registrationId] ?? state.ended.find((one) => one.registrationId === registrationId);
  if (before !== undefined) {
    // Told again, in case it was lost; the time makes it another message.
    return before.x500Name !== incoming.source ? unchanged(state, 'the id of another request') : { state, effects: [tellStatus(facts, before, `/${facts.now}`)] };
  }
  const forgery = await forgeryOf(state, incoming, facts);
  if (forgery !== undefined) return unchanged(state, forgery);
  const earlier = Object.values(state.requests).find((one) => one.x500Name === x500Name);
  if (earlier !== undefined && !isUnverified(earlier)) return unchanged(state, `a request of ${x500Name} is under way`);
  if (earlier === undefined && Object.keys(state.requests).length >= requestsMax) return unchanged(state, `${requestsMax} requests are under way`);
  if (Object.keys(state.roster).length + Object.keys(state.requests).length >= membersMax) return unchanged(state, `the network has ${membersMax} members`);
  const { now } = facts;
  const request: Request = {
    registrationId, x500Name, status: 'RECEIVED_BY_MGM', sentAt: asked.sentAt, receivedAt: now, updatedAt: now,
    memberContext: asked.memberContext, signatures, token: asked.token, serial: asked.serial, reason: null,
  };
  const superseded = earlier === undefined ? undefined : decline(state, earlier, 'a newer request of the same name took its place', facts);
  const begun: Concluded = incoming.onSession ? await judge(put(superseded?.state ?? state, request), request, facts) : introduce(put(superseded?.state ?? state, request), request, facts);
  return { ...begun, effects: [...(superseded?.effects ?? []), ...begun.effects], concluded: [...(superseded?.concluded ?? []), ...(begun.concluded ?? [])] };
};

/** This cluster must know the stranger before a session with it is possible. */
const introduce = (state: MgmState, { registrationId, x500Name, memberContext }: Request, { virtualNode }: MgmFacts): MgmStepped => {
  const { groupId, shortHash } = virtualNode.holdingIdentity;
  const pending: Member = {
    groupId, x500Name, status: 'PENDING', serial: 1, memberContext: { ...memberContext }, mgmContext: { 'corda.status': 'PENDING' },
    endpoints: [...endpointsIn(memberContext)], sessionKeys: [...keysIn(memberContext, 'session')], ledgerKeys: [],
  };
  const record = encode(memberToMemberGroup, {
    key: groupId, id: introducedId(registrationId), replyTo: { topic: allToMemberAnswer.topic, key: shortHash },
    body: { type: 'pending', groupId, pending, first: null },
  });
  return { state, effects: [record] };
};

const introducedSuffix = '/introduced';
const introducedId = (registrationId: string): string => `${registrationId}${introducedSuffix}`;

export const hearIntroduced = (state: MgmState, { requestId }: AnswerEvent, facts: MgmFacts): Promise<Concluded> | Concluded => {
  const request = requestId.endsWith(introducedSuffix) ? state.requests[requestId.slice(0, -introducedSuffix.length)] : undefined;
  return request?.status === 'RECEIVED_BY_MGM' ? judge(state, request, facts) : unchanged(state);
};

// ── Judging ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Why it is not granted, whatever an operator thinks of it; things may have changed since it was looked at last. */
const refusalOf = async (state: MgmState, request: Request, facts: MgmFacts): Promise<string | undefined> => {
  const { now } = facts;
  const { x500Name, memberContext } = request;
  const current = standingOf(state, x500Name) === undefined ? undefined : facts.member(x500Name);
  const fault = admissionFault({ state, request, current, now });
  if (fault !== undefined || state.group === null) return fault;
  return certificatesFault(memberContext, { x500Name, trust: state.group.rules.p2p, at: now });
};

/** By the network's rules; then the member is asked to prove that it is reachable and holds its key. */
const judge = async (state: MgmState, request: Request, facts: MgmFacts): Promise<Concluded> => {
  const { now } = facts;
  const { registrationId, x500Name } = request;
  const received = tellStatus(facts, { ...request, status: 'RECEIVED_BY_MGM' });
  const reason = await refusalOf(state, request, facts);
  if (reason !== undefined) {
    const declined = decline(state, request, reason, facts);
    return { ...declined, effects: [received, ...declined.effects] };
  }
  const asked: Request = { ...request, status: 'PENDING_MEMBER_VERIFICATION', updatedAt: now };
  return { state: put(state, asked), effects: [received, tell(facts, x500Name, `${registrationId}/verify`, { type: 'verify', v: 1, registrationId })] };
};

export const hearVerified = (state: MgmState, source: string, registrationId: string, facts: MgmFacts): Promise<Concluded> | Concluded => {
  const request = state.requests[registrationId];
  if (request?.x500Name !== source || request.status !== 'PENDING_MEMBER_VERIFICATION') return unchanged(state);
  const { now } = facts;
  const before = facts.member(source);
  const known = standingOf(state, source) === undefined ? {} : (before?.memberContext ?? {});
  const rules = state.rules[request.token === null ? 'standard' : 'preauth'];
  const keys = changedKeys(known, request.memberContext);
  if (!someMatches(rules.map(({ ruleRegex }) => ruleRegex), keys)) return approve(state, { ...request, status: 'PENDING_AUTO_APPROVAL' }, facts);
  const waiting: Request = { ...request, status: 'PENDING_MANUAL_APPROVAL', updatedAt: now };
  return { state: put(state, waiting), effects: [tellStatus(facts, waiting)] };
};

/** The member stands in the next version of the list, with its next serial. */
export const approve = async (state: MgmState, request: Request, facts: MgmFacts): Promise<Concluded> => {
  const { now, virtualNode } = facts;
  const { x500Name, memberContext, signatures, token } = request;
  const reason = await refusalOf(state, request, facts);
  if (reason !== undefined) return decline(state, request, reason, facts);
  const known = standingOf(state, x500Name);
  const standing = { serial: (known?.serial ?? 0) + 1, status: known?.status === 'SUSPENDED' ? ('SUSPENDED' as const) : ('ACTIVE' as const), createdAt: known?.createdAt ?? now };
  const entry = { x500Name, status: standing.status, serial: standing.serial, memberContext: { ...memberContext }, signatures: [...signatures], mgmContext: mgmContextOf(standing, now) };
  const notary = notaryOf(memberContext);
  const approved: Request = { ...request, status: 'APPROVED', updatedAt: now, reason: null };
  const listed: MgmState = {
    ...conclude(state, approved),
    changed: { ...state.changed, [x500Name]: entry },
    notaries: notary === undefined ? state.notaries : { ...state.notaries, [x500Name]: notary },
    tokens: token === null ? state.tokens : { ...state.tokens, [token]: { ...state.tokens[token]!, status: 'CONSUMED' } },
    leaving: Object.fromEntries(Object.entries(state.leaving).filter(([, gone]) => gone.x500Name !== x500Name)),
  };
  return { state: withParameters(listed, virtualNode.holdingIdentity.groupId, now), effects: [], concluded: [{ ...approved, serial: standing.serial }] };
};

/** The group parameters as they follow from the state: a new epoch where they say something else. */
export const withParameters = (state: MgmState, groupId: string, now: number): MgmState => {
  const { parameters, custom, notaries } = state;
  if (parameters === null) return state;
  const active = Object.fromEntries(Object.entries(notaries).filter(([name]) => standingOf(state, name)?.status === 'ACTIVE'));
  const input = { groupId, p2p: parameters.p2p, custom, notaries: active };
  const same = JSON.stringify(parametersFor({ ...input, epoch: 0, now: 0 }).parameters);
  const { 'corda.epoch': _epoch, 'corda.modifiedTime': _time, ...rest } = parameters.parameters;
  if (same === JSON.stringify({ ...rest, 'corda.epoch': '0', 'corda.modifiedTime': new Date(0).toISOString() })) return state;
  return { ...state, parameters: parametersFor({ ...input, epoch: parameters.epoch + 1, now }), parametersChanged: true };
};

// ── Time ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

const deadlineOf = ({ receivedAt, updatedAt, status }: Request, { verificationMs }: MemberTimes): number | undefined =>
  status === 'PENDING_MANUAL_APPROVAL' ? undefined : status === 'PENDING_MEMBER_VERIFICATION' ? updatedAt + verificationMs : receivedAt + verificationMs;

export const queueDueAt = ({ requests, leaving }: MgmState, times: MemberTimes): number | undefined => {
  const dues = [...Object.values(requests).flatMap((one) => deadlineOf(one, times) ?? []), ...Object.values(leaving).map(({ at }) => at)];
  return dues.length === 0 ? undefined : Math.min(...dues);
};

/** Requests that nobody answered are declined; names that came to nothing are forgotten here, once their owners were told. */
export const expire = (state: MgmState, facts: MgmFacts): Concluded => {
  const { now, virtualNode } = facts;
  const { groupId } = virtualNode.holdingIdentity;
  let next = state;
  const effects: OutRecord[] = [];
  const concluded: Request[] = [];
  for (const request of Object.values(state.requests)) {
    if (now < (deadlineOf(request, facts.times) ?? Number.POSITIVE_INFINITY)) continue;
    const declined = decline(next, request, 'the member did not answer in time', facts);
    next = declined.state;
    effects.push(...declined.effects);
    concluded.push(...(declined.concluded ?? []));
  }
  const gone = Object.entries(next.leaving).filter(([, { at }]) => now >= at);
  for (const [registrationId, { x500Name }] of gone) {
    effects.push(encode(memberToMemberGroup, { key: groupId, id: `${registrationId}/forget`, body: { type: 'forget', groupId, x500Name, registrationId } }));
  }
  const leaving = Object.fromEntries(Object.entries(next.leaving).filter(([, { at }]) => now < at));
  return { state: gone.length === 0 ? next : { ...next, leaving }, effects, concluded };
};
