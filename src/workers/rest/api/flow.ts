/** Flows: start, status, result, and the feed as events. */
import * as z from 'zod';
import type { VirtualNode } from '../../../messages/db-to-all.virtual-node.ts';
import type { User } from '../../../messages/db-to-rest.user.ts';
import type { Refusal } from '../../../messages/grammar/envelope.ts';
import { flowStatusName } from '../../../messages/grammar/shapes.ts';
import type { FlowStatusName } from '../../../messages/grammar/shapes.ts';
import { requestBodyCharsMax, restToFlowStart } from '../../../messages/rest-to-flow.start.ts';
import { restToFlowKill } from '../../../messages/rest-to-flow.kill.ts';
import { restToFlowQuery } from '../../../messages/rest-to-flow.query.ts';
import { restToFlowRedrive } from '../../../messages/rest-to-flow.redrive.ts';
import { flowIdOf } from '../../../identity/derive.ts';
import { flowStartOf } from '../auth/operation.ts';
import { openEventStream } from '../feed/event-stream.ts';
import { isoTime, resultBody, statusBody } from '../flow-body.ts';
import { findFlow, hearEndIfFollowed } from '../flow-lookup.ts';
import { hasEnded, type FlowKey } from '../flow-statuses.ts';
import { restLimits } from '../config.ts';
import { clientRequestIdText, optionalInteger, optionalText, shortHash, text, wordOf } from '../parameter.ts';
import { isRefusal, refuse } from '../refusal.ts';
import { findVirtualNode, lookUp, type RestRoom } from '../room.ts';
import { done, eventRoute, jsonBody, route } from '../routing/routing.ts';
import { isStartable, startableNames } from './flow-class.ts';
import { protocolVersionRoute } from './protocol-version.ts';
import { dateTime, shortChecksum } from './shapes.ts';

const tag = 'Flow Management';

const flowClassNamePattern = /^[._$a-zA-Z0-9]{1,250}$/;

// ── Shapes ───────────────────────────────────────────────────────────────────────────────────────────────────────────

const flowError = z.object({ message: z.string(), type: z.string() }).meta({ id: 'FlowStateErrorResponse' });

const statusFields = {
  clientRequestId: z.string().nullable(),
  flowError: flowError.nullable(),
  flowId: z.string().nullable(),
  flowStatus: z.string(),
  holdingIdentityShortHash: z.string(),
  timestamp: dateTime,
};

const statusResponse = z.object({ ...statusFields, flowResult: z.string().nullable() }).meta({ id: 'FlowStatusResponse' });
const resultResponse = z.object({ ...statusFields, json: z.unknown().nullable() }).meta({ id: 'FlowResultResponse' });
const statusList = z.object({ flowStatusResponses: z.array(statusResponse) }).meta({ id: 'FlowStatusResponses' });

const startParameters = z
  .object({
    clientRequestId: z.string(),
    flowClassName: z.string(),
    requestBody: z.unknown().refine((given) => given !== undefined && given !== null, 'it is missing'),
  })
  .meta({ id: 'StartFlowParameters' });

type StartParameters = z.infer<typeof startParameters>;

/** A wait as milliseconds (`10000`) or as an ISO 8601 duration in seconds (`PT10S`). */
const waitText: z.ZodType<number, string> = z
  .string()
  .regex(/^(\d{1,9}|PT\d{1,6}(\.\d{1,3})?S)$/, 'a wait is written in milliseconds (10000) or as a duration (PT10S)')
  .transform((given) => (given.startsWith('PT') ? Math.round(Number(given.slice(2, -1)) * 1000) : Number(given)));

const hash = { holdingidentityshorthash: shortHash };
const flow = { ...hash, clientrequestid: text(clientRequestIdText) };
const wait = { wait: optionalText(waitText) };

// ── Start ────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** The argument as JSON text. A string is taken as JSON text already where it is that, as Corda does ("escaped" form). */
const requestBodyText = (requestBody: unknown): string => {
  if (typeof requestBody !== 'string') return JSON.stringify(requestBody);
  try {
    JSON.parse(requestBody);
    return requestBody;
  } catch {
    return JSON.stringify(requestBody);
  }
};

