/**
 * Who a stranger's packet may concern: pairs by the key hashes of a hello, and by tag. What is not found is looked for again,
 * but not more often than a bound, since strangers choose what to ask for.
 */
import type { Clock } from '../../host/clock.ts';
import { pairTagOf } from '../../identity/derive.ts';
import type { LinkManagerLimits } from './config.ts';
import type { LinkManagerViews, Pair } from './directory.ts';

export type Strangers = {
  /** The pair that a hello names by its key hashes; it may still be under the wrong tag. */
  pairOfHello(hello: { groupId: string; initiatorKeyHash: string; responderKeyHash: string }): Pair | undefined;
  /** The pair of a tag, as far as it is one of an identity here and a member. */
  pairOfTag(tag: string): Pair | undefined;
};

export type StrangersOptions = {
  readonly views: Pick<LinkManagerViews, 'members' | 'hostedIdentities'>;
  readonly clock: Clock;
  readonly limits: LinkManagerLimits;
  readonly keyHash: (spki: string) => string;
};

/** True at most once in a while. */
const seldom = (clock: Clock, everyMs: number): (() => boolean) => {
  let lastAt = Number.NEGATIVE_INFINITY;
  return () => {
    if (clock.now() < lastAt + everyMs) return false;
    lastAt = clock.now();
    return true;
  };
};

type Names = { readonly members: Set<string>; readonly hosted: Set<string> };

const createKeyIndex = ({ views, clock, limits, keyHash }: StrangersOptions) => {
  const byHash = new Map<string, Names>();
  const mayLook = seldom(clock, limits.directoryRefreshMs);
  const entryOf = (groupId: string, spki: string): Names => {
    const id = `${keyHash(spki)}/${groupId}`;
    const entry = byHash.get(id) ?? { members: new Set<string>(), hosted: new Set<string>() };
    byHash.set(id, entry);
    return entry;
  };
  const look = (): void => {
    byHash.clear();
    for (const [, { groupId, x500Name, sessionKeys }] of views.members.entries()) {
      for (const { publicKey } of sessionKeys) entryOf(groupId, publicKey).members.add(x500Name);
    }
    for (const [, { holdingIdentity, sessionKey }] of views.hostedIdentities.entries()) {
      entryOf(holdingIdentity.groupId, sessionKey.publicKey).hosted.add(holdingIdentity.x500Name);
    }
  };
  return (groupId: string, hash: string, kind: keyof Names): ReadonlySet<string> => {
    const id = `${hash}/${groupId}`;
    if ((byHash.get(id)?.[kind].size ?? 0) === 0 && mayLook()) look();
    return byHash.get(id)?.[kind] ?? new Set();
  };
};

const createTagIndex = ({ views, clock, limits }: StrangersOptions) => {
  const byTag = new Map<string, Pair>();
  const tagged = new Set<string>();
  const mayLook = seldom(clock, limits.directoryRefreshMs);
  const tagPairsOf = (groupId: string, ours: string): void => {
    for (const [, { groupId: theirGroup, x500Name: theirs }] of views.members.entries()) {
      const id = `${groupId}\n${ours}\n${theirs}`;
      if (theirGroup !== groupId || theirs === ours || tagged.has(id) || byTag.size >= limits.pairTagsMax) continue;
      tagged.add(id);
      byTag.set(pairTagOf(groupId, ours, theirs), { groupId, ours, theirs });
    }
  };
  return (tag: string): Pair | undefined => {
    if (!byTag.has(tag) && mayLook()) {
      for (const [, { holdingIdentity }] of views.hostedIdentities.entries()) tagPairsOf(holdingIdentity.groupId, holdingIdentity.x500Name);
    }
    return byTag.get(tag);
  };
};

export const createStrangers = (options: StrangersOptions): Strangers => {
  const namesOf = createKeyIndex(options);
  return {
    pairOfTag: createTagIndex(options),
    pairOfHello: ({ groupId, initiatorKeyHash, responderKeyHash }) => {
      const [ours] = namesOf(groupId, responderKeyHash, 'hosted');
      if (ours === undefined) return undefined;
      const theirs = [...namesOf(groupId, initiatorKeyHash, 'members')].find((name) => name !== ours);
      return theirs === undefined ? undefined : { groupId, ours, theirs };
    },
  };
};
