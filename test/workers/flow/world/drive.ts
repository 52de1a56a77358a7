/** Drives one flow over a sandbox alone, as the machine does: keeps its journal, answers its operations, comes again when it is sent back. */
import { askedOf } from '../../../../src/workers/flow/sandbox/ask.ts';
import type { Completion, ReplayStep, Sandbox, Turn, TurnResult } from '../../../../src/workers/flow/sandbox/sandbox.ts';

export type Drive = {
  readonly flowId: string;
  readonly compartment: string;
  readonly code: string;
  readonly flowClassName: string;
  readonly input?: unknown;
};

let flowCount = 0;
export const newFlowId = (): string => `20000000-0000-8000-8000-${String(++flowCount).padStart(12, '0')}`;

export const me = { x500Name: 'CN=Alice, O=Alice, L=London, C=GB', groupId: 'g', shortHash: 'A'.repeat(12) };

/** Times a flow comes again before the test gives up. */
const triesMax = 3_000;
/** Milliseconds before it does: the shell's back-off. */
const backOffMs = 10;

export const turnOf = ({ flowId, compartment, code, flowClassName, input = null }: Drive, journal: readonly ReplayStep[] = [], completions: readonly Completion[] = []): Turn => ({
  flowId,
  compartment,
  at: 1,
  fresh: { code, me, flowClassName, flags: [], start: { type: 'input', json: JSON.stringify(input), context: {} }, journal },
  completions,
});

/** What becomes of the flow in the end, when every operation is answered with no items. */
export const driveFlow = async (sandbox: Sandbox, drive: Drive): Promise<TurnResult> => {
  const journal: ReplayStep[] = [];
  const pending: number[] = [];
  let operations = 0;
  let completion: Completion | undefined;
  for (let tries = 0; tries < triesMax; tries++) {
    const completions = completion === undefined ? [] : [completion];
    const { fresh, ...held } = turnOf(drive, journal, completions);
    const [result] = await sandbox.run([sandbox.holds(drive.flowId) ? held : { ...held, fresh: fresh! }]);
    if (result?.type === 'lost') {
      await new Promise((resolve) => setTimeout(resolve, backOffMs));
      continue;
    }
    if (result?.type !== 'ran' || result.finished !== undefined) return result!;
    const { asks } = result.steps.at(-1)!;
    journal.push({ at: 1, ...(completion === undefined ? {} : { completion }), asked: asks.map(askedOf) });
    for (const { kind } of asks) if (kind !== 'session.open') pending.push(operations++);
    const op = pending.shift();
    if (op === undefined) return result;
    completion = { op, type: 'answer', json: '{"items":[]}' };
  }
  throw new Error(`the flow ${drive.flowClassName} was sent back ${triesMax} times`);
};

/** One word for what became of a flow. */
export const outcomeOf = (result: TurnResult): string => {
  if (result.type === 'fault') return result.code;
  if (result.type !== 'ran') return result.type;
  if (result.finished === undefined) return 'waits';
  return result.finished.type === 'result' ? String(result.finished.result) : `threw ${result.finished.message}`;
};
