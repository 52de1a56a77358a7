/** What there is to record: which flow of which file begins, where, and with what. */
import { nameOf } from '../workers/flow/world/identities.ts';

export type Play = {
  /** The file in `flows`, and the name of the history. */
  readonly name: string;
  readonly about: string;
  readonly flowClassName: string;
  readonly input: unknown;
};

const bob = nameOf('Bob');
const carol = nameOf('Carol');

export const plays: readonly Play[] = [
  { name: 'vault', about: 'entities: stored, changed, found, paged, removed, refused', flowClassName: 'histories.Keep', input: 'Alice' },
  { name: 'conversation', about: 'several sessions with two counterparties, at once and in turns; versions; a close', flowClassName: 'histories.Talk', input: [bob, carol, bob] },
  { name: 'unread', about: 'messages that arrived before they were wanted', flowClassName: 'histories.Listen', input: bob },
  { name: 'races', about: 'race, any, all, allSettled; losers that end later; an operation nobody waits for', flowClassName: 'histories.Race', input: null },
  { name: 'sub-flows', about: 'inline and initiating sub-flows, nested, at once, failing', flowClassName: 'histories.Nest', input: bob },
  { name: 'signatures', about: 'signing texts and bytes, verifying, keys that are not there', flowClassName: 'histories.Prove', input: null },
  { name: 'clock', about: 'time, chance, ids, sleep, log, members', flowClassName: 'histories.Wait', input: null },
  { name: 'failures', about: 'counterparties that throw, return, fall silent or refuse; strangers; values that are no JSON; a flow that throws', flowClassName: 'histories.Suffer', input: bob },
  { name: 'long', about: 'a hundred and twenty operations', flowClassName: 'histories.Count', input: 60 },
  { name: 'chain', about: 'responders that open sessions of their own, there and back', flowClassName: 'histories.Post', input: [bob, carol, bob] },
  { name: 'many', about: 'several sessions in one operation; what was agreed on; confirmed closes; time-outs; properties', flowClassName: 'histories.Gather', input: [bob, carol] },
  { name: 'pieces', about: 'a value that travels in pieces', flowClassName: 'histories.Tell', input: bob },
  { name: 'deadlines', about: 'work within a time and beyond it, nested; a message heard after the deadline', flowClassName: 'histories.Hurry', input: bob },
  { name: 'lives', about: 'a flow that continues as another run', flowClassName: 'histories.Live', input: 2 },
  { name: 'incarnations', about: 'ids, chance and sessions of flows that know their incarnation, over two runs', flowClassName: 'histories.Draw', input: { other: bob, drawn: [] } },
  { name: 'lookups', about: 'keys, members, group parameters, a query of tables', flowClassName: 'histories.Look', input: null },
];
