/** Members of every network that a virtual node here belongs to: one stored copy per cluster and group. */
import * as z from 'zod';
import { base64url, groupId, stringMap, x500Name } from './grammar/shapes.ts';
import { wire } from './grammar/wire.ts';

export const memberStatus = z.enum(['ACTIVE', 'PENDING', 'SUSPENDED']);

export const member = z.object({
  groupId,
  x500Name,
  status: memberStatus,
  serial: z.int().positive(),
  /** As Corda shows them over REST: `corda.name`, `corda.session.keys.0.pem`, `corda.endpoints.0.connectionURL` … */
  memberContext: stringMap,
  mgmContext: stringMap,
  endpoints: z.array(z.object({ url: z.url().max(2_000), protocolVersion: z.int().positive() })).max(10),
  /** SubjectPublicKeyInfo and signature spec of the keys that sign its handshakes. */
  sessionKeys: z.array(z.object({ publicKey: base64url, spec: z.string() })).max(10),
  ledgerKeys: z.array(z.object({ publicKey: base64url, spec: z.string() })).max(10),
  /** By its session keys over its member context; none in a static network. What is signed stands in docs/membership.md. */
  signatures: z.array(z.object({ publicKey: base64url, spec: z.string(), signature: base64url })).max(10).optional(),
});
export type Member = z.infer<typeof member>;

/** The manager of a dynamic network: it admits members, and speaks to those that are not admitted yet or suspended. */
export const isManager = ({ mgmContext }: Pick<Member, 'mgmContext'>): boolean => mgmContext['corda.mgm'] === 'true';

/** A manager signs the list of a dynamic network; in a static one, which nobody manages, all see all. */
const isManaged = ({ signatures, status, mgmContext }: Member): boolean => signatures !== undefined || (status === 'PENDING' && mgmContext['corda.mgm.static'] !== 'true');

/**
 * Whether a member sees another: the manager of a dynamic network sees all that there is; a member the active ones and itself; whoever is
 * joining or suspended the manager and itself.
 */
export const isVisible = (viewer: string, own: Member | undefined, member: Member): boolean =>
  member.x500Name === viewer || !isManaged(member) || isManager(member) || (own !== undefined && (isManager(own) || (own.status === 'ACTIVE' && member.status === 'ACTIVE')));

export const memberToAllMember = wire({
  topic: 'member-to-all.member',
  from: ['member'],
  to: ['rest', 'flow', 'link-manager', 'member'],
  key: '`<group id>/<X.500 name>`',
  retention: 'compacted',
  version: 1,
  body: member,
});
