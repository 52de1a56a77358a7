/** What changes a virtual node that is there: its state, its CPI, its databases, its end. */
import * as z from 'zod';
import type { VirtualNode } from '../../../messages/db-to-all.virtual-node.ts';
import type { Refusal } from '../../../messages/grammar/envelope.ts';
import type { BodyOf, ReplyOf } from '../../../messages/grammar/wire.ts';
import { restToDbVirtualNode } from '../../../messages/rest-to-db.virtual-node.ts';
import { restToFlowQuery } from '../../../messages/rest-to-flow.query.ts';
import { restToMemberRegistration } from '../../../messages/rest-to-member.registration.ts';
import { flag, shortHash, text, wordOf } from '../parameter.ts';
import { isRefusal, refuse } from '../refusal.ts';
import { findVirtualNode, type RestRoom } from '../room.ts';
import { done, doneSilently, jsonBody, route } from '../routing/routing.ts';
import { asyncResponse, cpiChecksum } from './shapes.ts';
import { readConnections, sealConnections } from './virtual-node-connection.ts';

const tag = 'Virtual Node';

const states = ['active', 'maintenance'] as const;

const stateResponse = z.object({ holdingIdShortHash: z.string(), newState: z.string() }).meta({ id: 'ChangeVirtualNodeStateResponse' });

/** A connection is a text, or the object that the text would hold. */
const connection = z.unknown().meta({ nullable: true });
const dbRequest = z
  .object({
    cryptoDdlConnection: connection,
    cryptoDmlConnection: connection,
    uniquenessDdlConnection: connection,
    uniquenessDmlConnection: connection,
    vaultDdlConnection: connection,
    vaultDmlConnection: connection,
  })
  .partial()
  .meta({ id: 'UpdateVirtualNodeDbRequest' });

type Body = BodyOf<typeof restToDbVirtualNode>;

/** Asks db about a virtual node, in the order in which it is asked. An operation may rewrite tables, so it has more time than a question. */
export const askDb = async ({ requests, limits }: RestRoom, key: string, body: Body): Promise<ReplyOf<typeof restToDbVirtualNode> | Refusal> => {
  const outcome = await requests.ask(restToDbVirtualNode, { key, body, timeoutMs: limits.uploadAskTimeoutMs });
  return outcome.type === 'refused' ? outcome : outcome.value;
};

const begin = async (room: RestRoom, key: string, body: Body) => {
  const begun = await askDb(room, key, body);
  return isRefusal(begun) ? begun : done({ requestId: begun.requestId ?? '' }, 202);
};

/** Why the operation would end what somebody may still need. */
const inUse = (node: VirtualNode, what: string): Refusal =>
  refuse('REST_VIRTUAL_NODE_IN_USE', `Virtual node ${node.holdingIdentity.shortHash} ${what}`, { holdingIdentityShortHash: node.holdingIdentity.shortHash });

const runningFlow = async ({ requests, limits }: RestRoom, hash: string): Promise<string | undefined | Refusal> => {
  const outcome = await requests.ask(restToFlowQuery, { key: hash, body: { type: 'list', shortHash: hash, status: 'RUNNING', countMax: 1 }, timeoutMs: limits.askTimeoutMs });
  if (outcome.type === 'refused') return outcome;
  const [flow] = outcome.value.flows;
  return flow === undefined ? undefined : (flow.clientRequestId ?? flow.flowId ?? 'one of another member');
};

export const refuseWhileFlowsRun = async (room: RestRoom, node: VirtualNode, remedy: string): Promise<Refusal | undefined> => {
  const running = await runningFlow(room, node.holdingIdentity.shortHash);
  if (running === undefined) return undefined;
  return typeof running === 'string' ? inUse(node, `runs flows (${running}); wait for their end, kill them, or ${remedy}`) : running;
};

const refuseWhileRegistered = async ({ requests, limits }: RestRoom, node: VirtualNode): Promise<Refusal | undefined> => {
  const hash = node.holdingIdentity.shortHash;
  const outcome = await requests.ask(restToMemberRegistration, { key: hash, body: { type: 'status', shortHash: hash }, timeoutMs: limits.askTimeoutMs });
  if (outcome.type === 'refused') return outcome.code === 'MEMBER_REGISTRATION_NOT_FOUND' ? undefined : outcome;
  const isMember = outcome.value.registrations.some(({ registrationStatus }) => registrationStatus === 'APPROVED');
  return isMember ? inUse(node, 'is a member of its network, to which nobody comes back under its name; delete it with ?force=true') : undefined;
};

