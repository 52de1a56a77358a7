/**
 * Requests that go to a room of this same process directly, and are answered within the step that makes them: a flow that begins and
 * writes a few entities is then one step and one save.
 *
 * They are made before the flow's state is written, so W1 does not guard them. What guards them is that the step in which REST's start
 * begins a flow is **repeatable**: made again after a crash it makes the same requests under the same ids, and is told the stored answers
 * (W3). It is so as long as
 *
 * - **D1** the flow began in this step, and nothing but its start has been heard: a kill, a message or a wake might come before or after;
 * - **D2** the code is told the time of the start's record, not that of the step;
 * - **D3** it has been told nothing that may change meanwhile, as members and sessions do (`repeatableKinds`).
 *
 * Stored answers guard nothing of what is done with a save (foresight.ts), which stores none: it may have been done so before, or be done so yet,
 * by a step that this one repeats. So where writes may be done with a save,
 *
 * - **D4** a turn that cannot foresee leaves its writes to the bus: they are made once the step is saved, and a repeat is not.
 *
 * What is left is that its virtual node got other code between the crash and the repeat, or that the start was parked in between and driven
 * again as a record of a later time: then the other room finds the request changed (`work-out.ts`), and the flow fails with that reason
 * instead of taking another request's answer for its own. Another start of the same client request id, where the first is lost or parked, is
 * another flow (`incarnationOf`): what the first has written stays, and it does not know of it.
 */
import type { DirectAnswers, DirectWays } from '../../../shell/direct.ts';
import type { FlowEvent } from './event.ts';
import type { AskedOf, Draft } from './draft.ts';
import { hasEnded, type FlowHead } from './head.ts';
import { foreseeableKinds } from '../sandbox/ask.ts';
import type { AskKind } from '../sandbox/sandbox.ts';
import { takeAnswer } from './request.ts';

export const noWays: DirectWays = new Map();

/** D1 */
export const isRepeatable = (head: FlowHead | undefined, events: readonly FlowEvent[]): boolean => head === undefined && events.every(({ type }) => type === 'start');

/** D2: a flow that begins is told when it was asked for. */
export const timeOf = (head: FlowHead | undefined, [first]: readonly FlowEvent[], now: number): number => (head === undefined && first?.type === 'start' ? first.at : now);

/** D3: operations that the code is told nothing by that it would not be told again. */
export const repeatableKinds: ReadonlySet<AskKind> = new Set(['db.persist', 'db.merge', 'db.remove', 'db.find', 'db.query', 'db.count', 'db.run', 'crypto.verify', 'sleep']);

type Asking = { readonly draft: Draft; readonly asked: AskedOf };

const isWrite = ({ head }: Draft, op: number): boolean => {
  const pending = head!.pending.find((one) => one.op === op);
  return pending?.type === 'external' && foreseeableKinds.has(pending.kind);
};

const wayOf = (direct: DirectWays, draft: Draft, { op, request }: AskedOf, foresees: boolean): DirectAnswers | undefined => {
  if (!request.isShort || !draft.isRepeatable || draft.later !== undefined || hasEnded(draft.head!)) return undefined;
  const way = direct.get(request.message.record.topic);
  // D4
  return way?.joint !== undefined && !foresees && isWrite(draft, op) ? undefined : way;
};

const put = (byWay: Map<DirectAnswers, Asking[]>, way: DirectAnswers, asking: Asking): void => {
  const others = byWay.get(way);
  if (others === undefined) byWay.set(way, [asking]);
  else others.push(asking);
};

/**
 * Sends what this round has asked of other rooms, by the bus when the step ends, or directly; then says true, and takes the answers.
 * `foresaw` tells of a draft whether its turn could foresee.
 */
export const sendAsked = async (drafts: readonly Draft[], direct: DirectWays, foresaw: (draft: Draft) => boolean): Promise<boolean> => {
  const byWay = new Map<DirectAnswers, Asking[]>();
  for (const draft of drafts) {
    for (const asked of draft.asked) {
      const way = wayOf(direct, draft, asked, foresaw(draft));
      if (way === undefined) draft.effects.push(asked.request.message.record);
      else put(byWay, way, { draft, asked });
    }
    draft.asked = [];
  }
  await Promise.all([...byWay].map(([way, asking]) => askBy(way, asking)));
  return byWay.size > 0;
};

const askBy = async (way: DirectAnswers, asking: readonly Asking[]): Promise<void> => {
  const outcomes = await way.ask(asking.map(({ asked }) => asked.request.message));
  for (const [i, { draft, asked }] of asking.entries()) {
    const outcome = outcomes[i];
    if (outcome === undefined) draft.effects.push(asked.request.message.record);
    else takeAnswer(draft, asked.op, outcome);
  }
};
