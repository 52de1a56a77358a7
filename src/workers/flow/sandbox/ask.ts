/** What a flow asked for, as the journal knows it again. */
import type { OperationKind } from '../../../flow-sdk/operations.ts';
import type { Ask, Asked, AskKind } from './sandbox.ts';

/** UTF-16 code units of an operation's parameters that the journal keeps for people. */
const sketchCharsMax = 120;

export const askedOf = (ask: Ask): Asked => ({ kind: ask.kind, digest: ask.digest, sketch: ask.params.slice(0, sketchCharsMax) });

/** Operations have numbers; what only tells the engine something has none. */
export const isNumbered = (kind: AskKind): kind is OperationKind => kind !== 'session.open' && kind !== 'cancel';

/** Operations whose answer is known before it comes, unless they are refused: it says nothing but that they are done. */
export const foreseeableKinds: ReadonlySet<AskKind> = new Set(['db.persist', 'db.merge']);
export const foreseenJson = '{}';

const textOf = ({ kind, sketch }: Asked): string => `${kind} ${sketch}`;

/** What a replayed step asked for and its journal has not, or the other way: its place among the asks of the step. */
export const partingOf = (journal: readonly Asked[], asks: readonly Ask[]): number | undefined => {
  for (let i = 0; i < Math.max(journal.length, asks.length); i++) {
    if (journal[i] === undefined || journal[i]!.kind !== asks[i]?.kind || journal[i]!.digest !== asks[i]?.digest) return i;
  }
  return undefined;
};

/** Shows both sides of a parting. `firstOp` is the number of the step's first operation. */
export const describeParting = (journal: readonly Asked[], asks: readonly Ask[], place: number, firstOp: number): string => {
  const op = firstOp + journal.slice(0, place).filter(({ kind }) => isNumbered(kind)).length;
  const [kept, ask] = [journal[place], asks[place]];
  const had = kept === undefined ? 'nothing here' : textOf(kept);
  const got = ask === undefined ? 'nothing' : textOf(askedOf(ask));
  return `at operation ${op} the journal has ${had}, the code asked for ${got}`;
};
