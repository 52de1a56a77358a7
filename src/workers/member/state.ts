/**
 * What the member room keeps, by key: the registrations of one virtual node (key: its short hash), and what the members of one
 * group share (key: the group id).
 */
import type { PublicKeyInfo } from '../../messages/all-to-crypto.key.ts';
import type { Member } from '../../messages/member-to-all.member.ts';
import type { HostedIdentity } from '../../messages/member-to-link-manager.hosted-identity.ts';
import type { NotaryDetails } from '../../messages/member-to-member.group.ts';
import type { Registration } from '../../messages/rest-to-member.registration.ts';
import type { JoiningState } from './joining/state.ts';
import type { ListPage, ListState } from './list/state.ts';
import type { MgmState, Request } from './mgm/state.ts';

export type StoredRegistration = Registration & {
  /** The request that began it: its repeat is answered, not registered again. */
  readonly messageId: string;
};

/** A registration under way, and the requests whose answers it waits for. */
export type Progress = {
  readonly stage: 'finding' | 'generating' | 'joining';
  readonly registrationId: string;
  readonly waiting: readonly string[];
  readonly keys: readonly PublicKeyInfo[];
};

export type MemberState = {
  readonly type: 'member';
  readonly v: 1;
  /** Oldest first. */
  readonly registrations: readonly StoredRegistration[];
  readonly progress: Progress | null;
  /** What was published when a registration was approved. */
  readonly approved: { readonly member: Member; readonly hostedIdentity: HostedIdentity } | null;
};

export type GroupState = {
  readonly type: 'group';
  readonly v: 1;
  readonly groupId: string;
  readonly epoch: number;
  /** Milliseconds since the epoch (of time). */
  readonly modifiedAt: number;
  /** The newest CPI whose policy describes the group, and when it was uploaded. */
  readonly policyChecksum: string;
  readonly policyTimestamp: number;
  /** Members of this cluster that have joined. */
  readonly joined: readonly string[];
  readonly notaries: Readonly<Record<string, NotaryDetails>>;
  /** Members of other clusters that were published: what they were published as, and how often. */
  readonly remotes: Readonly<Record<string, { readonly fingerprint: string; readonly serial: number }>>;
};

/** Static networks: `member` and `group`. Dynamic ones: `joining` and `mgm` under a short hash, `list` under a group id. */
export type State = MemberState | GroupState | JoiningState | ListState | MgmState;

/** Items of a manager are requests that have ended; those of a list are pages of it. */
export type Item = Request | ListPage;

export const newMemberState: MemberState = { type: 'member', v: 1, registrations: [], progress: null, approved: null };
