/** What the operator of a network's manager does: who may join, who is in good standing, and what the group agrees on. */
import * as z from 'zod';
import type { Outcome } from '../../../messages/grammar/envelope.ts';
import type { BodyOf, ReplyOf } from '../../../messages/grammar/wire.ts';
import { preAuthTokenStatus, remarkCharsMax, restToMemberMgm, ruleRegexCharsMax, type ApprovalRule, type PreAuthToken } from '../../../messages/rest-to-member.mgm.ts';
import { parseX500 } from '../../../identity/x500.ts';
import { isoTime } from '../flow-body.ts';
import { flag, optionalText, shortHash, text } from '../parameter.ts';
import { isRefusal } from '../refusal.ts';
import { findVirtualNode, type RestRoom } from '../room.ts';
import { done, doneSilently, jsonBody, route } from '../routing/routing.ts';
import { requestStatus, statusBody } from './membership.ts';
import { protocolVersionRoute } from './protocol-version.ts';
import { dateTime, int64, stringMap } from './shapes.ts';

const tag = 'MGM';
const hash = { holdingidentityshorthash: shortHash };

type Asked = BodyOf<typeof restToMemberMgm>;
type Answered = ReplyOf<typeof restToMemberMgm>;
/** A question without the manager it goes to. */
type Question = Asked extends infer One ? (One extends Asked ? Omit<One, 'shortHash'> : never) : never;

export const askManager = async ({ requests, limits, ...room }: RestRoom, path: { readonly holdingidentityshorthash: string }, question: Question): Promise<Outcome<Answered>> => {
  const node = await findVirtualNode({ requests, limits, ...room }, path.holdingidentityshorthash);
  if (isRefusal(node)) return node;
  const { shortHash: key } = node.holdingIdentity;
  // The question and the manager make one of the wire's bodies, whichever the question is.
  return requests.ask(restToMemberMgm, { key, body: { ...question, shortHash: key } as Asked, timeoutMs: limits.askTimeoutMs });
};

/** The answer's part that the caller is shown. */
const shown = <Value, Shown>(outcome: Outcome<Value>, show: (value: Value) => Shown) => (outcome.type === 'refused' ? outcome : done(show(outcome.value)));
const silently = (outcome: Outcome<unknown>) => (outcome.type === 'refused' ? outcome : doneSilently);

const remark = z.string().max(remarkCharsMax).nullable().optional();

/** A member's name in any spelling; canonical inside. */
export const memberName: z.ZodType<string, string> = z.string().transform((given, context) => {
  const parsed = parseX500(given);
  if (parsed.type === 'name') return parsed.name as string;
  context.addIssue({ code: 'custom', message: `it is no X.500 name: ${parsed.reason}` });
  return z.NEVER;
});

// ── Rules ────────────────────────────────────────────────────────────────────────────────────────────────────────────

const ruleInfo = z.object({ ruleId: z.string(), ruleLabel: z.string().nullable(), ruleRegex: z.string() }).meta({ id: 'ApprovalRuleInfo' });
const ruleParams = z.object({ ruleLabel: remark, ruleRegex: z.string().max(ruleRegexCharsMax) }).meta({ id: 'ApprovalRuleRequestParams' });
const ruleBody = ({ ruleId, ruleLabel, ruleRegex }: ApprovalRule): z.infer<typeof ruleInfo> => ({ ruleId, ruleLabel, ruleRegex });

const onlyOne = <Value>(values: readonly Value[] | undefined): Value => {
  const [value] = values ?? [];
  if (value === undefined) throw new Error('the member worker did what was asked and did not say what came of it');
  return value;
};

const listRules = async (room: RestRoom, path: { readonly holdingidentityshorthash: string }, rules: 'standard' | 'preauth') =>
  shown(await askManager(room, path, { type: 'rules', rules }), (answer) => (answer.rules ?? []).map(ruleBody));
const addRule = async (room: RestRoom, path: { readonly holdingidentityshorthash: string }, rules: 'standard' | 'preauth', { ruleRegex, ruleLabel }: z.infer<typeof ruleParams>) =>
  shown(await askManager(room, path, { type: 'add-rule', rules, regex: ruleRegex, label: ruleLabel ?? null }), (answer) => ruleBody(onlyOne(answer.rules)));
