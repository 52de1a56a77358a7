/** What the member room keeps of a dynamic network on this cluster, under its group id: what it needs to judge the next version of the list. */
import type { Entry, SignerKey } from '../peer/entry.ts';
import type { SessionTrust } from '../peer/session-certificates.ts';

/** Of one member; with mutual TLS the subject that the gateway lets in for it. */
export type RosterLeaf = { readonly leaf: string; readonly subject?: string };

export type ListState = {
  readonly type: 'list';
  readonly v: 1;
  readonly groupId: string;
  /** Whose word it takes: of the group policy, then of the list itself. */
  readonly manager: { readonly x500Name: string; readonly sessionKeys: readonly SignerKey[] };
  /** Who vouches for session keys, by the group policy and then by the group parameters; `null` where neither is here yet. */
  readonly trust: SessionTrust | null;
  /** Of the list that was taken over last; 0 for none. */
  readonly version: number;
  readonly epoch: number;
  readonly roster: Readonly<Record<string, RosterLeaf>>;
  /** Who is joining from here, and by which registration. */
  readonly pending: Readonly<Record<string, string>>;
  /** Identities of this cluster that may ask the manager. */
  readonly locals: readonly string[];
  /** A list that comes in pages: what has come of it, and the name that the next page begins behind. */
  readonly staging: { readonly version: number; readonly since: number; readonly after: string; readonly entries: readonly Entry[] } | null;
  /** When the manager is asked next, whatever has come. */
  readonly syncAt: number;
  /** How often it was asked without a version that could be taken over. */
  readonly syncs: number;
};
