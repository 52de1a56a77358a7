/** A network as one of its members sees it. */
import * as z from 'zod';
import { memberStatus } from '../../../messages/member-to-all.member.ts';
import { restToMemberLookup } from '../../../messages/rest-to-member.lookup.ts';
import { optionalText, shortHash, texts, wordOf } from '../parameter.ts';
import { isRefusal } from '../refusal.ts';
import { findVirtualNode } from '../room.ts';
import { done, route } from '../routing/routing.ts';
import { protocolVersionRoute } from './protocol-version.ts';
import { stringMap } from './shapes.ts';

const tag = 'Member Lookup';

const memberInfo = z.object({ memberContext: stringMap, mgmContext: stringMap }).meta({ id: 'RestMemberInfo' });
const memberList = z.object({ members: z.array(memberInfo) }).meta({ id: 'RestMemberInfoList' });
const groupParameters = z.object({ parameters: stringMap }).meta({ id: 'RestGroupParameters' });

const attribute = optionalText(z.string().max(200));
const hash = { holdingidentityshorthash: shortHash };

/** The attributes that were given, by their X.500 names. */
const givenOf = (attributes: Readonly<Record<string, string | undefined>>): Record<string, string> =>
  Object.fromEntries(Object.entries(attributes).flatMap(([name, value]) => (value === undefined ? [] : [[name.toUpperCase(), value]])));

export const membersRoutes = [
  route({
    method: 'GET',
    path: '/members/{holdingidentityshorthash}',
    tag,
    summary: 'Lists the members that a virtual node can see; the active ones unless statuses are named',
    pathParameters: hash,
    queryParameters: {
      cn: attribute,
      o: attribute,
      ou: attribute,
      l: attribute,
      st: attribute,
      c: attribute,
      statuses: texts({ schema: wordOf(memberStatus, memberStatus.options), countMax: 3, nullable: false }),
    },
    reply: memberList,
    handle: async ({ room, path, query }) => {
      const node = await findVirtualNode(room, path.holdingidentityshorthash);
      if (isRefusal(node)) return node;
      const { requests, limits } = room;
      const { statuses, ...attributes } = query;
      const { shortHash: key } = node.holdingIdentity;
      const outcome = await requests.ask(restToMemberLookup, {
        key,
        body: { type: 'members', shortHash: key, attributes: givenOf(attributes), statuses: statuses.length === 0 ? ['ACTIVE'] : [...statuses] },
        timeoutMs: limits.askTimeoutMs,
      });
      return outcome.type === 'refused' ? outcome : done({ members: outcome.value.members ?? [] });
    },
  }),
  route({
    method: 'GET',
    path: '/members/{holdingidentityshorthash}/group-parameters',
    tag,
    summary: 'Reads the parameters of the network that a virtual node belongs to',
    pathParameters: hash,
    reply: groupParameters,
    handle: async ({ room, path }) => {
      const node = await findVirtualNode(room, path.holdingidentityshorthash);
      if (isRefusal(node)) return node;
      const { requests, limits } = room;
      const { shortHash: key } = node.holdingIdentity;
      const outcome = await requests.ask(restToMemberLookup, { key, body: { type: 'group-parameters', shortHash: key }, timeoutMs: limits.askTimeoutMs });
      return outcome.type === 'refused' ? outcome : done({ parameters: outcome.value.parameters ?? {} });
    },
  }),
  protocolVersionRoute('members', tag),
];
