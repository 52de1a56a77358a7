/** What a step may know of the world beside its own state: read from views, which others keep up to date. */
import type { CpiMetadata } from '../../../messages/db-to-all.cpi.ts';
import type { VirtualNode } from '../../../messages/db-to-all.virtual-node.ts';
import type { GroupParameters } from '../../../messages/member-to-all.group-parameters.ts';
import type { Member } from '../../../messages/member-to-all.member.ts';
import type { Places } from '../places.ts';

export type Facts = {
  virtualNode(shortHash: string): VirtualNode | undefined;
  cpi(fullChecksum: string): CpiMetadata | undefined;
  /** JavaScript of a CPK; `undefined` while its chunks are not all here. */
  bundle(cpkHash: string): string | undefined;
  member(groupId: string, x500Name: string): Member | undefined;
  /** Where places of a CPK's bundle stand in its author's sources. */
  locate: Places['locate'];
  /** Every member of a group, in no promised order. */
  members(groupId: string): readonly Member[];
  groupParameters(groupId: string): GroupParameters | undefined;
};
