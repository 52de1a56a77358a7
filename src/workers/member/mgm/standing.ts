/** What a member's standing becomes: its entry in the next version of the list, and the group's parameters as they follow from it. */
import { entryOf, type Entry } from '../peer/entry.ts';
import { withParameters } from './queue.ts';
import { mgmContextOf } from './roster.ts';
import { standingOf, type MgmFacts, type MgmState } from './state.ts';

/** The entry as the next version will have it: one that is on its way, or the list's. */
export const entryNow = (state: MgmState, x500Name: string, facts: MgmFacts): Entry | undefined => {
  const coming = state.changed[x500Name] ?? state.signing?.entries.find((one) => one.x500Name === x500Name);
  if (coming !== undefined) return coming;
  const member = facts.member(x500Name);
  const entry = member === undefined ? undefined : entryOf(member);
  return entry?.serial === state.roster[x500Name]?.serial ? entry : undefined;
};

/** `undefined` while the member's record is not in view. */
export const withStatus = (state: MgmState, x500Name: string, status: 'ACTIVE' | 'SUSPENDED', facts: MgmFacts): MgmState | undefined => {
  const standing = standingOf(state, x500Name);
  const entry = entryNow(state, x500Name, facts);
  if (standing === undefined || entry === undefined) return undefined;
  const next = { ...standing, serial: standing.serial + 1, status };
  const changed = { ...entry, serial: next.serial, status, mgmContext: mgmContextOf(next, facts.now) };
  return withParameters({ ...state, changed: { ...state.changed, [x500Name]: changed } }, facts.virtualNode.holdingIdentity.groupId, facts.now);
};
