/** Virtual nodes: creation, how operations fare, and what there is. */
import * as z from 'zod';
import { parseX500 } from '../../../identity/x500.ts';
import type { VirtualNode } from '../../../messages/db-to-all.virtual-node.ts';
import type { Refusal } from '../../../messages/grammar/envelope.ts';
import { restToDbVirtualNode } from '../../../messages/rest-to-db.virtual-node.ts';
import { isoTime } from '../flow-body.ts';
import { readPage } from '../page.ts';
import { optionalInteger, optionalText, shortHash, shortHashText, text } from '../parameter.ts';
import { isRefusal, refuse } from '../refusal.ts';
import { findVirtualNode, type RestRoom } from '../room.ts';
import { done, jsonBody, route } from '../routing/routing.ts';
import { protocolVersionRoute } from './protocol-version.ts';
import { asyncResponse, cpiIdentifier, cpiIdentifierBody, dateTime, holdingIdentity } from './shapes.ts';
import { readConnections, sealConnections } from './virtual-node-connection.ts';
import { askDb, virtualNodeOperationRoutes } from './virtual-node-operation.ts';
import { virtualNodeSqlRoutes } from './virtual-node-sql.ts';
import { virtualNodeTransferRoutes } from './virtual-node-transfer.ts';

const tag = 'Virtual Node';

const operational = z.enum(['ACTIVE', 'INACTIVE']);

const externalRoute = z
  .object({ active: z.boolean(), channelName: z.string(), externalReceiveTopicName: z.string(), inactiveResponseType: z.enum(['ERROR', 'IGNORE']) })
  .meta({ id: 'Route' });
const externalRoutes = z.object({ cpiIdentifier, routes: z.array(externalRoute) }).meta({ id: 'Routes' });
const routeConfiguration = z.object({ currentRoutes: externalRoutes, previousVersionRoutes: z.array(externalRoutes) }).meta({ id: 'RouteConfiguration' });

const virtualNodeInfo = z
  .object({
    cpiIdentifier,
    cryptoDdlConnectionId: z.string().nullable(),
    cryptoDmlConnectionId: z.string(),
    externalMessagingRouteConfiguration: routeConfiguration.nullable(),
    flowOperationalStatus: operational,
    flowP2pOperationalStatus: operational,
    flowStartOperationalStatus: operational,
    holdingIdentity,
    hsmConnectionId: z.string().nullable(),
    operationInProgress: z.string().nullable(),
    uniquenessDdlConnectionId: z.string().nullable(),
    uniquenessDmlConnectionId: z.string(),
    vaultDbOperationalStatus: operational,
    vaultDdlConnectionId: z.string().nullable(),
    vaultDmlConnectionId: z.string(),
  })
  .meta({ id: 'VirtualNodeInfo' });

const virtualNodeList = z.object({ virtualNodes: z.array(virtualNodeInfo) }).meta({ id: 'VirtualNodes' });

const asyncStatus = z
  .object({
    errorReason: z.string().nullable(),
    lastUpdatedTimestamp: dateTime,
    operation: z.string(),
    processingStage: z.string().nullable(),
    requestId: z.string(),
    resourceId: z.string().nullable(),
    status: z.enum(['ACCEPTED', 'IN_PROGRESS', 'SUCCEEDED', 'FAILED', 'ABORTED']),
  })
  .meta({ id: 'AsyncOperationStatus' });

const connection = z.string().max(10_000).nullish();

const createRequest = z
  .object({
    cpiFileChecksum: z.string().regex(/^[0-9a-fA-F]{12}$/, 'a CPI checksum has 12 hex digits'),
    cryptoDdlConnection: connection,
    cryptoDmlConnection: connection,
    uniquenessDdlConnection: connection,
    uniquenessDmlConnection: connection,
    vaultDdlConnection: connection,
    vaultDmlConnection: connection,
    x500Name: z.string().max(1_000),
  })
  .meta({ id: 'CreateVirtualNodeRequest' });