/** The checks in the order in which Corda makes them. */
const checkStart = async (room: RestRoom, node: VirtualNode, start: StartParameters, user: User): Promise<Refusal | undefined> => {
  const { shortHash: virtualNode } = node.holdingIdentity;
  if (node.flowStartOperationalStatus === 'INACTIVE') {
    return refuse('REST_VIRTUAL_NODE_MAINTENANCE', `Flows cannot be started on virtual node ${virtualNode}: it is in maintenance`, { virtualNode });
  }
  if (!clientRequestIdText.safeParse(start.clientRequestId).success) {
    return refuse('REST_BODY_INVALID', 'clientRequestId must have 1 to 242 letters, digits, ".", "-" and "_"', { clientRequestId: start.clientRequestId.slice(0, 300) });
  }
  if (!flowClassNamePattern.test(start.flowClassName)) {
    return refuse('REST_BODY_INVALID', 'flowClassName must have 1 to 250 letters, digits, ".", "_" and "$"', { flowClassName: start.flowClassName.slice(0, 300) });
  }
  if (!(await room.authority.permits(user, flowStartOf(start.flowClassName, virtualNode)))) return refuse('REST_FORBIDDEN', `User [${user.login}] is not allowed to start a flow: ${start.flowClassName}`);
  const cpi = await lookUp(room.views.cpis, node.cpiFullChecksum);
  if (isStartable(cpi, start.flowClassName)) return undefined;
  return refuse('REST_FLOW_NOT_STARTABLE', `The flow ${start.flowClassName} cannot be started on virtual node ${virtualNode}: its CPI has no such startable flow`, {
    virtualNode,
    cpiName: node.cpiId.name,
    cpiVersion: node.cpiId.version,
    signerSummaryHash: node.cpiId.signerSummaryHash,
    cpiFileChecksum: shortChecksum(node.cpiFullChecksum),
    startableFlows: startableNames(cpi).join(', '),
  });
};

const startedAlready = ({ shortHash: virtualNode, clientRequestId }: FlowKey): Refusal =>
  refuse('REST_FLOW_STARTED_ALREADY', `A flow with the client request id ${clientRequestId} was already started on virtual node ${virtualNode}`, {
    virtualNode,
    clientRequestId,
  });

/**
 * Answers once the flow's first state is saved, though what it owes may not be on the bus yet; the flow room decides which of two equal starts
 * was the first.
 */
const startFlow = async (room: RestRoom, node: VirtualNode, start: StartParameters, startedBy: string): Promise<number | Refusal> => {
  const { requests, statuses, admission, limits } = room;
  const { holdingIdentity } = node;
  const { clientRequestId, flowClassName } = start;
  const requestBody = requestBodyText(start.requestBody);
  if (requestBody.length > requestBodyCharsMax) return refuse('REST_BODY_TOO_LARGE', `requestBody is longer than ${requestBodyCharsMax} characters of JSON`);
  const { isTracking, epoch } = statuses;
  const leave = admission.enter(holdingIdentity.shortHash);
  if (leave === undefined) return refuse('REST_BUSY', 'More flows are being started than the cluster takes just now; try again later');
  // The request's id is drawn, not derived: see its wire.
  const asking = requests.ask(restToFlowStart, {
    key: flowIdOf(holdingIdentity.shortHash, clientRequestId),
    body: { holdingIdentity, clientRequestId, flowClassName, requestBody, startedBy },
    timeoutMs: limits.askTimeoutMs,
  });
  const outcome = await asking.finally(leave);
  if (outcome.type === 'refused') return outcome;
  const { value } = outcome;
  if (value.type === 'duplicate') return startedAlready({ shortHash: holdingIdentity.shortHash, clientRequestId });
  // A wait for this flow needs no query: whatever it becomes after this will be heard (S2).
  if (isTracking && epoch === statuses.epoch) {
    const { flowId, timestamp } = value;
    statuses.note({ holdingIdentityShortHash: holdingIdentity.shortHash, clientRequestId, flowId, flowStatus: 'START_REQUESTED', flowResult: null, flowError: null, timestamp, since: timestamp });
  }
  return value.timestamp;
};

// ── Status ───────────────────────────────────────────────────────────────────────────────────────────────────────────

