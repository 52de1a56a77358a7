/**
 * The process of `cordage flow replay`: runs flow code over its journal, in this realm, and says where it stands. Nothing is sent and
 * nothing is stored: what the code asks for is compared with the journal and thrown away.
 */
import { readFileSync } from 'node:fs';
import { evaluateBundle, localSourceMap } from '../../testing/evaluate.ts';
import { timelineOf, type FlowJournal } from '../../testing/timeline.ts';
import { replayOf, type Replay } from '../../workers/flow/engine/journal.ts';
import type { Fresh, TurnResult } from '../../workers/flow/sandbox/sandbox.ts';
import { createTrustingSandbox } from '../../workers/flow/worker.ts';
import type { FetchedCode } from './journal.ts';
import { createStanding, type Standing } from './standing.ts';

/** What the command hands to this process, as a file. */
export type ReplayOrder = FlowJournal & { readonly code: FetchedCode; readonly project: string; readonly filename: string };

/** The last step is delivered, not compared: with it the code may come to its end, which no journal of a flow that waits has. */
const turnOf = ({ flow, code }: ReplayOrder, { steps, ...replay }: Replay): Parameters<ReturnType<typeof createTrustingSandbox>['run']>[0][number] => {
  const last = steps.at(-1)!;
  const { flowId, flowClassName, x500Name, groupId } = flow;
  const me = { x500Name, groupId, shortHash: flow.status.holdingIdentityShortHash };
  const fresh: Fresh = { ...replay, code: code.bundle, me, flowClassName, journal: steps.slice(0, -1) };
  return { flowId, compartment: 'replay', at: last.at, fresh, completions: last.completion === undefined ? [] : [last.completion] };
};

/** Where the last step parts from the journal. */
const lastParting = (result: Extract<TurnResult, { type: 'ran' }>, { steps }: Replay): string | undefined => {
  const asked = steps.at(-1)!.asked;
  const asks = result.steps.at(-1)?.asks ?? [];
  const textOf = (one: { readonly kind: string; readonly sketch?: string; readonly params?: string } | undefined): string =>
    one === undefined ? 'nothing' : `${one.kind} ${(one.sketch ?? one.params ?? '').slice(0, 120)}`;
  for (let i = 0; i < Math.max(asked.length, asks.length); i++) {
    if (asked[i]?.kind === asks[i]?.kind && asked[i]?.digest === asks[i]?.digest) continue;
    return `at the last step the journal has ${textOf(asked[i])}, the code asked for ${textOf(asks[i])}`;
  }
  return undefined;
};

const say = (lines: readonly string[]): void => console.log(lines.join('\n'));

const sayStanding = (order: ReplayOrder, standing: Standing): void => {
  const calls = standing.waiting();
  const waits = timelineOf(order).filter(({ type }) => type === 'waits');
  say([
    'The code stands',
    ...(calls.length === 0 ? ['  nowhere: it waits for nothing of its context'] : calls.map((call) => `  in ${call}`)),
    ...waits.map(({ op, text }) => `  #${op} waits for ${text}`),
    ...(order.flow.status.flowStatus === 'RUNNING' ? [] : [`  the flow is ${order.flow.status.flowStatus}`]),
  ]);
};

const report = (order: ReplayOrder, replay: Replay, result: TurnResult, standing: Standing): number => {
  if (result.type === 'diverged') {
    say(['The code parts from the journal:', `  ${result.message}`, ...standing.waiting().map((call) => `  in ${call}`)]);
    return 1;
  }
  if (result.type !== 'ran') {
    const reason = result.type === 'fault' ? `${result.code}: ${result.message}` : result.type === 'lost' ? result.reason : result.type;
    say(['The code could not be replayed:', `  ${reason}`]);
    return 1;
  }
  const parting = lastParting(result, replay);
  if (parting !== undefined) {
    say(['The code parts from the journal:', `  ${parting}`, ...standing.waiting().map((call) => `  in ${call}`)]);
    return 1;
  }
  say([`${replay.steps.length} steps replayed, as they were.`]);
  if (result.finished === undefined) sayStanding(order, standing);
  else if (result.finished.type === 'result') say(['The code returned', `  ${result.finished.result ?? 'nothing'}`]);
  else say(['The code threw', ...(standing.thrown() ?? result.finished.message).split('\n').map((line) => `  ${line}`)]);
  return 0;
};

const main = async (file: string): Promise<number> => {
  // Written by replay.ts a moment ago.
  const order = JSON.parse(readFileSync(file, 'utf8')) as ReplayOrder;
  const { code, project, filename } = order;
  const replay = replayOf(order.items);
  if (replay === undefined) {
    say(['The journal is damaged: it has no beginning, or an answer without its message.']);
    return 1;
  }
  const sourceMap = code.sourceMap === undefined ? undefined : localSourceMap(code.sourceMap, project);
  const standing = createStanding({ filename, sourceMap });
  const sandbox = createTrustingSandbox({ evaluate: (text) => standing.watch(evaluateBundle({ code: text, sourceMap: code.sourceMap, project, filename })) });
  const [result] = await sandbox.run([turnOf(order, replay)]);
  return report(order, replay, result!, standing);
};

process.exitCode = await main(process.argv[2]!);
