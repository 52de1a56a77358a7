/** A registration under way, from the keys that its context names to the message that the manager gets: what is asked, and what comes of the answers. */
import { toBase64url, utf8 } from '../../../cipher/bytes.ts';
import { canonicalJson } from '../../../cipher/canonical-json.ts';
import { deriveId, pairTagOf } from '../../../identity/derive.ts';
import { allToCryptoKey } from '../../../messages/all-to-crypto.key.ts';
import { allToCryptoSign } from '../../../messages/all-to-crypto.sign.ts';
import { allToMemberAnswer } from '../../../messages/all-to-member.answer.ts';
import { encode } from '../../../messages/grammar/envelope.ts';
import type { OutRecord } from '../../../messages/grammar/record.ts';
import type { Member } from '../../../messages/member-to-all.member.ts';
import { memberToCryptoSeal } from '../../../messages/member-to-crypto.seal.ts';
import { memberToLinkManagerUnauthenticated } from '../../../messages/member-to-link-manager.unauthenticated.ts';
import { memberToMemberGroup } from '../../../messages/member-to-member.group.ts';
import { memberContextBytesMax, peerMessageTtlMs, resendMsMax, resendMsMin, askAgainMs } from '../config.ts';
import type { AnswerEvent } from '../event.ts';
import { hostedIdentityRecord } from '../publication.ts';
import { endpointsIn, keysIn, type ContextKey } from '../peer/context-map.ts';
import { contextInput, requestInput } from '../peer/entry.ts';
import { certificatesFault, isTooLong } from '../peer/session-certificates.ts';
import { sealInfo, type RegistrationRequest, type SignedRequest } from '../peer/peer-message.ts';
import { askToSign, say, shortHashOf } from '../peer/say.ts';
import { ended, update } from '../registrations.ts';
import { parseJoinContext, type JoinContext } from './context.ts';
import { fitKey, memberContextOf } from './member-context.ts';
import { firstParameters, managerOf, type Manager } from './policy.ts';
import type { Joining, JoiningFacts, JoiningState, Stepped } from './state.ts';

export type Work = { readonly state: JoiningState; readonly facts: JoiningFacts; readonly now: number };

export const forgetRecord = (groupId: string, x500Name: string, registrationId: string): OutRecord =>
  encode(memberToMemberGroup, { key: groupId, id: `${registrationId}/forget`, body: { type: 'forget', groupId, x500Name, registrationId } });

type Asked = { readonly id: string; readonly record: OutRecord };

const answersTo = (key: string) => ({ topic: allToMemberAnswer.topic, key });

const endWork = ({ state, facts, now }: Work, { registrationId }: Joining, status: 'INVALID' | 'FAILED', reason: string): Stepped<JoiningState> => {
  const { groupId, x500Name } = facts.virtualNode.holdingIdentity;
  return {
    state: { ...state, progress: null, registrations: ended(state.registrations, registrationId, { status, reason, now }) },
    effects: [forgetRecord(groupId, x500Name, registrationId)],
  };
};

const ask = ({ state }: Work, progress: Joining, stage: Joining['stage'], asked: readonly Asked[]): Stepped<JoiningState> => ({
  state: { ...state, progress: { ...progress, stage, waiting: asked.map(({ id }) => id) } },
  effects: asked.map(({ record }) => record),
});

const contextOf = ({ state, facts }: Work, { registrationId }: Joining): JoinContext => {
  const submitted = state.registrations.find((one) => one.registrationId === registrationId)?.memberInfoSubmitted ?? {};
  const parsed = parseJoinContext(submitted, facts.virtualNode.holdingIdentity.x500Name);
  // It was parsed when the registration began, by the same rules.
  if (parsed.type === 'invalid') throw new Error(`the context of registration ${registrationId} cannot be read any more: ${parsed.reason}`);
  return parsed.context;
};

/** The policy was found fit when the registration began, and a virtual node's policy does not change. */
const managerFor = ({ facts }: Work): Manager => {
  const manager = managerOf(facts.policy);
  if (typeof manager === 'string') throw new Error(manager);
  return manager;
};

