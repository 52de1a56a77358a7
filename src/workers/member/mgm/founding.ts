/**
 * A manager registers: it founds its network. Its own registration needs nobody's word: its keys are found, its member context is
 * signed, and it stands in version 1 of its list.
 */
import { defaultSpec } from '../../../cipher/signature.ts';
import { agreeingSchemes } from '../../../cipher/sealed-to-key.ts';
import { allToCryptoKey, type PublicKeyInfo } from '../../../messages/all-to-crypto.key.ts';
import { allToCryptoSign } from '../../../messages/all-to-crypto.sign.ts';
import { allToMemberAnswer } from '../../../messages/all-to-member.answer.ts';
import { encode } from '../../../messages/grammar/envelope.ts';
import { platformVersion, softwareVersion } from '../config.ts';
import type { AnswerEvent } from '../event.ts';
import { p2pOf } from '../joining/policy.ts';
import { endpointContext } from '../member-info.ts';
import { tlsTypeFault } from '../network.ts';
import { keyMap, pemOf } from '../peer/context-map.ts';
import { contextInput } from '../peer/entry.ts';
import { askToSign } from '../peer/say.ts';
import { chainFault } from '../peer/session-certificates.ts';
import { answered, ended, newRegistration, refused, remember, reply, type Register } from '../registrations.ts';
import { parseMgmContext, type MgmContext } from './context.ts';
import { parametersFor } from './group-parameters.ts';
import { mgmContextOf } from './roster.ts';
import type { Founding, MgmFacts, MgmState, MgmStepped } from './state.ts';

export const register = (state: MgmState, request: Register, { virtualNode, now, tlsType }: MgmFacts): MgmStepped => {
  const { shortHash, groupId } = virtualNode.holdingIdentity;
  const known = state.registrations.find(({ messageId }) => messageId === request.id);
  if (known !== undefined) return { state, effects: answered(request, reply([known])) };
  if (state.progress !== null) return { state, effects: answered(request, refused('MEMBER_ALREADY_REGISTERED', `a registration of ${shortHash} is under way`)) };
  if (state.group !== null) return { state, effects: answered(request, refused('MEMBER_ALREADY_REGISTERED', `${shortHash} manages the group ${groupId} already; a manager does not register anew`)) };
  const parsed = parseMgmContext(request.body.context);
  if (parsed.type === 'invalid') return { state, effects: answered(request, refused('MEMBER_CONTEXT_INVALID', parsed.reason)) };
  const fault = tlsTypeFault(parsed.context.rules.p2p.tlsType, tlsType);
  if (fault !== undefined) return { state, effects: answered(request, refused('MEMBER_CONTEXT_INVALID', fault)) };
  const registration = newRegistration(request, now);
  const { registrationId } = registration;
  const asked = [...parsed.context.sessionKeyIds, parsed.context.agreementKeyId].map((keyId) => {
    const id = `${registrationId}/find/${keyId}`;
    const replyTo = { topic: allToMemberAnswer.topic, key: shortHash };
    return { id, record: encode(allToCryptoKey, { key: shortHash, id, replyTo, body: { type: 'find', tenant: shortHash, ids: [keyId] } }) };
  });
  const progress: Founding = { registrationId, stage: 'finding', waiting: asked.map(({ id }) => id), keys: [], memberContext: null, signatures: [] };
  return {
    state: { ...state, progress, registrations: remember(state.registrations, registration) },
    effects: [...answered(request, reply([registration])), ...asked.map(({ record }) => record)],
  };
};

const fail = (state: MgmState, { registrationId }: Founding, status: 'INVALID' | 'FAILED', reason: string, now: number): MgmStepped => ({
  state: { ...state, progress: null, registrations: ended(state.registrations, registrationId, { status, reason, now }) },
  effects: [],
});

type Found = { readonly session: readonly (PublicKeyInfo & { readonly spec: string })[]; readonly agreement: PublicKeyInfo };

const foundKeys = ({ keys }: Founding, { sessionKeyIds, agreementKeyId }: MgmContext): Found | string => {
  const session: (PublicKeyInfo & { spec: string })[] = [];
  for (const id of sessionKeyIds) {
    const key = keys.find((one) => one.id === id);
    const spec = key === undefined ? undefined : defaultSpec(key.scheme);
    if (key === undefined) return `this virtual node has no key ${id}, which corda.session.keys names`;
    if (key.category !== 'SESSION_INIT' || spec === undefined) return `the key ${id} is of category ${key.category} and scheme ${key.scheme}; corda.session.keys want SESSION_INIT and a scheme that signs`;
    session.push({ ...key, spec });
  }
  const agreement = keys.find(({ id }) => id === agreementKeyId);
  if (agreement === undefined) return `this virtual node has no key ${agreementKeyId}, which corda.ecdh.key.id names`;
  if (agreement.category !== 'PRE_AUTH') return `the key ${agreementKeyId} is of category ${agreement.category}; corda.ecdh.key.id wants PRE_AUTH`;
  if (!agreeingSchemes.some((scheme) => scheme === agreement.scheme)) return `the key ${agreementKeyId} is of scheme ${agreement.scheme}; corda.ecdh.key.id wants one of ${agreeingSchemes.join(', ')}`;
  return { session, agreement };
};