const virtualNodeBody = (node: VirtualNode): z.infer<typeof virtualNodeInfo> => ({
  cpiIdentifier: cpiIdentifierBody(node.cpiId),
  cryptoDdlConnectionId: node.cryptoDdlConnectionId,
  cryptoDmlConnectionId: node.cryptoDmlConnectionId,
  externalMessagingRouteConfiguration: null,
  flowOperationalStatus: node.flowOperationalStatus,
  flowP2pOperationalStatus: node.flowP2pOperationalStatus,
  flowStartOperationalStatus: node.flowStartOperationalStatus,
  holdingIdentity: node.holdingIdentity,
  hsmConnectionId: null,
  operationInProgress: node.operationInProgress ?? null,
  uniquenessDdlConnectionId: node.uniquenessDdlConnectionId,
  uniquenessDmlConnectionId: node.uniquenessDmlConnectionId,
  vaultDbOperationalStatus: node.vaultDbOperationalStatus,
  vaultDdlConnectionId: node.vaultDdlConnectionId,
  vaultDmlConnectionId: node.vaultDmlConnectionId,
});

const create = async (room: RestRoom, body: z.infer<typeof createRequest>): Promise<{ requestId: string } | Refusal> => {
  const { cpiFileChecksum, x500Name, ...connections } = body;
  const own = readConnections(connections);
  if (own !== undefined && isRefusal(own)) return own;
  if (own !== undefined && own.dml === undefined) return refuse('REST_BODY_INVALID', 'vaultDdlConnection makes tables for vaultDmlConnection, which is missing', { vaultDmlConnection: 'is missing' });
  const name = parseX500(x500Name);
  if (name.type === 'invalid') return refuse('REST_BODY_INVALID', `x500Name is not an X.500 name: ${name.reason}`, { x500Name: name.reason });
  const checksum = cpiFileChecksum.toUpperCase();
  const sealed = own === undefined ? undefined : await sealConnections(room, own);
  if (sealed !== undefined && isRefusal(sealed)) return sealed;
  const vault = sealed?.dml === undefined ? {} : { connections: { ...sealed, dml: sealed.dml } };
  const created = await askDb(room, checksum, { type: 'create', cpiFileChecksum: checksum, x500Name: name.name, ...vault });
  return isRefusal(created) ? created : { requestId: created.requestId ?? '' };
};

/** Virtual nodes of one page, where no limit is given, and at most. */
const virtualNodesPageMax = 1_000;

export const virtualNodeRoutes = [
  ...virtualNodeOperationRoutes,
  ...virtualNodeSqlRoutes,
  ...virtualNodeTransferRoutes,
  route({
    method: 'POST',
    path: '/virtualnode',
    tag,
    summary: 'Creates a virtual node; its status is asked for by the request id',
    body: jsonBody('request', createRequest),
    reply: asyncResponse,
    statuses: [202],
    handle: async ({ room, body }) => {
      const created = await create(room, body);
      return isRefusal(created) ? created : done(created, 202);
    },
  }),
  route({
    method: 'GET',
    path: '/virtualnode',
    tag,
    summary: 'Lists the virtual nodes of the cluster',
    queryParameters: { limit: optionalInteger({ min: 1, max: virtualNodesPageMax }), after: optionalText(shortHashText) },
    reply: virtualNodeList,
    handle: async ({ room, query }) => done({ virtualNodes: (await readPage(room.views.virtualNodes, query, virtualNodesPageMax)).map(virtualNodeBody) }),
  }),
  route({
    method: 'GET',
    path: '/virtualnode/status/{requestid}',
    tag,
    summary: 'Says how far an operation on a virtual node has come',
    pathParameters: { requestid: text(z.string().max(100)) },
    reply: asyncStatus,
    handle: async ({ room, path }) => {
      const { requests, limits } = room;
      const outcome = await requests.ask(restToDbVirtualNode, {
        key: path.requestid,
        body: { type: 'status', requestId: path.requestid },
        timeoutMs: limits.askTimeoutMs,
      });
      if (outcome.type === 'refused') return outcome;
      const { status } = outcome.value;
      if (status === undefined) return { type: 'refused', code: 'DB_REQUEST_UNKNOWN', message: `No operation has the request id ${path.requestid}` };
      const { errorReason, lastUpdatedTimestamp, operation, requestId, resourceId } = status;
      return done({ errorReason, lastUpdatedTimestamp: isoTime(lastUpdatedTimestamp), operation, processingStage: null, requestId, resourceId, status: status.status });
    },
  }),
  route({
    method: 'GET',
    path: '/virtualnode/{holdingidentityshorthash}',
    tag,
    summary: 'Reads one virtual node',
    pathParameters: { holdingidentityshorthash: shortHash },
    reply: virtualNodeInfo,
    handle: async ({ room, path }) => {
      const node = await findVirtualNode(room, path.holdingidentityshorthash);
      return isRefusal(node) ? node : done(virtualNodeBody(node));
    },
  }),
  protocolVersionRoute('virtualnode', tag),
];
