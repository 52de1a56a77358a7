/** The SQL by which an administrator makes or changes the databases of virtual nodes by hand. */
import * as z from 'zod';
import type { BodyOf } from '../../../messages/grammar/wire.ts';
import type { restToDbVirtualNode } from '../../../messages/rest-to-db.virtual-node.ts';
import { shortHash, text } from '../parameter.ts';
import { isRefusal } from '../refusal.ts';
import type { RestRoom } from '../room.ts';
import { done, route } from '../routing/routing.ts';
import { cpiChecksum } from './shapes.ts';
import { askDb } from './virtual-node-operation.ts';

const tag = 'Virtual Node';

const readSql = async (room: RestRoom, key: string, body: BodyOf<typeof restToDbVirtualNode>) => {
  const reply = await askDb(room, key, body);
  return isRefusal(reply) ? reply : done(reply.sql ?? '');
};

const schemaRoute = <const Schema extends 'crypto' | 'uniqueness'>(schema: Schema) =>
  route({
    method: 'GET',
    path: `/virtualnode/create/db/${schema}`,
    tag,
    summary: `The SQL that makes the ${schema} tables of a virtual node`,
    reply: z.string(),
    handle: ({ room }) => readSql(room, schema, { type: 'sql', schema }),
  });

export const virtualNodeSqlRoutes = [
  schemaRoute('crypto'),
  schemaRoute('uniqueness'),
  route({
    method: 'GET',
    path: '/virtualnode/create/db/vault/{cpichecksum}',
    tag,
    summary: 'The SQL that makes the vault of a virtual node with this CPI',
    pathParameters: { cpichecksum: text(cpiChecksum) },
    reply: z.string(),
    handle: ({ room, path: { cpichecksum: cpiFileChecksum } }) => readSql(room, cpiFileChecksum, { type: 'vault-sql', cpiFileChecksum }),
  }),
  route({
    method: 'GET',
    path: '/virtualnode/{virtualnodeshortid}/db/vault/{newcpichecksum}',
    tag,
    summary: "The SQL that brings a virtual node's vault to what this CPI wants",
    pathParameters: { virtualnodeshortid: shortHash, newcpichecksum: text(cpiChecksum) },
    reply: z.string(),
    handle: ({ room, path: { virtualnodeshortid: hash, newcpichecksum: cpiFileChecksum } }) => readSql(room, hash, { type: 'vault-sql', cpiFileChecksum, shortHash: hash }),
  }),
];
