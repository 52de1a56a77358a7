/** Who changed what: users, roles, permissions, configuration. Ours; Corda keeps such a trail and does not show it. */
import * as z from 'zod';
import { auditPageMax } from '../../../messages/rest-to-db.rbac.ts';
import { isoTime } from '../flow-body.ts';
import { integerOr, optionalText } from '../parameter.ts';
import { isRefusal } from '../refusal.ts';
import { done, route } from '../routing/routing.ts';
import { expected, readAudit } from './rbac.ts';
import { dateTime, int64 } from './shapes.ts';

const auditEntry = z
  .object({ action: z.string(), actor: z.string(), details: z.string(), id: int64, outcome: z.string(), target: z.string(), timestamp: dateTime })
  .meta({ id: 'AuditEntry' });
/** `before` for the next page; null at the end. */
const auditEntries = z.object({ entries: z.array(auditEntry), next: int64.nullable() }).meta({ id: 'AuditEntries' });

const pageDefault = 50;

export const auditRoutes = [
  route({
    method: 'GET',
    path: '/audit',
    tag: 'Audit',
    summary: 'Reads changes of users, roles, permissions and configuration, done and refused, the newest first',
    ours: true,
    queryParameters: {
      limit: integerOr(pageDefault, { min: 1, max: auditPageMax }),
      before: integerOr(2_147_483_647, { min: 1, max: 2_147_483_647 }),
      actor: optionalText(z.string().max(255)),
      target: optionalText(z.string().max(300)),
    },
    reply: auditEntries,
    handle: async ({ room, query: { limit, before, actor, target } }) => {
      const read = await readAudit(room, { before, countMax: limit, ...(actor === undefined ? {} : { actor }), ...(target === undefined ? {} : { target }) });
      if (isRefusal(read)) return read;
      const entries = expected(read.entries, 'page of the audit trail');
      return done({
        entries: entries.map(({ id, at, actor: who, action, target: what, outcome, details }) => ({ action, actor: who, details, id, outcome, target: what, timestamp: isoTime(at) })),
        next: entries.length < limit ? null : (entries.at(-1)?.id ?? null),
      });
    },
  }),
];
