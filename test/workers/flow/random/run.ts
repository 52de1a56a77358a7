/** Runs programs to their end in a world, and says what came of it in a form in which two runs of the same programs are equal. */
import { fileURLToPath } from 'node:url';
import { allToCryptoKey } from '../../../../src/messages/all-to-crypto.key.ts';
import { allToCryptoSign } from '../../../../src/messages/all-to-crypto.sign.ts';
import { allToLinkManagerSend } from '../../../../src/messages/all-to-link-manager.send.ts';
import { flowToDbEntity } from '../../../../src/messages/flow-to-db.entity.ts';
import { flowToDbQuery } from '../../../../src/messages/flow-to-db.query.ts';
import { flowLimitsDefault } from '../../../../src/workers/flow/config.ts';
import type { FlowHead } from '../../../../src/workers/flow/engine/head.ts';
import { completionOf, messagesOf } from '../../../../src/workers/flow/engine/journal.ts';
import type { Stored, TurnOutcome } from '../../../../src/workers/flow/engine/journal.ts';
import { bundleOfFile } from '../world/bundle.ts';
import { identityOf } from '../world/identities.ts';
import { createWorld, memberKeys } from '../world/world.ts';
import type { World, WorldOptions } from '../world/world.ts';
import type { Harm } from './chaos.ts';
import { parties, sessionTimeoutMs } from './program.ts';
import type { Party, Program, Step } from './program.ts';

const protocol = { name: 'random.talk', versions: [1, 2] };

/** What all runs share: the application, and keys. */
export type Setting = Pick<WorldOptions, 'app' | 'keys'>;

export const makeSetting = async (): Promise<Setting> => ({
  app: {
    code: await bundleOfFile(fileURLToPath(new URL('app.ts', import.meta.url))),
    flows: [
      { name: 'random.Follow', kind: 'startable', protocol },
      { name: 'random.Respond', kind: 'responder', protocol },
    ],
  },
  keys: await memberKeys(parties),
});

export type Start = { readonly party: Party; readonly program: Program };

/** How often time may move on before the flows have ended. */
const wakesMax = 400;

export const runPrograms = async (setting: Setting, starts: readonly Start[], harm: Harm): Promise<World> => {
  const world = await createWorld({ members: parties, ...setting, limits: { sessionTimeoutMs }, logLevel: 'info', ...harm });
  await toTheEnd(world, starts, 'start');
  return world;
};

const toTheEnd = async (world: World, starts: readonly Start[], request: string): Promise<void> => {
  starts.forEach(({ party, program }, i) => world.start(party, 'random.Follow', program, `flow-${i}`, `${request}-${i}`));
  await world.settle();
  for (let wakes = 0; await isRunning(world); wakes++) {
    if (wakes > wakesMax) throw new Error('the flows do not come to their end');
    await world.advance(Math.max(0, (await nextDueOf(world)) - world.clock.time));
  }
};

const topicsOfAsked = new Set([flowToDbEntity.topic, flowToDbQuery.topic, allToCryptoSign.topic, allToCryptoKey.topic, allToLinkManagerSend.topic]);

/** Starts the same under the same client request ids when all is removed: the ids of what was asked of other rooms before, and after. */
export const idsOfTwoLives = async (world: World, starts: readonly Start[]): Promise<readonly [before: ReadonlySet<string>, after: ReadonlySet<string>]> => {
  const idsFrom = (first: number): ReadonlySet<string> =>
    new Set(world.published.slice(first).flatMap(({ topic, value }) => (topicsOfAsked.has(topic) ? [`${topic} ${(JSON.parse(value) as { id: string }).id}`] : [])));
  await world.advance(flowLimitsDefault.endedKeepMs + sessionTimeoutMs);
  if ((await headsOf(world)).length > 0) throw new Error('flows that ended long ago are there still');
  const before = idsFrom(0);
  const { length } = world.published;
  await toTheEnd(world, starts, 'again');
  return [before, idsFrom(length)];
};

const headsOf = async (world: World): Promise<FlowHead[]> => {
  const listed = await Promise.all([...world.rooms.values()].map(({ name, states }) => states.list({ scope: identityOf(name).shortHash, countMax: 1_000 })));
  // This room alone writes these heads.
  return listed.flat().map(({ head }) => head as FlowHead);
};

