/** What a flow may ask about its network: answered at once, from the views. */
import * as z from 'zod';
import { fromBase64url, toHex } from '../../../cipher/bytes.ts';
import { sha256 } from '../../../cipher/digest.ts';
import type { MemberInfo, OperationKind } from '../../../flow-sdk/operations.ts';
import { parseX500, x500Attributes } from '../../../identity/x500.ts';
import { isVisible, memberStatus, type Member } from '../../../messages/member-to-all.member.ts';
import { refused } from './external.ts';
import type { Facts } from './facts.ts';
import type { FlowIdentity } from './head.ts';
import type { TurnOutcome } from './journal.ts';

export type MembersKind = Extract<OperationKind, `members.${string}` | `group.${string}`>;

const answer = (value: unknown): TurnOutcome => ({ type: 'answer', json: JSON.stringify(value) });

const memberInfoOf = ({ x500Name, groupId, status, serial, memberContext, sessionKeys, ledgerKeys }: Member): MemberInfo => ({
  x500Name,
  groupId,
  status,
  serial,
  memberContext,
  sessionKeys,
  ledgerKeys,
});

const named = z.object({ x500Name: z.string() });
/** A SubjectPublicKeyInfo in base64url, or its SHA-256 in hex: whole, or the twelve digits that are a key's id. */
const keyed = z.object({ key: z.string().min(12).max(2_000) });
const filter = z.object({ attributes: z.partialRecord(z.enum(x500Attributes), z.string()).optional(), statuses: z.array(memberStatus).max(3).optional() });

const byName = (one: Member, other: Member): number => (one.x500Name < other.x500Name ? -1 : 1);

const hasKey = (key: string): ((member: Member) => boolean) => {
  const isHash = /^([0-9A-Fa-f]{12}|[0-9A-Fa-f]{64})$/.test(key);
  const wanted = key.toUpperCase();
  return ({ ledgerKeys, sessionKeys }) =>
    [...ledgerKeys, ...sessionKeys].some(({ publicKey }) => (isHash ? toHex(sha256(fromBase64url(publicKey))).toUpperCase().startsWith(wanted) : publicKey === key));
};

const hasAttributes = (wanted: readonly (readonly [string, string | undefined])[]): ((member: Member) => boolean) => {
  if (wanted.length === 0) return () => true;
  return ({ x500Name }) => {
    const parsed = parseX500(x500Name);
    const attributes: Readonly<Record<string, string | undefined>> = parsed.type === 'name' ? parsed.attributes : {};
    return wanted.every(([attribute, value]) => attributes[attribute] === value);
  };
};

/** What this virtual node may see of its network. */
const seenBy = ({ groupId, x500Name: viewer }: FlowIdentity, facts: Facts): ((member: Member) => boolean) => {
  const own = facts.member(groupId, viewer);
  return (member) => isVisible(viewer, own, member);
};

const find = (identity: FlowIdentity, { x500Name }: z.infer<typeof named>, facts: Facts): unknown => {
  const name = parseX500(x500Name);
  const member = name.type === 'name' ? facts.member(identity.groupId, name.name) : undefined;
  return { member: member === undefined || !seenBy(identity, facts)(member) ? null : memberInfoOf(member) };
};

/** Of several members with one key, which no honest network has, the first by name. */
const findByKey = (identity: FlowIdentity, { key }: z.infer<typeof keyed>, facts: Facts): unknown => {
  const member = facts.members(identity.groupId).filter(hasKey(key)).filter(seenBy(identity, facts)).sort(byName)[0];
  return { member: member === undefined ? null : memberInfoOf(member) };
};

const all = (identity: FlowIdentity, { attributes = {}, statuses = ['ACTIVE'] }: z.infer<typeof filter>, facts: Facts): unknown => ({
  members: facts
    .members(identity.groupId)
    .filter(({ status }) => statuses.includes(status))
    .filter(seenBy(identity, facts))
    .filter(hasAttributes(Object.entries(attributes)))
    .sort(byName)
    .map(memberInfoOf),
});

const groupParameters = ({ groupId }: FlowIdentity, facts: Facts): unknown => {
  const found = facts.groupParameters(groupId);
  return { group: found === undefined ? null : { groupId, epoch: found.epoch, parameters: found.parameters } };
};

const read = <Params>(kind: MembersKind, schema: z.ZodType<Params>, params: unknown, work: (params: Params) => unknown): TurnOutcome => {
  const parsed = schema.safeParse(params);
  return parsed.success ? answer(work(parsed.data)) : refused('OPERATION_INVALID', `${kind}: ${z.prettifyError(parsed.error)}`);
};

export const lookUp = (kind: MembersKind, params: unknown, identity: FlowIdentity, facts: Facts): TurnOutcome => {
  switch (kind) {
    case 'members.find':
      return read(kind, named, params, (asked) => find(identity, asked, facts));
    case 'members.findByKey':
      return read(kind, keyed, params, (asked) => findByKey(identity, asked, facts));
    case 'members.all':
      return read(kind, filter, params, (asked) => all(identity, asked, facts));
    case 'group.parameters':
      return answer(groupParameters(identity, facts));
  }
};
