/** A member has left: its virtual node is no more, so it is suspended. Nobody but the member can say so, and only of how it stands now. */
import { clockSkewMs, requestMsMax } from '../config.ts';
import { keysIn } from '../peer/context-map.ts';
import { isSignedBy, leaveInput, type Entry } from '../peer/entry.ts';
import type { SignedLeave } from '../peer/peer-message.ts';
import { entryNow, withStatus } from './standing.ts';
import { standingOf, type MgmFacts, type MgmState, type MgmStepped } from './state.ts';

const faultOf = async (state: MgmState, { leave, signature }: SignedLeave, source: string, entry: Entry, { virtualNode, now }: MgmFacts): Promise<string | undefined> => {
  const { groupId, x500Name } = virtualNode.holdingIdentity;
  const standing = standingOf(state, source);
  if (leave.groupId !== groupId || leave.manager !== x500Name) return 'it is for another group or manager';
  if (leave.x500Name !== source || source === x500Name) return 'it does not come from whom it names';
  if (standing?.status !== 'ACTIVE' || leave.serial !== standing.serial) return 'it is of a member that stands otherwise';
  if (now > leave.sentAt + requestMsMax || leave.sentAt > now + clockSkewMs) return 'it is too old, or of the future';
  const signed = await Promise.all(keysIn(entry.memberContext, 'session').map((key) => isSignedBy(key, leaveInput(leave), signature)));
  return signed.includes(true) ? undefined : 'it is not signed by a session key of the member';
};

export const hearLeave = async (state: MgmState, signed: SignedLeave, source: string, facts: MgmFacts): Promise<MgmStepped> => {
  const refused = (why: string): MgmStepped => ({ state, effects: [], refusal: `${source} leaves: ${why}` });
  if (standingOf(state, source) === undefined) return refused('it is no member');
  const entry = entryNow(state, source, facts);
  const later: MgmStepped = { state, effects: [], later: `the record of ${source} is not in view yet` };
  if (entry === undefined) return later;
  const fault = await faultOf(state, signed, source, entry, facts);
  if (fault !== undefined) return refused(fault);
  const next = withStatus(state, source, 'SUSPENDED', facts);
  return next === undefined ? later : { state: next, effects: [] };
};
