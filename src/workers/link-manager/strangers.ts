/**
 * Who a stranger's packet may concern: pairs by the key hashes of a hello, and by tag. What is not found is looked for again once
 * the views have changed, and only then: strangers choose what to ask for.
 */
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
  readonly limits: LinkManagerLimits;
  readonly keyHash: (spki: string) => string;
};

/** True where something in the views may have changed since it was asked last; at first it is. */
const whenChanged = ({ members, hostedIdentities }: StrangersOptions['views']): (() => boolean) => {
  let changed = true;
  const note = (): void => void (changed = true);
  members.onChange(note);
  hostedIdentities.onChange(note);
  return () => {
    const was = changed;
    changed = false;
    return was;
  };
};

type Names = { readonly members: Set<string>; readonly hosted: Set<string> };

const createKeyIndex = ({ views, keyHash }: StrangersOptions) => {
  const byHash = new Map<string, Names>();
  const worthLooking = whenChanged(views);
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
    if ((byHash.get(id)?.[kind].size ?? 0) === 0 && worthLooking()) look();
    return byHash.get(id)?.[kind] ?? new Set();
  };
};

const createTagIndex = ({ views, limits }: StrangersOptions) => {
  const byTag = new Map<string, Pair>();
  const tagged = new Set<string>();
  const worthLooking = whenChanged(views);
  const tagPairsOf = (groupId: string, ours: string): void => {
    for (const [, { groupId: theirGroup, x500Name: theirs }] of views.members.entries()) {
      const id = `${groupId}\n${ours}\n${theirs}`;
      if (theirGroup !== groupId || theirs === ours || tagged.has(id) || byTag.size >= limits.pairTagsMax) continue;
      tagged.add(id);
      byTag.set(pairTagOf(groupId, ours, theirs), { groupId, ours, theirs });
    }
  };
  return (tag: string): Pair | undefined => {
    if (!byTag.has(tag) && worthLooking()) {
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
