/** Rotation of wrapping keys: of the root key (`master`), of the cluster's keys (`p2p`), of a virtual node's. */
import * as z from 'zod';
import { restToCryptoRotation } from '../../../messages/rest-to-crypto.rotation.ts';
import { isoTime } from '../flow-body.ts';
import { text } from '../parameter.ts';
import { done, route } from '../routing/routing.ts';
import { protocolVersionRoute } from './protocol-version.ts';
import { dateTime, int32 } from './shapes.ts';

const tag = 'Key Rotation';

const rotatedKeys = z.object({ rotatedKeys: int32, total: int32 }).meta({ id: 'RotatedKeysStatus' });
const rotationBegun = z.object({ requestId: z.string(), tenantId: z.string() }).meta({ id: 'KeyRotationResponse' });
const rotationStatus = z
  .object({
    lastUpdatedTimestamp: dateTime,
    rotatedKeyStatus: z.array(z.object({ first: z.string().optional(), second: rotatedKeys.optional() })),
    rotationInitiatedTimestamp: dateTime,
    status: z.string(),
    tenantId: z.string(),
  })
  .meta({ id: 'KeyRotationStatusResponse' });

const rotationTenant = text(
  z
    .string()
    .regex(/^([0-9a-fA-F]{12}|p2p|master)$/, 'a tenant is a holding identity short hash (12 hex digits), p2p or master')
    .transform((given) => (given === 'p2p' || given === 'master' ? given : given.toUpperCase())),
);

export const wrappingKeyRoutes = [
  route({
    method: 'POST',
    path: '/wrappingkey/rotation/{tenantid}',
    tag,
    summary: 'Begins to seal the keys of a tenant, or the wrapping keys of all (master), anew',
    pathParameters: { tenantid: rotationTenant },
    reply: rotationBegun,
    statuses: [202],
    handle: async ({ room, path }) => {
      const { requests, limits } = room;
      const { tenantid: tenant } = path;
      const outcome = await requests.ask(restToCryptoRotation, { key: tenant, body: { type: 'start', tenant }, timeoutMs: limits.askTimeoutMs });
      return outcome.type === 'refused' ? outcome : done({ requestId: outcome.value.requestId, tenantId: tenant }, 202);
    },
  }),
  route({
    method: 'GET',
    path: '/wrappingkey/rotation/{tenantid}',
    tag,
    summary: 'Tells how far the latest rotation is',
    pathParameters: { tenantid: rotationTenant },
    reply: rotationStatus,
    handle: async ({ room, path }) => {
      const { requests, limits } = room;
      const { tenantid: tenant } = path;
      const outcome = await requests.ask(restToCryptoRotation, { key: tenant, body: { type: 'status', tenant }, timeoutMs: limits.askTimeoutMs });
      if (outcome.type === 'refused') return outcome;
      const { initiatedAt, updatedAt, isDone, parts } = outcome.value;
      return done({
        lastUpdatedTimestamp: isoTime(updatedAt),
        rotatedKeyStatus: parts.map(({ name, total, rotated }) => ({ first: name, second: { rotatedKeys: rotated, total } })),
        rotationInitiatedTimestamp: isoTime(initiatedAt),
        status: isDone ? 'done' : 'inProgress',
        tenantId: tenant,
      });
    },
  }),
  protocolVersionRoute('wrappingkey', tag),
];
