/**
 * Answers that are foreseen. To be told that an entity was written is to be told nothing, unless it was refused: so a turn goes on over such
 * answers before they have come, and what it asked for is done afterwards, together, in one statement. A flow that writes a few entities one
 * after the other is then one turn and one statement, instead of one of each for every entity.
 *
 *     turn: persist a ─ foreseen ─ persist b ─ foreseen ─ end        the sandbox
 *     a, b ──┬─ the step ends here: done in the very statement that saves the flow (joint)
 *            └─ it goes on, to ask for what must see them: done at once, by the db room alone
 *     done? ─┬─ yes: the turn stands, as if each answer had come in its time
 *            └─ no, and nothing is: the step is made again, write by write, by the bus where writes may be joint (D4 in direct.ts)
 *
 * Invariants:
 * - **F1** only a repeatable step foresees (direct.ts), so that there is nothing to take back: its draft begins from nothing;
 * - **F2** nothing leaves a draft before all that it foresaw was done, and nothing is asked for it that might see the difference;
 * - **F3** what was done at once was done under the ids, and with the stored answers, that the ordinary way would have used: a step that is
 *   made again after a crash, or after an answer that came too late, is told these. What was done with the save needs no answers: before that
 *   nothing of it is done, and a step that is made again after it, as the start of a flow that is not looked for may be, is not saved.
 */
import { flowToDbEntity } from '../../../messages/flow-to-db.entity.ts';
import type { DirectAnswers, DirectWays } from '../../../shell/direct.ts';
import { foreseeableKinds, foreseenJson } from '../sandbox/ask.ts';
import type { AskedOf, Draft, Ready } from './draft.ts';
import { hasEnded } from './head.ts';

export type ForesightLimits = { readonly unforeseenMs: number; readonly foreseenRequestCharsMax: number };

export type Foresight = {
  /** Whether the next turn of this flow may foresee. */
  may(draft: Draft): boolean;
  /** Asks for all that these drafts have foreseen and need before they go on. Drafts for which it was not done are undone. */
  fulfil(drafts: readonly Draft[]): Promise<boolean>;
  /** Joins what these drafts have foreseen, and need not have before, to their saves. */
  join(drafts: readonly Draft[]): Promise<void>;
};

/** Virtual nodes that are remembered as doubtful; beyond it all are forgotten, which costs some work in vain. */
const doubtfulMax = 10_000;

type Group = { readonly drafts: Draft[]; readonly asked: AskedOf[]; chars: number };

export type ForesightOptions = {
  readonly direct: DirectWays;
  readonly limits: ForesightLimits;
  /** Told of the drafts of joint work, and whether it was done. */
  readonly joined: (drafts: readonly Draft[], isDone: boolean) => void;
};

export const createForesight = ({ direct, limits, joined }: ForesightOptions): Foresight => {
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
  const undo = (drafts: readonly Draft[]): void => {
    doubt(drafts[0]!);
    for (const draft of drafts) draft.isUndone = true;
  };
  const fulfilGroup = async (of: DirectAnswers, { drafts, asked }: Group): Promise<void> => {
    const outcomes = await of.askAtOnce(asked.map(({ request }) => request.message));
    if (outcomes?.every(({ type }) => type === 'done') !== true) undo(drafts);
  };
  const joinGroup = async (of: DirectAnswers, { drafts, asked }: Group): Promise<void> => {
    const work = await of.joint!(asked.map(({ request }) => request.message));
    if (work === undefined) return undo(drafts);
    const ended = (isDone: boolean): void => {
      if (!isDone) doubt(drafts[0]!);
      joined(drafts, isDone);
    };
    const joint = { work, ended };
    for (const draft of drafts) draft.joint = joint;
  };
  return {
    may: (draft) => way !== undefined && draft.foresees && draft.isRepeatable && !isDoubtful(draft),
    fulfil: async (drafts) => {
      if (way === undefined) return false;
      const groups = groupsOf(drafts.filter((draft) => !draft.isUndone && draft.later === undefined && (way.joint === undefined || goesOn(draft))), limits);
      await Promise.all(groups.map((group) => fulfilGroup(way, group)));
      return groups.length > 0;
    },
    join: async (drafts) => {
      if (way?.joint === undefined) return;
      await Promise.all(groupsOf(drafts.filter(({ isUndone, later }) => !isUndone && later === undefined), limits).map((group) => joinGroup(way, group)));
    },
  };
};

/** Whether more of its step is to come: what it foresaw must be done before. */
const goesOn = ({ head, asked, ready, verifications }: Draft): boolean =>
  !hasEnded(head!) && (ready.length > 0 || verifications.length > 0 || asked.some(({ request }) => request.isShort));

/** What is foreseen, by virtual node, so that one's refusals are not another's, in pieces that are not too long; takes it from the drafts. */
const groupsOf = (drafts: readonly Draft[], { foreseenRequestCharsMax }: ForesightLimits): readonly Group[] => {
  const full: Group[] = [];
  const open = new Map<string, Group>();
  for (const draft of drafts) {
    const { foreseen } = draft;
    if (foreseen.length === 0) continue;
    draft.foreseen = [];
    const { shortHash } = draft.head!.identity;
    const group = open.get(shortHash) ?? { drafts: [], asked: [], chars: 0 };
    open.set(shortHash, group);
    group.drafts.push(draft);
    for (const one of foreseen) {
      group.asked.push(one);
      group.chars += one.request.chars;
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
  draft.asked = draft.asked.filter((one) => one !== asked);
  draft.foreseen.push(asked);
  draft.head = { ...head, pending: head.pending.filter((one) => one !== pending) };
  return { op, outcome: { type: 'answer', json: foreseenJson } };
};
