/** What the member room keeps of a dynamic network on this cluster, under its group id: what it needs to judge the next version of the list. */
import type { ListedNotice } from '../event.ts';
import type { Entry, SignerKey } from '../peer/entry.ts';
import type { SessionTrust } from '../peer/session-certificates.ts';

/** Of one member; with mutual TLS the subject that the gateway lets in for it. */
export type RosterLeaf = { readonly leaf: string; readonly subject?: string };

/** A page of a list, kept as an item until the last page is here and its turn has come. */
export type ListPage = { readonly type: 'page'; readonly entries: readonly Entry[] };

/** A list that comes in pages. What its entries say is in the pages; here is what the root is made of. */
export type Staging = {
  readonly version: number;
  readonly since: number;
  /** The name that the next page begins behind. */
  readonly after: string;
  readonly leaves: Readonly<Record<string, RosterLeaf>>;
  /** Where its entry came in one of the pages. */
  readonly managerKeys: readonly SignerKey[] | null;
  readonly pages: PageRange;
};

/** Positions of items: `from` to before `to`. */
export type PageRange = { readonly from: number; readonly to: number };

/** Pages of lists that were taken over, whose records go out one page a step. */
export type Taking = {
  readonly pages: readonly PageRange[];
  /** Those of this cluster that stand in them: told at the end, when everybody is in view. */
  readonly listed: readonly ListedNotice[];
  readonly dueAt: number;
};

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
  readonly staging: Staging | null;
  readonly taking: Taking | null;
  /** Position of the next page: none is used twice. */
  readonly nextPage: number;
  /** When the manager is asked next, whatever has come. */
  readonly syncAt: number;
  /** How often it was asked without a version that could be taken over. */
  readonly syncs: number;
};