const deleteRule = async (room: RestRoom, path: { readonly holdingidentityshorthash: string; readonly ruleid: string }, rules: 'standard' | 'preauth') =>
  silently(await askManager(room, path, { type: 'delete-rule', rules, ruleId: path.ruleid }));

const ruleId = text(z.string().min(1).max(100));

const ruleRoutes = [
  route({
    method: 'POST', path: '/mgm/{holdingidentityshorthash}/approval/rules', tag,
    summary: 'Requests whose changes match the expression wait for an operator from now on',
    pathParameters: hash, body: jsonBody('ruleParams', ruleParams), reply: ruleInfo,
    handle: ({ room, path, body }) => addRule(room, path, 'standard', body),
  }),
  route({
    method: 'GET', path: '/mgm/{holdingidentityshorthash}/approval/rules', tag,
    summary: 'Lists the rules by which requests wait for an operator',
    pathParameters: hash, reply: z.array(ruleInfo),
    handle: ({ room, path }) => listRules(room, path, 'standard'),
  }),
  route({
    method: 'DELETE', path: '/mgm/{holdingidentityshorthash}/approval/rules/{ruleid}', tag,
    summary: 'Deletes a rule',
    pathParameters: { ...hash, ruleid: ruleId },
    handle: ({ room, path }) => deleteRule(room, path, 'standard'),
  }),
  route({
    method: 'POST', path: '/mgm/{holdingidentityshorthash}/approval/rules/preauth', tag,
    summary: 'Requests with a pre-auth token whose changes match the expression wait for an operator from now on',
    pathParameters: hash, body: jsonBody('ruleParams', ruleParams), reply: ruleInfo,
    handle: ({ room, path, body }) => addRule(room, path, 'preauth', body),
  }),
  route({
    method: 'GET', path: '/mgm/{holdingidentityshorthash}/approval/rules/preauth', tag,
    summary: 'Lists the rules by which requests with a pre-auth token wait for an operator',
    pathParameters: hash, reply: z.array(ruleInfo),
    handle: ({ room, path }) => listRules(room, path, 'preauth'),
  }),
  route({
    method: 'DELETE', path: '/mgm/{holdingidentityshorthash}/approval/rules/preauth/{ruleid}', tag,
    summary: 'Deletes a rule for requests with a pre-auth token',
    pathParameters: { ...hash, ruleid: ruleId },
    handle: ({ room, path }) => deleteRule(room, path, 'preauth'),
  }),
];

// ── Tokens ───────────────────────────────────────────────────────────────────────────────────────────────────────────

const tokenInfo = z
  .object({
    creationRemark: z.string().nullable(),
    id: z.string(),
    ownerX500Name: z.string(),
    removalRemark: z.string().nullable(),
    status: z.enum(preAuthTokenStatus.options),
    ttl: dateTime.nullable(),
  })
  .meta({ id: 'PreAuthToken' });

const tokenBody = ({ creationRemark, id, ownerX500Name, removalRemark, status, ttl }: PreAuthToken): z.infer<typeof tokenInfo> => ({
  creationRemark, id, ownerX500Name, removalRemark, status, ttl: ttl === null ? null : isoTime(ttl),
});

const unitMs = { D: 86_400_000, H: 3_600_000, M: 60_000, S: 1_000 } as const;
/** Ten years: a token is for one registration. */
const tokenTtlMsMax = 3_653 * unitMs.D;

/** ISO 8601, of days and less (`P1DT2H30M`), in milliseconds. */
const duration = z
  .string()
  .max(100)
  .transform((given, context) => {
    const match = /^P(?:(\d{1,5})D)?(?:T(?=\d)(?:(\d{1,6})H)?(?:(\d{1,7})M)?(?:(\d{1,9}(?:\.\d{1,9})?)S)?)?$/.exec(given.toUpperCase());
    const [days, hours, minutes, seconds] = (match ?? []).slice(1).map((part) => Number(part ?? 0));
    const ms = (days ?? 0) * unitMs.D + (hours ?? 0) * unitMs.H + (minutes ?? 0) * unitMs.M + (seconds ?? 0) * unitMs.S;
    if (match !== null && ms >= 1 && ms <= tokenTtlMsMax) return ms;
    context.addIssue({ code: 'custom', message: 'a time to live is an ISO 8601 duration of days and less, for example P7D or PT12H' });
    return z.NEVER;
  })
  .meta({ format: 'duration' });

