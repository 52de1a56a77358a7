/** What an operator asks of a manager: each command is judged against the state, and answered from it. */
import { deriveId } from '../../../identity/derive.ts';
import { distinguishedName } from '../../../identity/x500.ts';
import type { Outcome, Refusal } from '../../../messages/grammar/envelope.ts';
import { clientSubjectsMax, type PreAuthToken, type QueuedRegistration } from '../../../messages/rest-to-member.mgm.ts';
import { commandsKeptMax, rulesMax, tokensMax } from '../config.ts';
import type { MgmRequest } from '../event.ts';
import { clientSubjectRecord } from '../publication.ts';
import { answered, refused } from '../registrations.ts';
import { readCustom } from './group-parameters.ts';
import { groupPolicyOf } from './group-policy.ts';
import { approve, decline, withParameters, type Concluded } from './queue.ts';
import { ruleFault } from './rule-regex.ts';
import { withStatus } from './standing.ts';
import { standingOf, type MgmFacts, type MgmState, type Request } from './state.ts';

type Body = MgmRequest['body'];
type Of<Type extends Body['type']> = Extract<Body, { type: Type }>;
type Reply = Extract<Outcome, { type: 'done' }>['value'];

const done = (value: Reply): Outcome => ({ type: 'done', value });

/** What a command came to: the state, what it owes, and its answer. */
type Commanded = Concluded & { readonly outcome: Outcome };
const answer = (state: MgmState, value: Reply): Commanded => ({ state, effects: [], outcome: done(value) });
const refuse = (state: MgmState, code: string, message: string): Commanded => ({ state, effects: [], outcome: refused(code, message) });

// ── The queue ────────────────────────────────────────────────────────────────────────────────────────────────────────

const shown = ({ registrationId, x500Name, status, sentAt, updatedAt, memberContext, reason, serial }: Request): QueuedRegistration => ({
  registrationId, x500Name, registrationStatus: status, registrationSent: sentAt, registrationUpdated: updatedAt, memberInfoSubmitted: { ...memberContext }, reason, serial,
});

const listRequests = (state: MgmState, { x500Name, historic }: Of<'registrations'>, history: readonly Request[]): Commanded => {
  const all = [...(historic ? history : []), ...Object.values(state.requests)];
  const found = all.filter((one) => x500Name === null || one.x500Name === x500Name).sort((one, other) => one.receivedAt - other.receivedAt);
  return answer(state, { registrations: found.map(shown) });
};

/** The request that an operator decides on, or why there is nothing to decide. */
const waitingRequest = (state: MgmState, registrationId: string, force: boolean): Request | Refusal => {
  const request = state.requests[registrationId];
  const over = state.ended.find((one) => one.registrationId === registrationId);
  if (request === undefined && over === undefined) return refused('MEMBER_REGISTRATION_NOT_FOUND', `there is no registration request ${registrationId}`);
  if (request === undefined) return refused('MEMBER_REGISTRATION_STATUS', `the registration request ${registrationId} is ${over!.status} already`);
  if (request.status !== 'PENDING_MANUAL_APPROVAL' && !force) return refused('MEMBER_REGISTRATION_STATUS', `the registration request ${registrationId} is ${request.status}; only one that is PENDING_MANUAL_APPROVAL is decided by hand`);
  return request;
};

const decide = async (state: MgmState, body: Of<'approve'> | Of<'decline'>, facts: MgmFacts): Promise<Commanded> => {
  const request = waitingRequest(state, body.registrationId, body.type === 'decline' && body.force);
  if ('type' in request) return { state, effects: [], outcome: request };
  const decided = body.type === 'approve' ? await approve(state, request, facts) : decline(state, request, body.reason, facts);
  const [outcome] = decided.concluded ?? [];
  if (body.type === 'approve' && outcome?.status === 'DECLINED') {
    return { ...decided, outcome: refused('MEMBER_REGISTRATION_STATUS', `the request cannot be granted any more and is declined: ${outcome.reason ?? ''}`) };
  }
  return { ...decided, outcome: done({}) };
};

// ── Rules ────────────────────────────────────────────────────────────────────────────────────────────────────────────