type FlowPath = { readonly holdingidentityshorthash: string; readonly clientrequestid: string };

const lookUpFlow = async (room: RestRoom, path: FlowPath, waitMs = 0) => {
  const node = await findVirtualNode(room, path.holdingidentityshorthash);
  if (isRefusal(node)) return node;
  const key = { shortHash: node.holdingIdentity.shortHash, clientRequestId: path.clientrequestid };
  return findFlow(room, key, Math.min(waitMs, room.limits.waitMsMax));
};

// ── Commands ─────────────────────────────────────────────────────────────────────────────────────────────────────────

const killFlow = async (room: RestRoom, { shortHash: virtualNode, clientRequestId }: FlowKey, killedBy: string) => {
  const outcome = await room.requests.ask(restToFlowKill, {
    key: flowIdOf(virtualNode, clientRequestId),
    body: { shortHash: virtualNode, clientRequestId, killedBy },
    timeoutMs: room.limits.askTimeoutMs,
  });
  return outcome.type === 'refused' ? outcome : done(commanded(virtualNode, clientRequestId, 'KILLED', outcome.value));
};

const redriveFlow = async (room: RestRoom, { shortHash: virtualNode, clientRequestId }: FlowKey, redrivenBy: string) => {
  const { requests, statuses, limits } = room;
  const { isTracking, epoch } = statuses;
  const outcome = await requests.ask(restToFlowRedrive, {
    key: flowIdOf(virtualNode, clientRequestId),
    body: { shortHash: virtualNode, clientRequestId, redrivenBy },
    timeoutMs: limits.askTimeoutMs,
  });
  if (outcome.type === 'refused') return outcome;
  const { flowId, timestamp } = outcome.value;
  // The failure that is known here is no longer the flow's status, even before the flow room's own word of it arrives.
  if (isTracking && epoch === statuses.epoch) {
    statuses.note({ holdingIdentityShortHash: virtualNode, clientRequestId, flowId, flowStatus: 'RUNNING', flowResult: null, flowError: null, timestamp, since: timestamp });
  }
  return done(commanded(virtualNode, clientRequestId, 'RUNNING', outcome.value), 202);
};

const commanded = (holdingIdentityShortHash: string, clientRequestId: string, flowStatus: FlowStatusName, { flowId, timestamp }: { flowId: string; timestamp: number }) => ({
  holdingIdentityShortHash,
  clientRequestId,
  flowId,
  flowStatus,
  flowResult: null,
  flowError: null,
  timestamp: isoTime(timestamp),
});

type Command = typeof killFlow;

/** The virtual node is looked up first, as for every operation on a flow. */
const command = async (room: RestRoom, path: FlowPath, login: string, obey: Command) => {
  const node = await findVirtualNode(room, path.holdingidentityshorthash);
  if (isRefusal(node)) return node;
  return obey(room, { shortHash: node.holdingIdentity.shortHash, clientRequestId: path.clientrequestid }, login);
};