// ── Finding ──────────────────────────────────────────────────────────────────────────────────────────────────────────

export const beginWork = (state: JoiningState, registrationId: string, facts: JoiningFacts, now: number): Stepped<JoiningState> => {
  const tenant = facts.virtualNode.holdingIdentity.shortHash;
  const progress: Joining = {
    registrationId, stage: 'finding', waiting: [], keys: [], request: null, signatures: [], signature: null, payload: null, sends: 0, sendAt: null, giveUpAt: now + facts.times.giveUpMs,
  };
  const work: Work = { state, facts, now };
  const asked = contextOf(work, progress).keys.map(({ id: keyId }): Asked => {
    const id = `${registrationId}/find/${keyId}`;
    return { id, record: encode(allToCryptoKey, { key: tenant, id, replyTo: answersTo(tenant), body: { type: 'find', tenant, ids: [keyId] } }) };
  });
  return ask(work, progress, 'finding', asked);
};

// ── Signing ──────────────────────────────────────────────────────────────────────────────────────────────────────────

const fitKeys = (progress: Joining, context: JoinContext): readonly ContextKey[] | string => {
  const fit: ContextKey[] = [];
  for (const chosen of context.keys) {
    const key = fitKey(chosen, progress.keys);
    if (typeof key === 'string') return key;
    fit.push(key);
  }
  return fit;
};

const requestOf = (work: Work, progress: Joining, context: JoinContext, keys: readonly ContextKey[]): RegistrationRequest => {
  const { facts: { virtualNode, cpi, policy: { p2p } }, state, now } = work;
  const { x500Name, groupId } = virtualNode.holdingIdentity;
  const { registrationId } = progress;
  const serial = state.listed?.serial ?? 0;
  const tlsSubject = p2p.tlsType === 'Mutual' ? state.hosted?.tlsCertificate?.subject : undefined;
  return {
    v: 1, registrationId, groupId, x500Name, manager: managerFor(work).member.x500Name, serial, token: context.token ?? null, sentAt: now,
    memberContext: memberContextOf({ x500Name, groupId, registrationId, serial, cpi, context, keys, tlsSubject, certificates: p2p.sessionPki === 'NoPKI' ? {} : state.certificates }),
  };
};

const contextFault = async ({ facts: { policy }, now }: Work, { memberContext, x500Name }: RegistrationRequest): Promise<string | undefined> => {
  const fault = await certificatesFault(memberContext, { x500Name, trust: policy.p2p, at: now });
  if (fault !== undefined) return `${fault} (PUT /network/setup names the chain of each session key by sessionCertificateChainAlias)`;
  return isTooLong(memberContext) ? `the member context is larger than ${memberContextBytesMax} bytes` : undefined;
};

const sign = async (work: Work, progress: Joining): Promise<Stepped<JoiningState>> => {
  const { state } = work;
  const context = contextOf(work, progress);
  const keys = fitKeys(progress, context);
  if (typeof keys === 'string') return endWork(work, progress, 'INVALID', keys);
  const session = context.keys.flatMap(({ use, id }, n) => (use === 'session' ? [{ id, ...keys[n]! }] : []));
  if (!session.some(({ publicKey }) => publicKey === state.hosted?.sessionKey.publicKey)) {
    return endWork(work, progress, 'INVALID', 'corda.session.keys do not name the preferred session key of PUT /network/setup: nobody could be sure of the handshakes of this member');
  }
  const tenant = work.facts.virtualNode.holdingIdentity.shortHash;
  const request = requestOf(work, progress, context, keys);
  const fault = await contextFault(work, request);
  if (fault !== undefined) return endWork(work, progress, 'INVALID', fault);
  const input = contextInput(request.memberContext);
  const asked = session.map(({ id: keyId, spec }): Asked => {
    const id = `${progress.registrationId}/sign/${keyId}`;
    return { id, record: askToSign({ tenant, keyId, spec, id, input }) };
  });
  const id = `${progress.registrationId}/sign-request`;
  asked.push({ id, record: askToSign({ tenant, keyId: session[0]!.id, spec: session[0]!.spec, id, input: requestInput(request) }) });
  return ask(work, { ...progress, request }, 'signing', asked);
};

