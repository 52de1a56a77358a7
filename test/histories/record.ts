/** Records a history: `node test/histories/record.ts <name>`. What is recorded stays: a name is used once. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { bundleProject } from '../../src/packaging/build/bundle.ts';
import { readDeclarations } from '../../src/packaging/build/declarations.ts';
import type { FlowHead } from '../../src/workers/flow/engine/head.ts';
import type { Stored } from '../../src/workers/flow/engine/journal.ts';
import { createTrustingSandbox } from '../../src/workers/flow/worker.ts';
import { identityOf } from '../workers/flow/world/identities.ts';
import { createWorld } from '../workers/flow/world/world.ts';
import type { World } from '../workers/flow/world/world.ts';
import { bundleHashOf, digestOf, flowsDirectory, pathOf } from './history.ts';
import type { History, RecordedFlow } from './history.ts';
import { plays } from './plays.ts';
import type { Play } from './plays.ts';

const members = ['Alice', 'Bob', 'Carol'];
/** How often time may move on before the flows have ended. */
const wakesMax = 1_000;

const heldBy = async (world: World, member: string): Promise<RecordedFlow[]> => {
  const { states } = world.rooms.get(member)!;
  const listed = await states.list({ scope: identityOf(member).shortHash, countMax: 1_000 });
  const items = await states.loadItems(listed.map(({ key }) => key));
  // This room alone writes these heads and items.
  return listed.map(({ key, head }) => ({ member, head: head as FlowHead, items: items.get(key) as readonly Stored[] }));
};

const heldByAll = async (world: World): Promise<RecordedFlow[]> => (await Promise.all(members.map((member) => heldBy(world, member)))).flat();

const toTheEnd = async (world: World): Promise<RecordedFlow[]> => {
  for (let wakes = 0; wakes < wakesMax; wakes++) {
    const flows = await heldByAll(world);
    if (flows.every(({ head }) => head.status !== 'RUNNING')) return flows;
    const due = await Promise.all([...world.rooms.values()].map(async ({ states }) => (await states.due(0, 1)).nextDueAt ?? Infinity));
    await world.advance(Math.max(0, Math.min(...due) - world.clock.time));
  }
  throw new Error('the flows do not come to their end');
};

/** The file of a play and those beside it that it imports. */
const sourcesOf = (name: string): Record<string, string> => {
  const text = readFileSync(join(flowsDirectory, `${name}.ts`), 'utf8');
  const used = readdirSync(flowsDirectory).filter((file) => file === `${name}.ts` || text.includes(`'./${file}'`));
  return Object.fromEntries(used.map((file) => [file, readFileSync(join(flowsDirectory, file), 'utf8')]));
};

export const record = async ({ name, about, flowClassName, input }: Play): Promise<History> => {
  const { code } = await bundleProject({ name: 'histories', version: '1', directory: flowsDirectory, entry: join(flowsDirectory, `${name}.ts`) });
  const bundle = new TextDecoder().decode(code);
  const flows = await readDeclarations(code);
  const world = await createWorld({ members, app: { code: bundle, flows }, sandbox: () => createTrustingSandbox() });
  world.start('Alice', flowClassName, input, name);
  await world.settle();
  const history = { v: 1 as const, name, about, bundleHash: bundleHashOf(bundle), bundle, sources: sourcesOf(name), flows: await toTheEnd(world) };
  return { ...history, digest: digestOf(history) };
};

const main = async (name: string | undefined): Promise<void> => {
  const play = plays.find((one) => one.name === name);
  if (play === undefined) throw new Error(`say which of these is to be recorded: ${plays.map((one) => one.name).join(', ')}`);
  if (existsSync(pathOf(play.name))) throw new Error(`${play.name} is recorded already, and histories are never written again: give a new one another name`);
  const history = await record(play);
  writeFileSync(pathOf(play.name), `${JSON.stringify(history, null, 1)}\n`);
  console.log(`${play.name}: ${history.flows.map(({ head, items }) => `${head.flowClassName} ${head.status}, ${items.length} items`).join('; ')}`);
};

if (import.meta.main) await main(process.argv[2]);