export const flowRoutes = [
  route({
    method: 'POST',
    path: '/flow/{holdingidentityshorthash}',
    tag,
    summary: 'Starts a flow; answers 202 once the start cannot be lost, or, with a wait, 200 when the flow has ended within it',
    pathParameters: hash,
    queryParameters: wait,
    body: jsonBody('startFlow', startParameters),
    reply: statusResponse,
    statuses: [200, 202],
    handle: async ({ room, path, query, body, login, user }) => {
      const node = await findVirtualNode(room, path.holdingidentityshorthash);
      if (isRefusal(node)) return node;
      const fault = await checkStart(room, node, body, user);
      if (fault !== undefined) return fault;
      const startedAt = await startFlow(room, node, body, login);
      if (typeof startedAt !== 'number') return startedAt;
      const { clientRequestId } = body;
      const holdingIdentityShortHash = node.holdingIdentity.shortHash;
      const key = { shortHash: holdingIdentityShortHash, clientRequestId };
      const ended = await hearEndIfFollowed(room, key, Math.min(query.wait ?? 0, room.limits.waitMsMax));
      if (ended !== undefined) return done(statusBody(ended));
      return done(
        { holdingIdentityShortHash, clientRequestId, flowId: null, flowStatus: 'START_REQUESTED', flowResult: null, flowError: null, timestamp: isoTime(startedAt) },
        202,
      );
    },
  }),
  route({
    method: 'GET',
    path: '/flow/{holdingidentityshorthash}',
    tag,
    summary: 'Lists the flows of a virtual node, newest first; the flow id of the last one is the `after` of the next page, and an empty page is the end',
    pathParameters: hash,
    queryParameters: {
      status: optionalText(wordOf(flowStatusName, flowStatusName.options)),
      limit: optionalInteger({ min: 1, max: restLimits.flowsListedMax }),
      after: optionalText(z.uuid('a flow id is a UUID')),
    },
    reply: statusList,
    handle: async ({ room, path, query }) => {
      const node = await findVirtualNode(room, path.holdingidentityshorthash);
      if (isRefusal(node)) return node;
      const { requests, limits } = room;
      const { shortHash: key } = node.holdingIdentity;
      const { status, limit = limits.flowsListedMax, after } = query;
      const outcome = await requests.ask(restToFlowQuery, {
        key,
        body: { type: 'list', shortHash: key, countMax: limit, ...(status === undefined ? {} : { status }), ...(after === undefined ? {} : { after }) },
        timeoutMs: limits.askTimeoutMs,
      });
      return outcome.type === 'refused' ? outcome : done({ flowStatusResponses: outcome.value.flows.map(statusBody) });
    },
  }),
  route({
    method: 'GET',
    path: '/flow/{holdingidentityshorthash}/{clientrequestid}',
    tag,
    summary: 'Reads the status of a flow; with a wait, answers when it has ended or the wait is over',
    pathParameters: flow,
    queryParameters: wait,
    reply: statusResponse,
    handle: async ({ room, path, query }) => {
      const found = await lookUpFlow(room, path, query.wait);
      return found.type === 'refused' ? found : done(statusBody(found.status));
    },
  }),
  route({
    method: 'GET',
    path: '/flow/{holdingidentityshorthash}/{clientrequestid}/result',
    tag,
    summary: 'Reads the result of a flow: 200 once it has ended, 202 before; with a wait, answers when it has ended or the wait is over',
    pathParameters: flow,
    queryParameters: wait,
    reply: resultResponse,
    statuses: [200, 202],
    handle: async ({ room, path, query }) => {
      const found = await lookUpFlow(room, path, query.wait);
      return found.type === 'refused' ? found : done(resultBody(found.status), hasEnded(found.status) ? 200 : 202);
    },
  }),
  route({
    method: 'POST',
    path: '/flow/{holdingidentityshorthash}/{clientrequestid}/kill',
    tag,
    summary: 'Kills a flow, whatever it is doing; its counterparties are told that it has ended',
    ours: true,
    pathParameters: flow,
    reply: statusResponse,
    handle: ({ room, path, login }) => command(room, path, login, killFlow),
  }),
  route({
    method: 'POST',
    path: '/flow/{holdingidentityshorthash}/{clientrequestid}/redrive',
    tag,
    summary: 'Lets a flow that failed by the fault of the platform go on from its journal; refused where a counterparty was told of the failure',
    ours: true,
    pathParameters: flow,
    reply: statusResponse,
    statuses: [202],
    handle: ({ room, path, login }) => command(room, path, login, redriveFlow),
  }),
  eventRoute({
    method: 'GET',
    path: '/flow/{holdingidentityshorthash}/{clientrequestid}/events',
    tag,
    summary: 'Follows the status of a flow as server-sent events; may be opened before the flow is started',
    ours: true,
    pathParameters: flow,
    handle: async ({ room, path, headers }) => {
      const node = await findVirtualNode(room, path.holdingidentityshorthash);
      if (isRefusal(node)) return node;
      if (room.statuses.listenerCount >= room.limits.listenersMax) return refuse('REST_BUSY', 'Too many feeds are open');
      const key = { shortHash: node.holdingIdentity.shortHash, clientRequestId: path.clientrequestid };
      return done(openEventStream(room, key, headers.get('last-event-id')));
    },
  }),
  protocolVersionRoute('flow', tag),
];