/** It was parsed when the registration began, by the same rules. */
const contextOf = ({ registrations }: MgmState, { registrationId }: Founding): MgmContext => {
  const parsed = parseMgmContext(registrations.find((one) => one.registrationId === registrationId)?.memberInfoSubmitted ?? {});
  if (parsed.type === 'invalid') throw new Error(`the context of registration ${registrationId} cannot be read any more: ${parsed.reason}`);
  return parsed.context;
};

/** What was set up before the network was founded must do in it. */
const hostedFault = async ({ hosted }: MgmState, { rules }: MgmContext, now: number): Promise<string | undefined> => {
  if (hosted === null) return undefined;
  const { sessionKey: { publicKey }, sessionCertificates: pem = '', holdingIdentity: { x500Name } } = hosted;
  return chainFault({ pem, publicKey, x500Name, trust: rules.p2p, at: now });
};

const sign = async (state: MgmState, progress: Founding, { virtualNode, cpi, now }: MgmFacts): Promise<MgmStepped> => {
  const context = contextOf(state, progress);
  const found = foundKeys(progress, context);
  const fault = typeof found === 'string' ? found : await hostedFault(state, context, now);
  if (typeof found === 'string' || fault !== undefined) return fail(state, progress, 'INVALID', String(fault), now);
  const { x500Name, groupId, shortHash: tenant } = virtualNode.holdingIdentity;
  const memberContext: Record<string, string> = {
    'corda.name': x500Name,
    'corda.groupId': groupId,
    'corda.platformVersion': platformVersion,
    'corda.softwareVersion': softwareVersion,
    'corda.serial': '0',
    'corda.registration.id': progress.registrationId,
    'corda.cpi.name': cpi.id.name,
    'corda.cpi.version': cpi.id.version,
    'corda.cpi.signer.summary.hash': cpi.id.signerSummaryHash,
    'corda.ecdh.key': pemOf(found.agreement.publicKey),
    ...endpointContext(context.endpoints),
    ...context.custom,
    ...Object.assign({}, ...found.session.map((key, n) => keyMap(`corda.session.keys.${n}`, key))),
  };
  const input = contextInput(memberContext);
  const asked = found.session.map(({ id: keyId, spec }) => {
    const id = `${progress.registrationId}/sign/${keyId}`;
    return { id, record: askToSign({ tenant, keyId, spec, id, input }) };
  });
  return {
    state: { ...state, progress: { ...progress, stage: 'signing', waiting: asked.map(({ id }) => id), memberContext } },
    effects: asked.map(({ record }) => record),
  };
};

const found = (state: MgmState, progress: Founding, facts: MgmFacts): MgmStepped => {
  const { virtualNode, now } = facts;
  const context = contextOf(state, progress);
  const keys = foundKeys(progress, context);
  if (typeof keys === 'string') return fail(state, progress, 'INVALID', keys, now);
  const { x500Name, groupId } = virtualNode.holdingIdentity;
  const { id, publicKey, spec } = keys.session[0]!;
  const mgmContext = { ...mgmContextOf({ serial: 1, status: 'ACTIVE', createdAt: now }, now), 'corda.mgm': 'true' };
  const memberContext = progress.memberContext!;
  const own = { x500Name, status: 'ACTIVE' as const, serial: 1, memberContext: { ...memberContext }, signatures: [...progress.signatures], mgmContext };
  return {
    state: {
      ...state,
      progress: null,
      group: { rules: context.rules, agreementKeyId: context.agreementKeyId, signer: { id, publicKey, spec }, memberContext, mgmContext },
      parameters: parametersFor({ groupId, epoch: 1, p2p: p2pOf(context.rules.p2p), custom: {}, notaries: {}, now }),
      parametersChanged: true,
      changed: { [x500Name]: own },
    },
    effects: [],
  };
};

export const hearFoundingAnswer = (state: MgmState, progress: Founding, { requestId, outcome }: AnswerEvent, facts: MgmFacts): Promise<MgmStepped> | MgmStepped => {
  const { now } = facts;
  if (outcome.type === 'refused') return fail(state, progress, 'FAILED', `crypto refused: ${outcome.message} (${outcome.code})`, now);
  const keys = progress.stage === 'finding' ? allToCryptoKey.reply?.safeParse(outcome.value).data?.keys : [];
  const signature = progress.stage === 'signing' ? allToCryptoSign.reply?.safeParse(outcome.value).data : undefined;
  if (keys === undefined || (progress.stage === 'signing' && signature === undefined)) return fail(state, progress, 'FAILED', 'crypto answered something else than it was asked for', now);
  const heard: Founding = {
    ...progress,
    waiting: progress.waiting.filter((id) => id !== requestId),
    keys: [...progress.keys, ...keys],
    signatures: [...progress.signatures, ...(signature === undefined ? [] : [signature])],
  };
  const after: MgmState = { ...state, progress: heard };
  if (heard.waiting.length > 0) return { state: after, effects: [] };
  return heard.stage === 'finding' ? sign(after, heard, facts) : found(after, heard, facts);
};