// ── Announcing ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** As this cluster sees the member until the list shows it: enough for a session with the manager. */
const pendingMember = ({ request }: Joining, serial: number): Member => {
  const { groupId, x500Name, memberContext } = request!;
  return {
    groupId, x500Name, status: 'PENDING', serial, memberContext, mgmContext: { 'corda.status': 'PENDING' },
    endpoints: [...endpointsIn(memberContext)], sessionKeys: [...keysIn(memberContext, 'session')], ledgerKeys: [...keysIn(memberContext, 'ledger')],
  };
};

const signedOf = ({ request, signature, signatures }: Joining): SignedRequest => ({ request: request!, signature: signature!, signatures: [...signatures] });

export const sealAad = (groupId: string, manager: string): string => toBase64url(utf8(`${groupId}/${manager}`));

const announce = (work: Work, progress: Joining): Stepped<JoiningState> => {
  const { facts: { policy, virtualNode }, state } = work;
  const { groupId, shortHash } = virtualNode.holdingIdentity;
  const { member: manager, agreementKey, clientSubject } = managerFor(work);
  const signed = signedOf(progress);
  const pendingId = `${progress.registrationId}/pending`;
  const announced = encode(memberToMemberGroup, {
    key: groupId, id: pendingId, replyTo: answersTo(shortHash),
    body: { type: 'pending', groupId, pending: pendingMember(progress, Math.max(1, state.listed?.serial ?? 0)), first: { manager, parameters: firstParameters(policy), clientSubject: clientSubject ?? null } },
  });
  const asked: Asked[] = [{ id: pendingId, record: announced }];
  // A member speaks on its session, which proves it; nobody else has one.
  if (state.listed !== null) return ask(work, { ...progress, payload: JSON.stringify({ type: 'register', v: 1, signed }) }, 'announcing', asked);
  const id = `${progress.registrationId}/seal`;
  const plaintext = toBase64url(utf8(canonicalJson(signed)));
  const body = { type: 'seal' as const, tenant: shortHash, publicKey: agreementKey, info: sealInfo, aad: sealAad(groupId, manager.x500Name), plaintext };
  asked.push({ id, record: encode(memberToCryptoSeal, { key: shortHash, id, replyTo: answersTo(shortHash), body }) });
  return ask(work, progress, 'announcing', asked);
};

// ── Sending ──────────────────────────────────────────────────────────────────────────────────────────────────────────

const transmit = ({ state, facts, now }: Work, progress: Joining, manager: Manager): OutRecord => {
  const { groupId, x500Name } = facts.virtualNode.holdingIdentity;
  const to = manager.member.x500Name;
  const id = `${progress.registrationId}/${progress.sends}`;
  if (state.listed !== null) {
    // What it was written as; parsed back so that one place makes messages.
    const message = JSON.parse(progress.payload!) as { type: 'register'; v: 1; signed: SignedRequest };
    return say({ from: { groupId, x500Name }, to, receiverKey: shortHashOf(to, groupId), id, expiresAt: now + peerMessageTtlMs, message });
  }
  const { endpoints } = manager.member;
  const messageId = deriveId('registration-message', id);
  const address = endpoints[progress.sends % endpoints.length]!.url;
  return encode(memberToLinkManagerUnauthenticated, {
    key: pairTagOf(groupId, x500Name, to), id: messageId,
    body: { messageId, groupId, source: x500Name, destination: to, address, payload: progress.payload! },
  });
};

const isAnswered = ({ giveUpAt }: Joining): boolean => giveUpAt === Number.MAX_SAFE_INTEGER;

