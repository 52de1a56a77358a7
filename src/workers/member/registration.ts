/**
 * The registrations of one virtual node in a static network, stepped under its short hash.
 *
 *     register ──► NEW, finding ──► generating ──► joining ──► APPROVED
 *        │            │  (keys by alias; those missing are made; the group is joined)
 *        │            └──► FAILED (crypto refused) · DECLINED (the group refused)
 *        ├──► INVALID (the policy does not have this member, or has another key for it)
 *        └──► refused: nothing is kept
 *
 * - **R1** at most one registration is under way, and none after one was approved;
 * - **R2** what a registration publishes (member, hosted identity) leaves with the step that approves it, the group's part
 *   (parameters, members elsewhere) before it; a registration that ends otherwise publishes nothing;
 * - **R3** a status is answered from the state before the batch, whose effects are on the bus: who reads APPROVED finds
 *   everybody informed;
 * - **R4** a request that comes again, by its id, is answered again and begins nothing.
 */
import { defaultSpec } from '../../cipher/signature.ts';
import { allToCryptoKey, type PublicKeyInfo } from '../../messages/all-to-crypto.key.ts';
import { allToMemberAnswer } from '../../messages/all-to-member.answer.ts';
import type { VirtualNode } from '../../messages/db-to-all.virtual-node.ts';
import { encode, type Refusal } from '../../messages/grammar/envelope.ts';
import type { OutRecord } from '../../messages/grammar/record.ts';
import { memberToMemberGroup } from '../../messages/member-to-member.group.ts';
import type { StaticMember } from '../../packaging/group-policy.ts';
import { parseContext, type RegistrationContext } from './context.ts';
import type { MemberEvent } from './event.ts';
import { hostedMember, publicKeyPem, type MemberKey } from './member-info.ts';
import { tlsTypeFault, type Network, type StaticPolicy, type TlsType } from './network.ts';
import { hostedIdentityRecord, memberRecord } from './publication.ts';
import { findKeys, keyIn, makeKeys, slotsOf } from './registration-keys.ts';
import { answered, ended, isRegister, newRegistration, refused, remember, reply, statusOf, update, type Register } from './registrations.ts';
import { newMemberState, type MemberState, type Progress, type StoredRegistration } from './state.ts';

/** What the views say of this virtual node. */
export type Facts = { readonly virtualNode: VirtualNode; readonly network: Network; /** Of this cluster's gateway. */ readonly tlsType: TlsType };

export type SteppedMember = { readonly state: MemberState; readonly effects: readonly OutRecord[] };

// ── Ends ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

type End = { readonly id: string; readonly status: 'INVALID' | 'DECLINED' | 'FAILED'; readonly reason: string; readonly now: number };

const end = (state: MemberState, { id, status, reason, now }: End): MemberState => ({
  ...state,
  progress: null,
  registrations: ended(state.registrations, id, { status, reason, now }),
});

// ── Register ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** The policy's entry of this member, or why the policy does not let it register. */
const placeOf = ({ virtualNode, network: { policy }, tlsType }: Facts, { notary }: RegistrationContext): { member: StaticMember; policy: StaticPolicy } | string => {
  const { x500Name } = virtualNode.holdingIdentity;
  if (policy.type !== 'static') return `the group policy is that of a ${policy.type} network`;
  const member = policy.members.find((one) => one.x500Name === x500Name);
  if (member === undefined) return `the group policy in the CPI of this virtual node does not list ${x500Name} under protocolParameters.staticNetwork.members`;
  if (notary !== undefined && policy.members.some((one) => one.x500Name === notary.serviceName)) {
    return `the notary service ${notary.serviceName} has the name of a member; a service needs a name of its own`;
  }
  const fault = tlsTypeFault(policy.p2p.tlsType, tlsType);
  return fault ?? { member, policy };
};

const begin = (state: MemberState, registration: StoredRegistration, context: RegistrationContext, shortHash: string): SteppedMember => {
  const { session, second } = slotsOf(shortHash, context);
  const requests = findKeys({ tenant: shortHash, registrationId: registration.registrationId, slots: [session, second] });
  const progress: Progress = { stage: 'finding', registrationId: registration.registrationId, waiting: requests.map(({ id }) => id), keys: [] };
  return { state: { ...state, progress }, effects: requests.map(({ record }) => record) };
};

const refusalOf = (state: MemberState, facts: Facts | undefined, { body }: Register): Refusal | RegistrationContext => {
  if (facts === undefined) return refused('MEMBER_VIRTUAL_NODE_NOT_FOUND', `there is no virtual node ${body.shortHash} on this cluster`);
  const parsed = parseContext(body.context);
  if (parsed.type === 'invalid') return refused('MEMBER_CONTEXT_INVALID', parsed.reason);
  if (state.progress !== null) return refused('MEMBER_ALREADY_REGISTERED', `a registration of ${body.shortHash} is under way`);
  if (state.approved !== null) return refused('MEMBER_ALREADY_REGISTERED', `${body.shortHash} is a member already; a static network has no re-registration`);
  return parsed.context;
};

