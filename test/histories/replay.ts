/** Replays a recorded flow by the engine's own means: its journal over its code, in a sandbox that has never seen it. */
import { replayOf } from '../../src/workers/flow/engine/journal.ts';
import { askedOf } from '../../src/workers/flow/sandbox/ask.ts';
import type { Asked, Finished, ReplayStep, Sandbox, TurnResult } from '../../src/workers/flow/sandbox/sandbox.ts';
import type { RecordedFlow } from './history.ts';

export type Replayed =
  | { readonly type: 'ran'; readonly asked: readonly Asked[]; readonly finished: Finished | undefined }
  | Exclude<TurnResult, { type: 'ran' }>;

export const stepsOf = ({ items }: RecordedFlow): readonly ReplayStep[] => {
  const replay = replayOf(items);
  if (replay === undefined) throw new Error('the journal cannot be read');
  return replay.steps;
};

/** Rebuilds the flow from its first steps, and gives it the completion of the next. */
export const replay = async (sandbox: Sandbox, code: string, flow: RecordedFlow, place: number): Promise<Replayed> => {
  const { head, items } = flow;
  const { start, flags, steps } = replayOf(items)!;
  const { at, completion } = steps[place]!;
  const { x500Name, groupId, shortHash } = head.identity;
  const fresh = { code, me: { x500Name, groupId, shortHash }, flowClassName: head.flowClassName, flags, start, journal: steps.slice(0, place) };
  sandbox.forget([head.flowId]);
  const [result] = await sandbox.run([{ flowId: head.flowId, compartment: `${head.code.cpkHash}/${shortHash}`, at, fresh, completions: completion === undefined ? [] : [completion] }]);
  if (result === undefined) throw new Error('the sandbox gave no result');
  if (result.type !== 'ran') return result;
  return { type: 'ran', asked: result.steps.at(-1)!.asks.map(askedOf), finished: result.finished };
};
