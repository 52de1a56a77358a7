/** Asks a bundle for its flows and its schema: in a thread of its own, sandboxed, within bounds. It is the author's code, but not our code. */
import { Worker } from 'node:worker_threads';
import * as z from 'zod';
import { buildLimits } from '../config.ts';
import { flowDeclarations, type FlowDeclaration } from '../manifest.ts';
import { parseSchema, schemaVersion } from '../schema.ts';
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

const readFlows = (given: unknown): FlowDeclaration[] => {
  const parsed = flowDeclarations.safeParse(given);
  if (!parsed.success) throw fault(`the application declares a flow that is not allowed:\n${z.prettifyError(parsed.error)}`);
  if (parsed.data.length === 0) throw fault('the entry exports no flow; export what startableFlow, responderFlow or subFlow made');
  checkNames(parsed.data);
  return parsed.data.sort((one, other) => (one.name < other.name ? -1 : 1));
};

// ── The schema ───────────────────────────────────────────────────────────────────────────────────────────────────────

const schemaFault = (reason: string): PackageBuildError => new PackageBuildError('BUILD_SCHEMA_INVALID', reason);

const exported = z.object({
  entities: z.array(z.object({ cordageEntity: z.literal(1), name: z.string(), indexes: z.array(z.string()).default([]) })),
  migrations: z.array(z.object({ cordageMigration: z.literal(1), name: z.string(), operations: z.array(z.unknown()) })),
});

/** The text of `schema.json`; `undefined` where the application keeps nothing but plain entities. */
const readSchema = (given: object): string | undefined => {
  const parsed = exported.safeParse(given);
  if (!parsed.success) {
    throw schemaFault(`the entry's exports "entities" and "migrations" are lists of what entity() and migration() made:\n${z.prettifyError(parsed.error)}`);
  }
  const entities = parsed.data.entities.filter(({ indexes }) => indexes.length > 0).map(({ name, indexes }) => ({ name, indexes }));
  const migrations = parsed.data.migrations.map(({ name, operations }) => ({ name, operations }));
  if (entities.length === 0 && migrations.length === 0) return undefined;
  const text = JSON.stringify({ version: schemaVersion, entities, migrations });
  const read = parseSchema(text);
  if (read.type === 'invalid') throw schemaFault(`the application declares a schema that is not allowed: ${read.reason}`);
  return text;
};

// ── Doors ────────────────────────────────────────────────────────────────────────────────────────────────────────────

export type Application = {
  /** In order of name. */
  readonly flows: FlowDeclaration[];
  /** Text of `schema.json`, where there is one. */
  readonly schema: string | undefined;
};

const answerShape = z.object({ flows: z.unknown(), entities: z.unknown(), migrations: z.unknown() });

/** Throws PackageBuildError where there is no flow, or something that no cluster would take. */
export const readApplication = async (bundle: Uint8Array, timeoutMs: number = buildLimits.evaluationMsMax): Promise<Application> => {
  const answer = await ask(bundle, timeoutMs);
  if (answer.type === 'failed') throw fault(`the application cannot be loaded in the sandbox: ${answer.reason}. ${evaluationHint}`);
  const { flows, entities, migrations } = answerShape.parse(JSON.parse(answer.json));
  return { flows: readFlows(flows), schema: readSchema({ entities, migrations }) };
};

/** Its flows alone. */
export const readDeclarations = async (bundle: Uint8Array, timeoutMs?: number): Promise<FlowDeclaration[]> => (await readApplication(bundle, timeoutMs)).flows;