const register = (state: MemberState, request: Register, facts: Facts | undefined, now: number): SteppedMember => {
  const { body, id: messageId } = request;
  const known = state.registrations.find((one) => one.messageId === messageId);
  if (known !== undefined) return { state, effects: answered(request, reply([known])) };
  const context = refusalOf(state, facts, request);
  if ('type' in context || facts === undefined) return { state, effects: 'type' in context ? answered(request, context) : [] };
  const registration = newRegistration(request, now);
  const { registrationId } = registration;
  const accepted = answered(request, reply([registration]));
  const remembered: MemberState = { ...state, registrations: remember(state.registrations, registration) };
  const place = placeOf(facts, context);
  if (typeof place === 'string') return { state: end(remembered, { id: registrationId, status: 'INVALID', reason: place, now }), effects: accepted };
  const begun = begin(remembered, registration, context, body.shortHash);
  return { state: begun.state, effects: [...accepted, ...begun.effects] };
};

// ── Under way ────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Everything that a registration under way is decided by. */
type Work = {
  readonly state: MemberState;
  readonly progress: Progress;
  readonly context: RegistrationContext;
  readonly facts: Facts;
  readonly member: StaticMember;
  readonly policy: StaticPolicy;
  readonly now: number;
};

const endWork = ({ state, progress, now }: Pick<Work, 'state' | 'progress' | 'now'>, status: End['status'], reason: string): SteppedMember => ({
  state: end(state, { id: progress.registrationId, status, reason, now }),
  effects: [],
});

const shortHashOf = ({ facts }: Work): string => facts.virtualNode.holdingIdentity.shortHash;

type Keys = { readonly session: PublicKeyInfo; readonly second: PublicKeyInfo };

const keysOf = (work: Work): Keys | undefined => {
  const slots = slotsOf(shortHashOf(work), work.context);
  const session = keyIn(work.progress.keys, slots.session);
  const second = keyIn(work.progress.keys, slots.second);
  return session === undefined || second === undefined ? undefined : { session, second };
};

/** Why the keys there are will not do. */
const keyFault = (work: Work): string | undefined => {
  const { session, second } = slotsOf(shortHashOf(work), work.context);
  for (const slot of [session, second]) {
    const key = keyIn(work.progress.keys, slot);
    if (key === undefined) continue;
    if (key.category !== slot.category) return `the key with the alias ${slot.alias} is of category ${key.category}, not ${slot.category}; registration needs that alias`;
    if (defaultSpec(key.scheme) === undefined) return `the key with the alias ${slot.alias} is of scheme ${key.scheme}, which does not sign`;
  }
  return undefined;
};

const memberKeyOf = ({ publicKey, scheme }: PublicKeyInfo, spec?: string): MemberKey => {
  const chosen = spec ?? defaultSpec(scheme);
  // keyFault ended the registration of any other.
  if (chosen === undefined) throw new Error(`a ${scheme} key does not sign`);
  return { publicKey, spec: chosen };
};

const notaryDetailsOf = ({ context: { notary } }: Work, { second }: Keys) =>
  notary === undefined ? null : { ...notary, protocolVersions: [...notary.protocolVersions], keyPem: publicKeyPem(second.publicKey) };

/** What is wrong when the policy names another key than ours: nobody elsewhere would believe what ours signs. */
const otherKeyNamed = (member: Work['member'], use: 'session' | 'ledger', ours: PublicKeyInfo): string | undefined => {
  const named = use === 'session' ? member.sessionKey : member.ledgerKey;
  if (named === undefined || named.publicKey === ours.publicKey) return undefined;
  return (
    `the group policy names another ${use} key for ${member.x500Name} than the one with the alias ${ours.alias} on this cluster: ` +
    `the PEM of GET /key/${ours.tenant}/${ours.id} must be its ${use}KeyPem, in the CPI that the virtual node is made from on every cluster`
  );
};

const join = (work: Work, keys: Keys): SteppedMember => {
  const { state, progress, facts, member, policy } = work;
  const reason = otherKeyNamed(member, 'session', keys.session) ?? (work.context.notary === undefined ? otherKeyNamed(member, 'ledger', keys.second) : undefined);
  if (reason !== undefined) return endWork(work, 'INVALID', reason);
  const { shortHash, groupId } = facts.virtualNode.holdingIdentity;
  const id = `${progress.registrationId}/join`;
  const record = encode(memberToMemberGroup, {
    key: groupId,
    id,
    replyTo: { topic: allToMemberAnswer.topic, key: shortHash },
    body: { type: 'join', groupId: policy.groupId, shortHash, x500Name: member.x500Name, cpiFullChecksum: facts.network.cpi.fullChecksum, notary: notaryDetailsOf(work, keys) },
  });
  return { state: { ...state, progress: { ...progress, stage: 'joining', waiting: [id] } }, effects: [record] };
};