const addRule = (state: MgmState, { rules: kind, regex, label }: Of<'add-rule'>, id: string): Commanded => {
  const fault = ruleFault(regex);
  if (fault !== undefined) return refuse(state, 'MEMBER_RULE_INVALID', `${JSON.stringify(regex.slice(0, 100))} is no approval rule: ${fault}`);
  const rules = state.rules[kind];
  const same = rules.find(({ ruleRegex }) => ruleRegex === regex);
  // A repeat of the same command is answered as it was.
  const ruleId = deriveId('approval-rule', id);
  if (same?.ruleId === ruleId) return answer(state, { rules: [same] });
  if (same !== undefined) return refuse(state, 'MEMBER_RULE_EXISTS', `the rule ${JSON.stringify(regex)} is there already, as ${same.ruleId}`);
  if (rules.length >= rulesMax) return refuse(state, 'MEMBER_MGM_FULL', `there are ${rulesMax} rules; delete one first`);
  const rule = { ruleId, ruleRegex: regex, ruleLabel: label };
  return answer({ ...state, rules: { ...state.rules, [kind]: [...rules, rule] } }, { rules: [rule] });
};

const deleteRule = (state: MgmState, { rules: kind, ruleId }: Of<'delete-rule'>): Commanded => {
  const left = state.rules[kind].filter((rule) => rule.ruleId !== ruleId);
  if (left.length === state.rules[kind].length) return refuse(state, 'MEMBER_RULE_NOT_FOUND', `there is no such rule: ${ruleId}`);
  return answer({ ...state, rules: { ...state.rules, [kind]: left } }, {});
};

// ── Tokens ───────────────────────────────────────────────────────────────────────────────────────────────────────────

/** A token whose time has run out says so, whenever it is looked at. */
const withTime = (token: PreAuthToken, now: number): PreAuthToken =>
  token.status === 'AVAILABLE' && token.ttl !== null && now >= token.ttl ? { ...token, status: 'AUTO_INVALIDATED' } : token;

const listTokens = (state: MgmState, { x500Name, id, inactive }: Of<'tokens'>, now: number): Commanded => {
  const tokens = Object.values(state.tokens).map((token) => withTime(token, now));
  const found = tokens.filter((token) => (inactive || token.status === 'AVAILABLE') && (x500Name === null || token.ownerX500Name === x500Name) && (id === null || token.id === id));
  return answer(state, { tokens: found });
};

/** The oldest that can be used no more make room. */
const roomForToken = (tokens: MgmState['tokens'], now: number): MgmState['tokens'] | undefined => {
  const all = Object.entries(tokens);
  if (all.length < tokensMax) return tokens;
  const used = all.find(([, token]) => withTime(token, now).status !== 'AVAILABLE');
  return used === undefined ? undefined : Object.fromEntries(all.filter((one) => one !== used));
};

const addToken = (state: MgmState, { x500Name, ttlMs, remark }: Of<'add-token'>, requestId: string, now: number): Commanded => {
  const id = deriveId('pre-auth-token', requestId);
  const known = state.tokens[id];
  if (known !== undefined) return answer(state, { tokens: [known] });
  const tokens = roomForToken(state.tokens, now);
  if (tokens === undefined) return refuse(state, 'MEMBER_MGM_FULL', `${tokensMax} tokens wait to be used; revoke some first`);
  const token: PreAuthToken = { id, ownerX500Name: x500Name, ttl: ttlMs === null ? null : now + ttlMs, status: 'AVAILABLE', creationRemark: remark, removalRemark: null };
  return answer({ ...state, tokens: { ...tokens, [id]: token } }, { tokens: [token] });
};

const revokeToken = (state: MgmState, { id, remark }: Of<'revoke-token'>, now: number): Commanded => {
  const known = state.tokens[id];
  if (known === undefined) return refuse(state, 'MEMBER_TOKEN_NOT_FOUND', `there is no pre-auth token ${id}`);
  const token = withTime(known, now);
  if (token.status === 'REVOKED') return answer(state, { tokens: [token] });
  if (token.status !== 'AVAILABLE') return refuse(state, 'MEMBER_TOKEN_STATUS', `the pre-auth token ${id} is ${token.status} already`);
  const revoked: PreAuthToken = { ...token, status: 'REVOKED', removalRemark: remark };
  return answer({ ...state, tokens: { ...state.tokens, [id]: revoked } }, { tokens: [revoked] });
};

// ── Members ──────────────────────────────────────────────────────────────────────────────────────────────────────────

const setStatus = (state: MgmState, { x500Name, status, serial }: Of<'set-status'>, facts: MgmFacts): Commanded => {
  const own = facts.virtualNode.holdingIdentity;
  const standing = standingOf(state, x500Name);
  if (standing === undefined) return refuse(state, 'MEMBER_NOT_FOUND', `${x500Name} is no member of this network`);
  if (x500Name === own.x500Name) return refuse(state, 'MEMBER_IS_MGM', 'the manager of a network cannot be suspended or activated');
  if (serial !== null && serial !== standing.serial) return refuse(state, 'MEMBER_SERIAL_STALE', `the serial of ${x500Name} is ${standing.serial}, not ${serial}: look at it again`);
  if (standing.status === status) return refuse(state, 'MEMBER_STATUS_SAME', `${x500Name} is ${status} already`);
  const next = withStatus(state, x500Name, status, facts);
  return next === undefined ? { state, effects: [], outcome: done({}), later: `the record of ${x500Name} is not in view yet` } : answer(next, {});
};