const upgradeRoute = route({
  method: 'PUT',
  path: '/virtualnode/{virtualnodeshortid}/cpi/{targetcpifilechecksum}',
  tag,
  summary: 'Gives a virtual node in maintenance another version of its CPI; its status is asked for by the request id',
  pathParameters: { virtualnodeshortid: shortHash, targetcpifilechecksum: text(cpiChecksum) },
  queryParameters: { forceupgrade: flag },
  reply: asyncResponse,
  statuses: [202],
  handle: async ({ room, path, query }) => {
    const node = await findVirtualNode(room, path.virtualnodeshortid);
    if (isRefusal(node)) return node;
    const fault = query.forceupgrade ? undefined : await refuseWhileFlowsRun(room, node, 'upgrade with ?forceupgrade=true');
    if (fault !== undefined) return fault;
    return begin(room, path.virtualnodeshortid, { type: 'upgrade', shortHash: path.virtualnodeshortid, cpiFileChecksum: path.targetcpifilechecksum });
  },
});

const deleteRoute = route({
  method: 'DELETE',
  path: '/virtualnode/{holdingidentityshorthash}',
  ours: true,
  tag,
  summary: 'Deletes a virtual node with its vault and its keys; refused while flows run or while it is a member, unless forced',
  pathParameters: { holdingidentityshorthash: shortHash },
  queryParameters: { force: flag },
  reply: asyncResponse,
  statuses: [202],
  handle: async ({ room, path: { holdingidentityshorthash: hash }, query: { force } }) => {
    const node = await findVirtualNode(room, hash);
    if (isRefusal(node)) return node;
    // Once it has begun, asking again goes on with it.
    const isUnderWay = node.deleting === true;
    const fault = force || isUnderWay ? undefined : ((await refuseWhileFlowsRun(room, node, 'delete it with ?force=true')) ?? (await refuseWhileRegistered(room, node)));
    return fault ?? begin(room, hash, { type: 'delete', shortHash: hash, force });
  },
});

export const virtualNodeOperationRoutes = [
  upgradeRoute,
  deleteRoute,
  route({
    method: 'PUT',
    path: '/virtualnode/{virtualnodeshortid}/state/{newstate}',
    tag,
    summary: 'Sets a virtual node to maintenance, which ends its flows, or back to active',
    pathParameters: { virtualnodeshortid: shortHash, newstate: text(wordOf(z.enum(states), states)) },
    reply: stateResponse,
    handle: async ({ room, path: { virtualnodeshortid: hash, newstate: state } }) => {
      const set = await askDb(room, hash, { type: 'set-state', shortHash: hash, state });
      return isRefusal(set) ? set : done({ holdingIdShortHash: hash, newState: state.toUpperCase() });
    },
  }),
  route({
    method: 'PUT',
    path: '/virtualnode/{virtualnodeshortid}/db',
    tag,
    summary: 'Leads a virtual node in maintenance to its vault by other connections; its status is asked for by the request id',
    pathParameters: { virtualnodeshortid: shortHash },
    body: jsonBody('request', dbRequest),
    reply: asyncResponse,
    statuses: [202],
    handle: async ({ room, path: { virtualnodeshortid: hash }, body }) => {
      const node = await findVirtualNode(room, hash);
      if (isRefusal(node)) return node;
      const connections = readConnections(body);
      if (connections === undefined) return refuse('REST_BODY_INVALID', 'No connection to a vault is given', { request: 'it names neither vaultDmlConnection nor vaultDdlConnection' });
      if (isRefusal(connections)) return connections;
      const fault = await refuseWhileFlowsRun(room, node, 'set it to maintenance, where they end as something happens to them');
      if (fault !== undefined) return fault;
      const sealed = await sealConnections(room, connections);
      return isRefusal(sealed) ? sealed : begin(room, hash, { type: 'connect', shortHash: hash, ...sealed });
    },
  }),
  route({
    method: 'POST',
    path: '/maintenance/virtualnode/{virtualnodeshortid}/vault-schema/force-resync',
    tag: 'Virtual Node Maintenance',
    summary: "Drops the tables of a virtual node's application and makes them anew, empty",
    pathParameters: { virtualnodeshortid: shortHash },
    handle: async ({ room, path: { virtualnodeshortid: hash } }) => {
      const resynced = await askDb(room, hash, { type: 'resync', shortHash: hash });
      return isRefusal(resynced) ? resynced : doneSilently;
    },
  }),
];