const approve = (work: Work, keys: Keys): SteppedMember => {
  const { state, progress, context, facts, member, policy, now } = work;
  const sessionKey = memberKeyOf(keys.session, member.sessionKey?.spec);
  const second = memberKeyOf(keys.second, context.notary === undefined ? member.ledgerKey?.spec : undefined);
  const info = hostedMember({
    groupId: policy.groupId,
    cpi: facts.network.cpi,
    member,
    registrationId: progress.registrationId,
    sessionKey,
    ledgerKey: context.notary === undefined ? second : undefined,
    notary: context.notary === undefined ? undefined : { choice: context.notary, key: second },
    custom: context.custom,
    now,
  });
  const hostedIdentity = { holdingIdentity: facts.virtualNode.holdingIdentity, sessionKey: { id: keys.session.id, ...sessionKey } };
  const registrations = update(state.registrations, progress.registrationId, { registrationStatus: 'APPROVED', registrationUpdated: now, serial: info.serial });
  return {
    state: { ...state, progress: null, registrations, approved: { member: info, hostedIdentity } },
    effects: [hostedIdentityRecord(hostedIdentity), memberRecord(info)],
  };
};

/** Every answer of a stage is in: what comes next. */
const advance = (work: Work): SteppedMember => {
  const fault = keyFault(work);
  if (fault !== undefined) return endWork(work, 'FAILED', fault);
  const keys = keysOf(work);
  const { state, progress, context } = work;
  if (keys !== undefined) return progress.stage === 'joining' ? approve(work, keys) : join(work, keys);
  if (progress.stage !== 'finding') return endWork(work, 'FAILED', 'crypto made no key and did not say why');
  const tenant = shortHashOf(work);
  const { session, second } = slotsOf(tenant, context);
  const missing = [session, second].filter((slot) => keyIn(progress.keys, slot) === undefined);
  const requests = makeKeys({ tenant, registrationId: progress.registrationId, slots: missing }, context);
  return {
    state: { ...state, progress: { ...progress, stage: 'generating', waiting: requests.map(({ id }) => id) } },
    effects: requests.map(({ record }) => record),
  };
};

const workOf = (state: MemberState, progress: Progress, facts: Facts | undefined, now: number): Work | string => {
  const registration = state.registrations.find(({ registrationId }) => registrationId === progress.registrationId);
  const parsed = parseContext(registration?.memberInfoSubmitted ?? {});
  if (facts === undefined || parsed.type === 'invalid') return 'the virtual node is gone';
  const place = placeOf(facts, parsed.context);
  return typeof place === 'string' ? place : { state, progress, context: parsed.context, facts, ...place, now };
};

type Answer = Extract<MemberEvent, { type: 'answer' }>;

const hear = (state: MemberState, { requestId, outcome }: Answer, facts: Facts | undefined, now: number): SteppedMember => {
  const { progress } = state;
  // Of an earlier registration, or heard before.
  if (progress === null || !progress.waiting.includes(requestId)) return { state, effects: [] };
  if (outcome.type === 'refused') {
    const [status, who] = progress.stage === 'joining' ? (['DECLINED', 'the group'] as const) : (['FAILED', 'crypto'] as const);
    return endWork({ state, progress, now }, status, `${who} refused: ${outcome.message} (${outcome.code})`);
  }
  const found = progress.stage === 'joining' ? [] : allToCryptoKey.reply?.safeParse(outcome.value).data?.keys;
  if (found === undefined) return endWork({ state, progress, now }, 'FAILED', 'crypto answered something that is not a list of keys');
  const heard: Progress = { ...progress, waiting: progress.waiting.filter((id) => id !== requestId), keys: [...progress.keys, ...found] };
  const after: MemberState = { ...state, progress: heard };
  if (heard.waiting.length > 0) return { state: after, effects: [] };
  const work = workOf(after, heard, facts, now);
  return typeof work === 'string' ? endWork({ state, progress, now }, 'INVALID', work) : advance(work);
};

// ── The step ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** What one event does, and what it is answered. `before` is the state before the batch (R3). */
const stepOne = (state: MemberState, event: MemberStepInput['events'][number], { before, facts, now }: Required<Omit<MemberStepInput, 'events'>>): SteppedMember => {
  if (event.type === 'answer') return hear(state, event, facts, now);
  const { request } = event;
  if (isRegister(request)) return register(state, request, facts, now);
  const { body } = request;
  return { state, effects: body.type === 'status' ? answered(request, statusOf((before ?? newMemberState).registrations, facts !== undefined, body)) : [] };
};

export type MemberStepInput = {
  readonly before: MemberState | undefined;
  readonly events: readonly Extract<MemberEvent, { type: 'registration' | 'answer' }>[];
  readonly facts: Facts | undefined;
  readonly now: number;
};

export const stepMember = ({ before, events, facts, now }: MemberStepInput): SteppedMember => {
  let state = before ?? newMemberState;
  const effects: OutRecord[] = [];
  for (const event of events) {
    const stepped = stepOne(state, event, { before, facts, now });
    state = stepped.state;
    effects.push(...stepped.effects);
  }
  return { state, effects };
};