const setParameters = (state: MgmState, { parameters }: Of<'group-parameters'>, { virtualNode, now }: MgmFacts): Commanded => {
  const custom = readCustom(parameters);
  if (typeof custom === 'string') return refuse(state, 'MEMBER_PARAMETERS_INVALID', custom);
  const next = withParameters({ ...state, custom }, virtualNode.holdingIdentity.groupId, now);
  return answer(next, { parameters: next.parameters?.parameters ?? {} });
};

const clientSubjects = (state: MgmState, { add, remove }: Of<'client-subjects'>, groupId: string): Commanded => {
  const subject = add ?? remove;
  if (subject === null) return answer(state, { subjects: [...state.subjects] });
  const canonical = distinguishedName(subject);
  if (canonical === undefined) return refuse(state, 'MEMBER_PARAMETERS_INVALID', `${JSON.stringify(subject.slice(0, 200))} is no distinguished name such as CN=gateway, O=Alice Corp, L=London, C=GB`);
  const others = state.subjects.filter((one) => one !== canonical);
  if (add === null && others.length === state.subjects.length) return refuse(state, 'MEMBER_NOT_FOUND', `the subject ${canonical} is not allowed`);
  if (add !== null && others.length >= clientSubjectsMax) return refuse(state, 'MEMBER_MGM_FULL', `there are ${clientSubjectsMax} subjects`);
  const subjects = add === null ? others : [...others, canonical].sort();
  return { ...answer({ ...state, subjects }, { subjects }), effects: [clientSubjectRecord({ groupId, allowed: canonical }, add === null ? undefined : canonical)] };
};

// ── Any command ──────────────────────────────────────────────────────────────────────────────────────────────────────

const command = (state: MgmState, { body, id }: MgmRequest, facts: MgmFacts, history: readonly Request[]): Promise<Commanded> | Commanded => {
  const { groupId } = facts.virtualNode.holdingIdentity;
  switch (body.type) {
    case 'info':
      if (state.group?.rules.p2p.tlsType === 'Mutual' && state.hosted?.tlsCertificate === undefined) {
        return refuse(state, 'MEMBER_MGM_NOT_SET_UP', `with mutual TLS the group policy names the manager's TLS certificate: PUT /network/setup/${body.shortHash} first`);
      }
      return answer(state, { groupPolicy: groupPolicyOf(state, groupId) });
    case 'registrations':
      return listRequests(state, body, history);
    case 'approve':
    case 'decline':
      return decide(state, body, facts);
    case 'rules':
      return answer(state, { rules: [...state.rules[body.rules]] });
    case 'add-rule':
      return addRule(state, body, id);
    case 'delete-rule':
      return deleteRule(state, body);
    case 'tokens':
      return listTokens(state, body, facts.now);
    case 'add-token':
      return addToken(state, body, id, facts.now);
    case 'revoke-token':
      return revokeToken(state, body, facts.now);
    case 'set-status':
      return setStatus(state, body, facts);
    case 'group-parameters':
      return setParameters(state, body, facts);
    case 'client-subjects':
      return clientSubjects(state, body, groupId);
  }
};

/** Those that only read are answered anew. */
const reads: readonly Body['type'][] = ['info', 'registrations', 'rules', 'tokens'];

/** Answered when the state is saved: what it changes is owed by then. */
export const onCommand = async (state: MgmState, request: MgmRequest, facts: MgmFacts, history: readonly Request[]): Promise<Concluded> => {
  if (state.group === null) {
    return { state, effects: answered(request, refused('MEMBER_MGM_NOT_REGISTERED', `${request.body.shortHash} has not registered yet: POST /membership/${request.body.shortHash} first`)) };
  }
  const known = state.commands.find(({ id }) => id === request.id);
  if (known !== undefined) return { state, effects: answered(request, known.outcome) };
  const { outcome, ...commanded } = await command(state, request, facts, history);
  const commands = reads.includes(request.body.type) ? state.commands : [...state.commands, { id: request.id, outcome }].slice(-commandsKeptMax);
  return { ...commanded, state: { ...commanded.state, commands }, effects: [...commanded.effects, ...answered(request, outcome)] };
};