const tokenRequest = z.object({ ownerX500Name: memberName, remarks: remark, ttl: duration.nullable().optional() }).meta({ id: 'PreAuthTokenRequest' });

const tokenRoutes = [
  route({
    method: 'POST', path: '/mgm/{holdingidentityshorthash}/preauthtoken', tag,
    summary: 'Makes a token with which one member of that name registers under the rules for such tokens',
    pathParameters: hash, body: jsonBody('request', tokenRequest), reply: tokenInfo,
    handle: async ({ room, path, body }) =>
      shown(await askManager(room, path, { type: 'add-token', x500Name: body.ownerX500Name, ttlMs: body.ttl ?? null, remark: body.remarks ?? null }), ({ tokens }) => tokenBody(onlyOne(tokens))),
  }),
  route({
    method: 'GET', path: '/mgm/{holdingidentityshorthash}/preauthtoken', tag,
    summary: 'Lists pre-auth tokens; those that can still be used unless all are asked for',
    pathParameters: hash,
    queryParameters: { ownerx500name: optionalText(memberName), preauthtokenid: optionalText(z.string().max(100)), viewinactive: flag },
    reply: z.array(tokenInfo),
    handle: async ({ room, path, query }) =>
      shown(
        await askManager(room, path, { type: 'tokens', x500Name: query.ownerx500name ?? null, id: query.preauthtokenid ?? null, inactive: query.viewinactive }),
        ({ tokens }) => (tokens ?? []).map(tokenBody),
      ),
  }),
  route({
    method: 'PUT', path: '/mgm/{holdingidentityshorthash}/preauthtoken/revoke/{preauthtokenid}', tag,
    summary: 'Revokes a pre-auth token',
    pathParameters: { ...hash, preauthtokenid: text(z.string().min(1).max(100)) },
    body: jsonBody('remarks', z.object({ remarks: remark }).optional()),
    reply: tokenInfo,
    handle: async ({ room, path, body }) => shown(await askManager(room, path, { type: 'revoke-token', id: path.preauthtokenid, remark: body?.remarks ?? null }), ({ tokens }) => tokenBody(onlyOne(tokens))),
  }),
];

// ── The queue ────────────────────────────────────────────────────────────────────────────────────────────────────────

export const requestId = text(z.uuid('a registration request id is a UUID'));

const queueRoutes = [
  route({
    method: 'GET', path: '/mgm/{holdingidentityshorthash}/registrations', tag,
    summary: 'Lists requests to join the network or to change; those under way unless all are asked for',
    pathParameters: hash,
    queryParameters: { requestsubjectx500name: optionalText(memberName), viewhistoric: flag },
    reply: z.array(requestStatus),
    handle: async ({ room, path, query }) =>
      shown(
        await askManager(room, path, { type: 'registrations', x500Name: query.requestsubjectx500name ?? null, historic: query.viewhistoric }),
        ({ registrations }) => (registrations ?? []).map(statusBody),
      ),
  }),
  route({
    method: 'POST', path: '/mgm/{holdingidentityshorthash}/approve/{requestid}', tag,
    summary: 'Approves a request that waits for an operator',
    pathParameters: { ...hash, requestid: requestId },
    handle: async ({ room, path }) => silently(await askManager(room, path, { type: 'approve', registrationId: path.requestid })),
  }),
  route({
    method: 'POST', path: '/mgm/{holdingidentityshorthash}/decline/{requestid}', tag,
    summary: 'Declines a request that waits for an operator',
    pathParameters: { ...hash, requestid: requestId },
    body: jsonBody('reason', z.object({ reason: z.string().max(remarkCharsMax) })),
    handle: async ({ room, path, body }) => silently(await askManager(room, path, { type: 'decline', registrationId: path.requestid, reason: body.reason, force: false })),
  }),
];