const isRunning = async (world: World): Promise<boolean> => (await headsOf(world)).some(({ status }) => status === 'RUNNING');

const nextDueOf = async (world: World): Promise<number> => {
  const times = await Promise.all([...world.rooms.values()].map(async ({ states }) => (await states.due(0, 1)).nextDueAt ?? Infinity));
  const next = Math.min(...times);
  if (next === Infinity) throw new Error('flows run, and wait for nothing');
  return next;
};

// ── What came of it ──────────────────────────────────────────────────────────────────────────────────────────────────

type TurnLine = { readonly at: number; readonly completed: string; readonly asked: readonly string[] };

/** What was completed in each turn and how, and what was then asked for. */
const turnsOf = (items: readonly Stored[]): TurnLine[] => {
  const messages = messagesOf(items);
  const operations: string[] = [];
  /** Operations of the runs that this one continues. */
  let before = 0;
  const textOf = (outcome: TurnOutcome): string => {
    if (outcome.type === 'message') return messages.get(outcome.position) ?? 'a message that is not there';
    if (outcome.type === 'answer') return outcome.json;
    if (outcome.type !== 'refused') return JSON.stringify(completionOf(0, outcome, messages));
    // Both sides fall silent in the same moment; which of them tells the other is chance.
    return outcome.code === 'SESSION_TIMEOUT' ? 'SESSION_TIMEOUT' : `${outcome.code}: ${outcome.message}`;
  };
  return items.flatMap(({ value }): TurnLine[] => {
    if (value.type === 'message') return [];
    if (value.type === 'start' && value.start.type === 'input') before = value.start.counters?.operations ?? 0;
    const completed = value.type === 'start' ? 'start' : `${operations[value.op - before] ?? '?'} → ${textOf(value.outcome)}`;
    operations.push(...value.asked.filter(({ kind }) => kind !== 'session.open' && kind !== 'cancel').map(({ kind, sketch }) => `${kind} ${sketch}`));
    return [{ at: value.at, completed, asked: value.asked.map(({ kind, digest }) => `${kind} ${digest}`) }];
  });
};

/** How far the order of a journal is decided by its programs. */
type Order =
  | 'strict'
  /** What ran at once may have ended in another order. */
  | 'free'
  /** What nobody waited for may have ended before its flow, or not. */
  | 'open';

const stepsOf = ({ steps, next }: Program): readonly Step[] => (next === undefined ? steps : [...steps, ...stepsOf(next)]);

const orderOf = (starts: readonly Start[]): Order => {
  const steps = starts.flatMap(({ program }) => stepsOf(program));
  const does = new Set(steps.map(({ do: what }) => what));
  if (does.has('stray') || does.has('race') || does.has('any')) return 'open';
  // The closes that a flow waits for at its end are confirmed in any order.
  const waitsForCloses = steps.some((step) => step.do === 'open' && step.requireClose === true);
  return does.has('all') || does.has('settled') || waitsForCloses ? 'free' : 'strict';
};

const comparable = (turns: readonly TurnLine[], order: Order): unknown => {
  if (order === 'strict') return turns;
  const asked = turns.flatMap((turn) => turn.asked).sort();
  return order === 'open' ? { asked } : { asked, completed: turns.map(({ at, completed }) => `${at} ${completed}`).sort() };
};

export type Outcome = {
  readonly flows: Record<string, unknown>;
  readonly vaults: Record<string, readonly string[]>;
  readonly said: Record<string, readonly string[]>;
  readonly statuses: Record<string, readonly string[]>;
  readonly asked: readonly string[];
  readonly faults: readonly string[];
};

const flowsOf = async (world: World, order: Order): Promise<Record<string, unknown>> => {
  const flows: Record<string, unknown> = {};
  for (const { name, states } of world.rooms.values()) {
    const listed = await states.list({ scope: identityOf(name).shortHash, countMax: 1_000 });
    const items = await states.loadItems(listed.map(({ key }) => key));
    for (const { key, head } of listed) {
      // This room alone writes these heads and items.
      const { flowClassName, status, result, error, createdAt } = head as FlowHead;
      const turns = turnsOf(items.get(key) as readonly Stored[]);
      flows[`${name} ${key}`] = { flowClassName, status, result, error, createdAt, journal: comparable(turns, order) };
    }
  }
  return flows;
};

