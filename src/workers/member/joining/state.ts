/** What the member room keeps of a virtual node in a dynamic network, under its short hash. */
import type { PublicKeyInfo } from '../../../messages/all-to-crypto.key.ts';
import type { CpiMetadata } from '../../../messages/db-to-all.cpi.ts';
import type { VirtualNode } from '../../../messages/db-to-all.virtual-node.ts';
import type { OutRecord } from '../../../messages/grammar/record.ts';
import type { HostedIdentity } from '../../../messages/member-to-link-manager.hosted-identity.ts';
import type { ContextSignature } from '../peer/entry.ts';
import type { RegistrationRequest } from '../peer/peer-message.ts';
import type { StoredRegistration } from '../state.ts';
import type { MemberTimes } from '../config.ts';
import type { TlsType } from '../network.ts';
import type { Leaving } from './leaving.ts';
import type { DynamicPolicy } from './policy.ts';

/** A registration under way. What it waits for is asked again by nobody: the shell's effects are owed until they are on the bus (W2). */
export type Joining = {
  readonly registrationId: string;
  readonly stage: 'finding' | 'signing' | 'announcing' | 'sending';
  /** Requests whose answers have not come. */
  readonly waiting: readonly string[];
  readonly keys: readonly PublicKeyInfo[];
  readonly request: RegistrationRequest | null;
  readonly signatures: readonly ContextSignature[];
  /** Over the request. */
  readonly signature: string | null;
  /** The payload that goes to the manager, the same with each repeat. */
  readonly payload: string | null;
  readonly sends: number;
  readonly sendAt: number | null;
  /** When it is given up, unless the manager has answered. */
  readonly giveUpAt: number;
};

export type JoiningState = {
  readonly type: 'joining';
  readonly v: 1;
  /** Oldest first. */
  readonly registrations: readonly StoredRegistration[];
  readonly progress: Joining | null;
  readonly hosted: HostedIdentity | null;
  /** Chains of its session keys as they were set up, PEM, by public key. */
  readonly certificates: Readonly<Record<string, string>>;
  /** As the network's list shows it. */
  readonly listed: { readonly status: 'ACTIVE' | 'SUSPENDED' | 'PENDING'; readonly serial: number } | null;
  /** While its virtual node is being deleted. */
  readonly leaving?: Leaving;
};

export const newJoiningState: JoiningState = { type: 'joining', v: 1, registrations: [], progress: null, hosted: null, certificates: {}, listed: null };

/** What the views say of the virtual node. */
export type JoiningFacts = { readonly virtualNode: VirtualNode; readonly cpi: CpiMetadata; readonly policy: DynamicPolicy; /** Of this cluster's gateway. */ readonly tlsType: TlsType; readonly times: MemberTimes };
export type Stepped<State> = { readonly state: State; readonly effects: readonly OutRecord[] };