/** Sends, and says when the next repeat is due: soon at first, then every 40 s; once the manager has answered, seldom, to learn what was lost. */
const send = (work: Work, progress: Joining): Stepped<JoiningState> => {
  const { state, facts, now } = work;
  const { registrationId, sends } = progress;
  const wait = isAnswered(progress) ? askAgainMs : Math.min(resendMsMax, resendMsMin * 2 ** Math.min(sends, 10));
  const next: Joining = { ...progress, stage: 'sending', waiting: [], sends: sends + 1, sendAt: now + wait };
  const registration = state.registrations.find((one) => one.registrationId === registrationId);
  const registrations = registration?.registrationStatus === 'NEW' ? update(state.registrations, registrationId, { registrationStatus: 'SENT_TO_MGM', registrationUpdated: now }) : state.registrations;
  const hosted = hostedWithSpec(state, progress);
  return {
    state: { ...state, progress: next, registrations, hosted },
    effects: [...(hosted === state.hosted || hosted === null ? [] : [hostedIdentityRecord(hosted)]), transmit({ state, facts, now }, progress, managerFor(work))],
  };
};

/** Handshakes are signed in the spec that the member list will show. */
const hostedWithSpec = ({ hosted }: JoiningState, { request }: Joining): JoiningState['hosted'] => {
  const listed = keysIn(request!.memberContext, 'session').find(({ publicKey }) => publicKey === hosted?.sessionKey.publicKey);
  return hosted === null || listed === undefined || listed.spec === hosted.sessionKey.spec ? hosted : { ...hosted, sessionKey: { ...hosted.sessionKey, spec: listed.spec } };
};

/** A gateway that does not know the certificate refuses its packets without a word to us. */
const mutualHint = ({ state, facts }: Work): string =>
  facts.policy.p2p.tlsType === 'Mutual' ? ` And has its operator allowed the client certificate ${state.hosted?.tlsCertificate?.subject ?? ''}?` : '';

export const transmitDue = (work: Work): Stepped<JoiningState> => {
  const { state, now } = work;
  const { progress } = state;
  if (progress?.stage !== 'sending' || progress.sendAt === null || now < progress.sendAt) return { state, effects: [] };
  if (now >= progress.giveUpAt) {
    return endWork(work, progress, 'FAILED', `the manager of the network did not answer within ${work.facts.times.giveUpMs / 60_000} minutes: is its gateway reachable at ${managerFor(work).member.endpoints[0]!.url}?${mutualHint(work)}`);
  }
  return send(work, progress);
};

// ── Answers ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/** What one answer adds, or `undefined` where it is not what was asked for. */
const takeAnswer = (progress: Joining, requestId: string, value: unknown): Joining | undefined => {
  switch (progress.stage) {
    case 'finding': {
      const found = allToCryptoKey.reply?.safeParse(value).data?.keys;
      return found === undefined ? undefined : { ...progress, keys: [...progress.keys, ...found] };
    }
    case 'signing': {
      const signed = allToCryptoSign.reply?.safeParse(value).data;
      if (signed === undefined) return undefined;
      return requestId.endsWith('/sign-request') ? { ...progress, signature: signed.signature } : { ...progress, signatures: [...progress.signatures, signed] };
    }
    case 'announcing': {
      if (requestId.endsWith('/pending')) return progress;
      const sealed = memberToCryptoSeal.reply?.safeParse(value).data;
      return sealed?.type === 'sealed' ? { ...progress, payload: JSON.stringify({ v: 1, sealed: sealed.sealed }) } : undefined;
    }
    case 'sending':
      return undefined;
  }
};

export const hearAnswer = async (work: Work, { requestId, outcome }: AnswerEvent): Promise<Stepped<JoiningState>> => {
  const { state } = work;
  const { progress } = state;
  // Of an earlier registration, or heard before.
  if (progress === null || !progress.waiting.includes(requestId)) return { state, effects: [] };
  if (outcome.type === 'refused') return endWork(work, progress, 'FAILED', `${outcome.message} (${outcome.code})`);
  const taken = takeAnswer(progress, requestId, outcome.value);
  if (taken === undefined) return endWork(work, progress, 'FAILED', 'crypto answered something else than it was asked for');
  const heard: Joining = { ...taken, waiting: taken.waiting.filter((id) => id !== requestId) };
  const after: Work = { ...work, state: { ...state, progress: heard } };
  if (heard.waiting.length > 0) return { state: after.state, effects: [] };
  switch (heard.stage) {
    case 'finding':
      return sign(after, heard);
    case 'signing':
      return announce(after, heard);
    case 'announcing':
    case 'sending':
      return send(after, heard);
  }
};
