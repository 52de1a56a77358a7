/** rest-to-member.lookup: a network as one of its members on this cluster sees it, out of the views. */
import { parseX500 } from '../../identity/x500.ts';
import type { Outcome, Refusal } from '../../messages/grammar/envelope.ts';
import type { BodyOf, ReplyOf } from '../../messages/grammar/wire.ts';
import type { GroupParameters } from '../../messages/member-to-all.group-parameters.ts';
import { isVisible, type Member } from '../../messages/member-to-all.member.ts';
import type { VirtualNode } from '../../messages/db-to-all.virtual-node.ts';
import { restToMemberLookup } from '../../messages/rest-to-member.lookup.ts';
import type { View } from '../../shell/view.ts';
import type { Answering } from '../../shell/worker.ts';
import { replyCharsMax } from './config.ts';
import { memberKey } from './publication.ts';

type Body = BodyOf<typeof restToMemberLookup>;
type Reply = ReplyOf<typeof restToMemberLookup>;

export type LookupViews = {
  readonly virtualNodes: View<VirtualNode>;
  readonly members: View<Member>;
  readonly groupParameters: View<GroupParameters>;
};

const refused = (code: string, message: string): Refusal => ({ type: 'refused', code, message });

const hasAttributes = (x500Name: string, attributes: Readonly<Record<string, string>>): boolean => {
  const parsed = parseX500(x500Name);
  if (parsed.type === 'invalid') return false;
  const own = new Map<string, string>(Object.entries(parsed.attributes));
  return Object.entries(attributes).every(([attribute, value]) => own.get(attribute.toUpperCase()) === value);
};

const byName = (one: Member, other: Member): number => (one.x500Name < other.x500Name ? -1 : 1);

const findMembers = (members: View<Member>, { groupId, x500Name: viewer }: { readonly groupId: string; readonly x500Name: string }, { attributes, statuses }: Extract<Body, { type: 'members' }>): Outcome<Reply> => {
  const wanted = statuses.length === 0 ? ['ACTIVE'] : statuses;
  const group = [...members.entries()].map(([, member]) => member).filter((member) => member.groupId === groupId);
  const own = members.get(memberKey(groupId, viewer));
  const found = group
    .filter((member) => isVisible(viewer, own, member) && wanted.includes(member.status) && hasAttributes(member.x500Name, attributes))
    .sort(byName)
    .map(({ memberContext, mgmContext }) => ({ memberContext, mgmContext }));
  const chars = JSON.stringify(found).length;
  if (chars <= replyCharsMax) return { type: 'done', value: { members: found } };
  return refused('MEMBER_REPLY_TOO_LARGE', `${found.length} members are ${chars} characters long and an answer carries ${replyCharsMax}; narrow the search by attributes (cn, o, ou, l, st, c)`);
};

const answerOne = ({ virtualNodes, members, groupParameters }: LookupViews, body: Body): Outcome<Reply> => {
  const node = virtualNodes.get(body.shortHash);
  if (node === undefined) return refused('MEMBER_VIRTUAL_NODE_NOT_FOUND', `there is no virtual node ${body.shortHash} on this cluster`);
  const { groupId } = node.holdingIdentity;
  if (body.type === 'members') return findMembers(members, node.holdingIdentity, body);
  // A group without parameters is one that nobody here has joined.
  return { type: 'done', value: { parameters: groupParameters.get(groupId)?.parameters ?? {} } };
};

export const onLookup = (views: LookupViews): Answering<Body, Reply, unknown> => ({
  wire: restToMemberLookup,
  storesAnswers: false,
  answer: async (requests) => {
    // Whoever was told that a registration is approved finds the member.
    await Promise.all([views.virtualNodes.refresh(), views.members.refresh(), views.groupParameters.refresh()]);
    return requests.map(({ body }) => ({ outcome: answerOne(views, body) }));
  },
});
