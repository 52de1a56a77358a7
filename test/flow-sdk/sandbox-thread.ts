/**
 * Runs bundled flows as a cluster does: hardened, in a Compartment without powers, the context made outside of it. Everything is
 * imported before lockdown, so that only the application lives in the hardened world's rules.
 */
import 'ses';
import { parentPort, workerData } from 'node:worker_threads';
import type { Flow } from '../../src/flow-sdk/flow-sdk.ts';
import { createNetwork, type RunQuery } from './two-party.ts';

export type SandboxRun = { readonly member: string; readonly flow: string; readonly input?: unknown };
export type SandboxWork = { readonly bundle: string; readonly members: readonly string[]; readonly runs: readonly SandboxRun[]; readonly entity?: string };
export type SandboxOutcome = { readonly result: string | null } | { readonly error: { readonly name: string; readonly message: string } };
export type SandboxAnswer = {
  readonly flows: readonly { name: string; kind: string }[];
  readonly outcomes: readonly SandboxOutcome[];
  /** Of each member, what the vault holds of the entity asked for. */
  readonly vaults: readonly Record<string, unknown>[];
};

/** A query of tables, for whoever has a database; a refusal is the answer that a flow would see. */
export type SandboxQuery = { readonly type: 'query'; readonly id: number; readonly member: string; readonly query: Parameters<RunQuery>[1] };
export type Queried = Awaited<ReturnType<RunQuery>> | { readonly code: string; readonly message: string };

const { bundle, members, runs, entity } = workerData as SandboxWork;

lockdown();
const { flows } = new Compartment().evaluate(`${bundle}\n;cordageApp`) as { flows: Flow[] };
const waiting = new Map<number, (answered: Queried) => void>();
/** Asks the thread that has the database. */
const runQuery: RunQuery = async (member, query) => {
  const id = waiting.size;
  const answered = new Promise<Queried>((resolve) => waiting.set(id, resolve));
  parentPort!.postMessage({ type: 'query', id, member, query } satisfies SandboxQuery);
  const outcome = await answered;
  // A literal refusal, as a host gives it.
  // oxlint-disable-next-line no-throw-literal -- see above
  if ('code' in outcome) throw outcome;
  return outcome;
};
parentPort!.on('message', ({ id, answered }: { id: number; answered: Queried }) => waiting.get(id)!(answered));

const network = await createNetwork(members, flows, runQuery);
const outcomes: SandboxOutcome[] = [];
for (const { member, flow, input } of runs) {
  try {
    outcomes.push({ result: await network.run(member, flow, input) });
  } catch (error) {
    const { name, message } = error as Error;
    outcomes.push({ error: { name, message } });
  }
}
const vaults = members.map((member) => Object.fromEntries([...network.vault(member, entity ?? '')].map(([id, json]) => [id, JSON.parse(json)])));
const answer: SandboxAnswer = { flows: flows.map(({ declaration: { name, kind } }) => ({ name, kind })), outcomes, vaults };
parentPort!.postMessage(answer);
parentPort!.close();