/** Data that was said, by session and side, in order: each number of a session with one text. */
const saidIn = (world: World, faults: string[]): Record<string, readonly string[]> => {
  const said = new Map<string, Map<number, string>>();
  for (const { topic, value } of world.published) {
    if (topic !== allToLinkManagerSend.topic) continue;
    const { body } = JSON.parse(value) as { body: { payload: string } };
    const { sessionId, sender, seq, content } = JSON.parse(body.payload) as { sessionId: string; sender: string; seq: number; content: { type: string; json: string } };
    if (content.type !== 'data') continue;
    const stream = `${sessionId} ${sender}`;
    const texts = said.get(stream) ?? new Map<number, string>();
    said.set(stream, texts);
    if ((texts.get(seq) ?? content.json) !== content.json) faults.push(`message ${seq} of ${stream} was sent with two texts`);
    texts.set(seq, content.json);
  }
  // Numbers are left out: whether a question about the version had to be asked is chance.
  return Object.fromEntries([...said].map(([stream, texts]) => [stream, [...texts].sort(([one], [other]) => one - other).map(([, text]) => text)]));
};

/** Requests to other rooms: each id with one text. */
const askedIn = (world: World, faults: string[]): string[] => {
  const byId = new Map<string, string>();
  for (const { topic, value } of world.published) {
    if (topic !== 'flow-to-db.entity' && topic !== 'all-to-crypto.sign') continue;
    const { id, body } = JSON.parse(value) as { id: string; body: unknown };
    const text = `${topic} ${JSON.stringify(body)}`;
    if ((byId.get(id) ?? text) !== text) faults.push(`the request ${id} was made with two texts`);
    byId.set(id, text);
  }
  return [...byId.values()].sort();
};

/** That a flow runs is not said where it ends in the same step, which it may or may not do, as its requests are answered directly or not. */
const statusesIn = (world: World): Record<string, readonly string[]> => {
  const statuses: Record<string, string[]> = {};
  for (const { flowId, flowStatus } of world.statuses) {
    const own = (statuses[flowId!] ??= []);
    if (flowStatus === 'RUNNING') continue;
    if (!own.includes(flowStatus)) own.push(flowStatus);
  }
  return statuses;
};

export const outcomeOf = async (world: World, starts: readonly Start[]): Promise<Outcome> => {
  const faults: string[] = [];
  for (const { name, parking } of world.rooms.values()) for (const { topic, reason } of await parking.list(10)) faults.push(`${name} parked a record of ${topic}: ${reason}`);
  for (const { event, error } of world.logged) {
    // The room's own report of an end.
    const { type, message } = (error ?? {}) as { type?: string; message?: string };
    // A replica that lost the flow's partition may find its journal gone; what it makes of that is void.
    if (event === 'flow-failed' && type !== 'FLOW_FAILED' && !message?.endsWith('items of the journal are missing')) faults.push(`a flow failed by the platform: ${message}`);
  }
  const vaults = Object.fromEntries(parties.map((party) => [party, [...world.vault(party)].map(([key, json]) => `${key} ${json}`).sort()]));
  return {
    flows: await flowsOf(world, orderOf(starts)),
    vaults,
    said: saidIn(world, faults),
    statuses: statusesIn(world),
    asked: askedIn(world, faults),
    faults,
  };
};

const textOf = (value: unknown): string => (JSON.stringify(value) ?? 'nothing').slice(0, 400);

/** Where two outcomes part, for people to read; empty when they are equal. */
export const partings = (calm: unknown, harmed: unknown, path = ''): string[] => {
  if (typeof calm !== 'object' || typeof harmed !== 'object' || calm === null || harmed === null) {
    return Object.is(calm, harmed) ? [] : [`${path}: ${textOf(calm)} without faults, ${textOf(harmed)} with them`];
  }
  const names = new Set([...Object.keys(calm), ...Object.keys(harmed)]);
  // Objects and arrays alike are read by name.
  return [...names].flatMap((name) => partings((calm as Record<string, unknown>)[name], (harmed as Record<string, unknown>)[name], `${path}/${name}`));
};
