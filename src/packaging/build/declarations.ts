/** Asks a bundle for its flows: in a thread of its own, sandboxed, within bounds. It is the author's code, but not our code. */
import { Worker } from 'node:worker_threads';
import * as z from 'zod';
import { buildLimits } from '../config.ts';
import { flowDeclarations, type FlowDeclaration } from '../manifest.ts';
import type { DeclarationsAnswer } from './declarations-thread.ts';
import { PackageBuildError } from './error.ts';

const fault = (reason: string, cause?: unknown): PackageBuildError => new PackageBuildError('BUILD_FLOWS_INVALID', reason, { cause });

const evaluationHint = 'Flow modules may only declare at their top level; there is no clock, no chance, no network and no console there';

const ask = async (bundle: Uint8Array, timeoutMs: number): Promise<DeclarationsAnswer> => {
  const thread = new Worker(new URL('./declarations-thread.ts', import.meta.url), {
    workerData: new TextDecoder().decode(bundle),
    resourceLimits: { maxOldGenerationSizeMb: buildLimits.evaluationHeapMbMax },
    env: {},
    execArgv: [],
  });
  let timer: NodeJS.Timeout | undefined;
  try {
    return await new Promise<DeclarationsAnswer>((resolve, reject) => {
      thread.once('message', resolve);
      thread.once('error', (cause) => reject(fault(`the application stopped while it was loaded: ${cause.message}. ${evaluationHint}`, cause)));
      timer = setTimeout(() => reject(fault(`the application did not finish loading within ${timeoutMs} ms. ${evaluationHint}`)), timeoutMs);
    });
  } finally {
    clearTimeout(timer);
    await thread.terminate();
  }
};

const checkNames = (declarations: readonly FlowDeclaration[]): void => {
  const seen = new Set<string>();
  for (const { name } of declarations) {
    if (seen.has(name)) throw fault(`two exported flows are called ${name}; give each its own name`);
    seen.add(name);
  }
};

/** In order of name. Throws PackageBuildError where there is none, or one that no cluster would take. */
export const readDeclarations = async (bundle: Uint8Array, timeoutMs: number = buildLimits.evaluationMsMax): Promise<FlowDeclaration[]> => {
  const answer = await ask(bundle, timeoutMs);
  if (answer.type === 'failed') throw fault(`the application cannot be loaded in the sandbox: ${answer.reason}. ${evaluationHint}`);
  const parsed = flowDeclarations.safeParse(JSON.parse(answer.json));
  if (!parsed.success) throw fault(`the application declares a flow that is not allowed:\n${z.prettifyError(parsed.error)}`);
  if (parsed.data.length === 0) throw fault('the entry exports no flow; export what startableFlow, responderFlow or subFlow made');
  checkNames(parsed.data);
  return parsed.data.sort((one, other) => (one.name < other.name ? -1 : 1));
};
