/**
 * Answers that are foreseen. To be told that an entity was written is to be told nothing, unless it was refused: so a turn goes on over such
 * answers before they have come, and what it asked for is done afterwards, together, in one statement of the db room. A flow that writes a
 * few entities one after the other is then one turn and one statement, instead of one of each for every entity.
 *
 *     turn: persist a ─ foreseen ─ persist b ─ foreseen ─ end        the sandbox
 *     a, b: done at once ──┬─ yes: the turn stands, as if each answer had come in its time
 *                          └─ no, and nothing is done: the draft is undone, and its step made again without foresight
 *
 * Invariants:
 * - **F1** only a repeatable step foresees (direct.ts), so that there is nothing to take back: its draft begins from nothing;
 * - **F2** nothing leaves a draft, and nothing more is asked for it, before all that it foresaw was done;
 * - **F3** what was done at once was done under the ids, and with the stored answers, that the ordinary way would have used: a step that is
 *   made again after a crash, or after an answer that came too late, is told these.
 */
import { flowToDbEntity } from '../../../messages/flow-to-db.entity.ts';
import type { DirectAnswers, DirectWays } from '../../../shell/direct.ts';
import { foreseeableKinds, foreseenJson } from '../sandbox/ask.ts';
import type { AskedOf, Draft, Ready } from './draft.ts';

export type ForesightLimits = { readonly unforeseenMs: number; readonly foreseenRequestCharsMax: number };

export type Foresight = {
  /** Whether the next turn of this flow may foresee. */
  may(draft: Draft): boolean;
  /** Asks for all that these drafts have foreseen. Drafts for which it was not done are undone. */
  fulfil(drafts: readonly Draft[]): Promise<boolean>;
};

/** Virtual nodes that are remembered as doubtful; beyond it all are forgotten, which costs some work in vain. */
const doubtfulMax = 10_000;

type Group = { readonly drafts: Draft[]; readonly asked: AskedOf[]; chars: number };

export const createForesight = (direct: DirectWays, limits: ForesightLimits): Foresight => {
  const way = direct.get(flowToDbEntity.topic);
  /** Until when their flows go step by step: where answers were refused once, they may be again. */
  const doubtful = new Map<string, number>();
  const doubt = ({ head, now }: Draft): void => {
    if (doubtful.size >= doubtfulMax) doubtful.clear();
    doubtful.set(head!.identity.shortHash, now + limits.unforeseenMs);
  };
  const isDoubtful = ({ head, now }: Draft): boolean => {
    const { shortHash } = head!.identity;
    const until = doubtful.get(shortHash);
    if (until !== undefined && until <= now) doubtful.delete(shortHash);
    return until !== undefined && until > now;
  };
  const fulfilGroup = async (of: DirectAnswers, { drafts, asked }: Group): Promise<void> => {
    const outcomes = await of.askAtOnce(asked.map(({ request }) => request.message));
    if (outcomes?.every(({ type }) => type === 'done') === true) return;
    doubt(drafts[0]!);
    for (const draft of drafts) draft.isUndone = true;
  };
  return {
    may: (draft) => way !== undefined && draft.foresees && draft.isRepeatable && !isDoubtful(draft),
    fulfil: async (drafts) => {
      if (way === undefined) return false;
      const groups = groupsOf(drafts.filter(({ isUndone }) => !isUndone), limits);
      await Promise.all(groups.map((group) => fulfilGroup(way, group)));
      return groups.length > 0;
    },
  };
};

/** What is foreseen, by virtual node, so that one's refusals are not another's, in pieces that are not too long; takes it from the drafts. */
const groupsOf = (drafts: readonly Draft[], { foreseenRequestCharsMax }: ForesightLimits): readonly Group[] => {
  const full: Group[] = [];
  const open = new Map<string, Group>();
  for (const draft of drafts) {
    const asked = draft.asked.filter(({ isForeseen }) => isForeseen);
    if (asked.length === 0) continue;
    draft.asked = draft.asked.filter(({ isForeseen }) => !isForeseen);
    const { shortHash } = draft.head!.identity;
    const group = open.get(shortHash) ?? { drafts: [], asked: [], chars: 0 };
    open.set(shortHash, group);
    group.drafts.push(draft);
    for (const one of asked) {
      group.asked.push(one);
      group.chars += one.request.message.record.value.length;
    }
    if (group.chars < foreseenRequestCharsMax) continue;
    full.push(group);
    open.delete(shortHash);
  }
  return [...full, ...open.values()];
};

/** Takes the answer that the code was told already; `undefined` where it could not be foreseen. */
export const foresee = (draft: Draft, op: number): Ready | undefined => {
  const head = draft.head!;
  const pending = head.pending.find((one) => one.op === op);
  const asked = draft.asked.find((one) => one.op === op);
  if (pending?.type !== 'external' || !foreseeableKinds.has(pending.kind) || asked === undefined || !draft.isRepeatable) return undefined;
  asked.isForeseen = true;
  draft.head = { ...head, pending: head.pending.filter((one) => one !== pending) };
  return { op, outcome: { type: 'answer', json: foreseenJson } };
};