// ── Members and the group ────────────────────────────────────────────────────────────────────────────────────────────

const standing = z.object({ reason: remark, serialNumber: int64.nullable().optional(), x500Name: memberName }).meta({ id: 'SuspensionActivationParameters' });
const parametersBody = z.object({ parameters: stringMap }).meta({ id: 'RestGroupParameters' });

const setStatus = async (room: RestRoom, path: { readonly holdingidentityshorthash: string }, status: 'ACTIVE' | 'SUSPENDED', { x500Name, serialNumber, reason }: z.infer<typeof standing>) =>
  silently(await askManager(room, path, { type: 'set-status', x500Name, status, serial: serialNumber ?? null, reason: reason ?? null }));

/** A manager that has registered has a policy; before that it is refused. */
const policyOf = ({ groupPolicy }: Answered): string => {
  if (groupPolicy === undefined) throw new Error('the member worker answered without the group policy');
  return groupPolicy;
};

const subject = text(z.string().min(1).max(1_000));
const subjectsRoutesPath = '/mgm/{holdingidentityshorthash}/mutual-tls/allowed-client-certificate-subjects';

const groupRoutes = [
  route({
    method: 'GET', path: '/mgm/{holdingidentityshorthash}/info', tag,
    summary: 'Exports the group policy that members join with',
    pathParameters: hash, reply: z.string(),
    handle: async ({ room, path }) => shown(await askManager(room, path, { type: 'info' }), policyOf),
  }),
  route({
    method: 'POST', path: '/mgm/{holdingidentityshorthash}/suspend', tag,
    summary: 'Suspends a member: others no longer see or reach it',
    pathParameters: hash, body: jsonBody('suspensionParams', standing),
    handle: ({ room, path, body }) => setStatus(room, path, 'SUSPENDED', body),
  }),
  route({
    method: 'POST', path: '/mgm/{holdingidentityshorthash}/activate', tag,
    summary: 'Activates a suspended member',
    pathParameters: hash, body: jsonBody('activationParams', standing),
    handle: ({ room, path, body }) => setStatus(room, path, 'ACTIVE', body),
  }),
  route({
    method: 'POST', path: '/mgm/{holdingidentityshorthash}/group-parameters', tag,
    summary: 'Replaces the custom group parameters: a new epoch, where they say something new',
    pathParameters: hash, body: jsonBody('newGroupParameters', parametersBody), reply: parametersBody,
    handle: async ({ room, path, body }) => shown(await askManager(room, path, { type: 'group-parameters', parameters: body.parameters }), ({ parameters }) => ({ parameters: parameters ?? {} })),
  }),
  route({
    method: 'GET', path: subjectsRoutesPath, tag,
    summary: 'Lists the subjects of TLS client certificates that the network allows',
    pathParameters: hash, reply: z.array(z.string()),
    handle: async ({ room, path }) => shown(await askManager(room, path, { type: 'client-subjects', add: null, remove: null }), ({ subjects }) => subjects ?? []),
  }),
  route({
    method: 'PUT', path: '/mgm/{holdingidentityshorthash}/mutual-tls/allowed-client-certificate-subjects/{subject}', tag,
    summary: 'Allows a subject of TLS client certificates',
    pathParameters: { ...hash, subject },
    handle: async ({ room, path }) => silently(await askManager(room, path, { type: 'client-subjects', add: path.subject, remove: null })),
  }),
  route({
    method: 'DELETE', path: '/mgm/{holdingidentityshorthash}/mutual-tls/allowed-client-certificate-subjects/{subject}', tag,
    summary: 'Disallows a subject of TLS client certificates',
    pathParameters: { ...hash, subject },
    handle: async ({ room, path }) => silently(await askManager(room, path, { type: 'client-subjects', add: null, remove: path.subject })),
  }),
];

export const mgmRoutes = [...groupRoutes, ...queueRoutes, ...ruleRoutes, ...tokenRoutes, protocolVersionRoute('mgm', tag)];
