/**
 * Runs bundled flows as a cluster does: hardened, in a Compartment without powers, the context made outside of it. Everything is
 * imported before lockdown, so that only the application lives in the hardened world's rules.
 */
import 'ses';
import { parentPort, workerData } from 'node:worker_threads';
import type { Flow } from '../../src/flow-sdk/flow-sdk.ts';
import { createNetwork } from './two-party.ts';

export type SandboxRun = { readonly member: string; readonly flow: string; readonly input?: unknown };
export type SandboxWork = { readonly bundle: string; readonly members: readonly string[]; readonly runs: readonly SandboxRun[]; readonly entity?: string };
export type SandboxOutcome = { readonly result: string | null } | { readonly error: { readonly name: string; readonly message: string } };
export type SandboxAnswer = {
  readonly flows: readonly { name: string; kind: string }[];
  readonly outcomes: readonly SandboxOutcome[];
  /** Of each member, what the vault holds of the entity asked for. */
  readonly vaults: readonly Record<string, unknown>[];
};

const { bundle, members, runs, entity } = workerData as SandboxWork;

lockdown();
const { flows } = new Compartment().evaluate(`${bundle}\n;cordageApp`) as { flows: Flow[] };
const network = await createNetwork(members, flows);
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
