/**
 * Bad events in the flow room (W4): whatever is wrong with one, it is put aside alone, counted, seen by whoever looks, and can be
 * driven again; its neighbours in the same batch go on, those of the same flow among them.
 */
import { beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { flowIdOf } from '../../../src/identity/derive.ts';
import { allToFlowAnswer } from '../../../src/messages/all-to-flow.answer.ts';
import { flowToFlowWake } from '../../../src/messages/flow-to-flow.wake.ts';
import { encode, recordValueCharsMax } from '../../../src/messages/grammar/envelope.ts';
import type { OutRecord } from '../../../src/messages/grammar/record.ts';
import { linkManagerToFlowReceive } from '../../../src/messages/link-manager-to-flow.receive.ts';
import { restToFlowKill } from '../../../src/messages/rest-to-flow.kill.ts';
import { restToFlowRedrive } from '../../../src/messages/rest-to-flow.redrive.ts';
import { restToFlowStart } from '../../../src/messages/rest-to-flow.start.ts';
import { redrivenRecord } from '../../../src/shell/batch/parking.ts';
import type { ParkedRecord } from '../../../src/shell/store.ts';
import type { Machine } from '../../../src/shell/worker.ts';
import { createTrustingSandbox } from '../../../src/workers/flow/worker.ts';
import { testApp } from './app.ts';
import { groupId, identityOf, nameOf } from './world/identities.ts';
import { createWorld } from './world/world.ts';
import type { App, World } from './world/world.ts';

let app: App;
let world: World;
/** The bug of a machine: which flows it breaks, and how. */
let bug: (keys: readonly string[]) => void;
const shell = { laterWindowMs: 0, laterDelayMsMin: 0, laterDelayMsMax: 0 };

beforeAll(async () => void (app = await testApp()));
beforeEach(async () => {
  bug = () => {};
  const watch = (_common: string, machine: Machine<any, any, any>): Machine<any, any, any> => ({
    ...machine,
    step: async (inputs, now) => {
      bug(inputs.map(({ key }) => key));
      return await machine.step(inputs, now);
    },
  });
  world = await createWorld({ members: ['Alice', 'Bob'], app, sandbox: () => createTrustingSandbox(), watch, shell });
});

const { shortHash } = identityOf('Alice');
const idOf = (clientRequestId: string): string => flowIdOf(shortHash, clientRequestId);
const room = () => world.rooms.get('Alice')!;
const parked = (): Promise<readonly ParkedRecord[]> => room().parking.list(100);
const parkedCount = (topic: string): number => Number(new RegExp(`cordage_shell_events_total\\{room="flow",topic="${topic}",what="parked"\\} (\\d+)`).exec(world.metricsText())?.[1] ?? 0);

/** Starts of neighbours before and after what is bad, in one batch. */
const amongNeighbours = async (bad: readonly OutRecord[]): Promise<void> => {
  world.start('Alice', 'test.Echo', 'before', 'before');
  for (const record of bad) world.deliver('Alice', record);
  world.start('Alice', 'test.Echo', 'after', 'after');
  await world.settle();
  for (const id of ['before', 'after']) expect(world.statusOf('Alice', id)).toMatchObject({ flowStatus: 'COMPLETED', flowResult: id });
  expect(room().queue).toEqual([]);
  expect(room().uncommitted).toEqual([]);
};

const driveAgain = async (): Promise<void> => {
  const records = await parked();
  for (const record of records.map(redrivenRecord)) world.deliver('Alice', record);
  await room().parking.take(records.map(({ id }) => id));
  await world.settle();
};

const sound: readonly OutRecord[] = [
  encode(restToFlowStart, { key: idOf('x'), id: 'x', body: { holdingIdentity: identityOf('Alice'), clientRequestId: 'x', flowClassName: 'test.Echo', requestBody: '1', startedBy: 'admin' } }),
  encode(linkManagerToFlowReceive, { key: idOf('x'), id: 'x', body: { type: 'message', messageId: 'x', groupId, source: nameOf('Bob'), destination: nameOf('Alice'), payload: '{}' } }),
  encode(allToFlowAnswer, { key: idOf('x'), id: 'x', body: { requestId: 'x/0', outcome: { type: 'done', value: {} } } }),
  encode(flowToFlowWake, { key: idOf('x'), id: 'x', body: { dueAt: 1 } }),
  encode(restToFlowKill, { key: idOf('x'), id: 'x', body: { shortHash, clientRequestId: 'x', killedBy: 'admin' } }),
  encode(restToFlowRedrive, { key: idOf('x'), id: 'x', body: { shortHash, clientRequestId: 'x', redrivenBy: 'admin' } }),
];

const spoilt = ({ value }: OutRecord): Record<string, string> => {
  const { body, ...outer } = JSON.parse(value) as { v: number; body: object };
  return {
    'is not JSON': value.slice(0, -1),
    'is no envelope': JSON.stringify(body),
    'has no body': JSON.stringify(outer),
    'has a body of another shape': JSON.stringify({ ...outer, body: Object.fromEntries(Object.keys(body).map((name) => [name, [name]])) }),
    'is of a later version': JSON.stringify({ ...outer, v: 99, body }),
    'is too large': JSON.stringify({ ...outer, body, more: 'x'.repeat(recordValueCharsMax) }),
  };
};

describe.each(sound.map((record) => [record.topic, record] as const))('a record of %s', (topic, record) => {
  test.each(Object.keys(spoilt(record)))('that %s is parked alone with its reason, counted, and committed', async (how) => {
    const bad = { ...record, value: spoilt(record)[how]! };
    await amongNeighbours([bad]);
    const [only, ...more] = await parked();
    expect(more).toEqual([]);
    expect(only).toMatchObject({ topic, key: record.key, value: bad.value, reason: expect.stringMatching(/^(value|envelope|version|body)/) as unknown });
    expect(parkedCount(topic)).toBe(1);
  });

  test('under a key that no store can hold is parked', async () => {
    await amongNeighbours([{ ...record, key: 'half \ud800' }, { ...record, key: 'nul \0' }]);
    expect((await parked()).map(({ reason }) => reason)).toEqual(Array(2).fill('the key holds a NUL or half a surrogate pair'));
  });

  test('under a key that is not its own changes no flow, and is not worth parking', async () => {
    world.start('Alice', 'test.Sleep', 1_000, 'sleeper');
    await world.settle();
    const [before] = await room().states.load([idOf('sleeper')]);
    await amongNeighbours([{ ...record, key: idOf('sleeper') }]);
    const [after] = await room().states.load([idOf('sleeper')]);
    expect(after!.head).toEqual(before!.head);
    expect(await parked()).toEqual([]);
    await world.advance(1_000);
    expect(world.statusOf('Alice', 'sleeper')?.flowStatus).toBe('COMPLETED');
  });
});

describe('a step that throws', () => {
  const breaks = (...ids: string[]) => (keys: readonly string[]): void => {
    if (keys.some((key) => ids.map(idOf).includes(key))) throw new Error('a bug of ours');
  };

  test('parks the record at fault and no other; driven again when the bug is mended, the flow runs, once', async () => {
    bug = breaks('bad');
    world.start('Alice', 'test.Two', 'x', 'bad');
    await amongNeighbours([]);
    expect(await parked()).toMatchObject([{ topic: 'rest-to-flow.start', key: idOf('bad'), reason: 'step threw a bug of ours' }]);
    expect(parkedCount('rest-to-flow.start')).toBe(1);
    expect(world.statusOf('Alice', 'bad')).toBeUndefined();
    bug = () => {};
    await driveAgain();
    expect(world.statusOf('Alice', 'bad')).toMatchObject({ flowStatus: 'COMPLETED' });
    expect(await parked()).toEqual([]);
    expect(world.statuses.filter(({ flowId }) => flowId === idOf('bad')).map(({ flowStatus }) => flowStatus)).toEqual(['RUNNING', 'COMPLETED']);
  });

  test('in the middle of a flow leaves it waiting; driven again, it goes on from where it was', async () => {
    world.start('Alice', 'test.Ping', { say: 'ping' }, 'asker');
    // Bob's answer is what breaks Alice's room.
    let asked = false;
    bug = (keys) => {
      if (asked) breaks('asker')(keys);
      asked ||= keys.includes(idOf('asker'));
    };
    await world.settle();
    expect(world.statusOf('Alice', 'asker')?.flowStatus).toBe('RUNNING');
    expect((await parked()).map(({ topic }) => topic)).toEqual(['link-manager-to-flow.receive']);
    bug = () => {};
    await driveAgain();
    expect(world.statusOf('Alice', 'asker')).toMatchObject({ flowStatus: 'COMPLETED', flowResult: expect.stringContaining('pong') as unknown });
  });

  test('costs no other flow of the batch anything, in memory or not', async () => {
    for (let i = 0; i < 5; i++) world.start('Alice', 'test.Sleep', 1_000, `s${i}`);
    await world.settle();
    bug = breaks('s2');
    await world.advance(1_000);
    for (let i = 0; i < 5; i++) expect(world.statusOf('Alice', `s${i}`)?.flowStatus).toBe(i === 2 ? 'RUNNING' : 'COMPLETED');
    expect((await parked()).map(({ topic }) => topic)).toEqual(['flow-to-flow.wake']);
  });
});

describe('a flow that is poison to its store or its bus', () => {
  test('whose state the store will not take is parked; its neighbours are saved', async () => {
    const { states } = room();
    const { save } = states;
    states.save = async (changes) => {
      if (changes.some(({ key }) => key === idOf('bad'))) throw new Error('invalid input');
      return await save(changes);
    };
    world.start('Alice', 'test.Two', 'x', 'bad');
    await amongNeighbours([]);
    expect(await parked()).toMatchObject([{ key: idOf('bad'), reason: 'step threw the store refused: invalid input' }]);
    states.save = save;
    await driveAgain();
    expect(world.statusOf('Alice', 'bad')?.flowStatus).toBe('COMPLETED');
  });

  test('whose code never comes is parked when its window is over; driven again when the code is there, it runs', async () => {
    const { cpks } = room().views as unknown as { cpks: { map: Map<string, unknown> } };
    const chunks = [...cpks.map];
    cpks.map.clear();
    world.start('Alice', 'test.Echo', 'late', 'late');
    await world.settle();
    expect(await parked()).toMatchObject([{ key: idOf('late'), reason: expect.stringMatching(/not within 0 ms: the code of CPK/) as unknown }]);
    for (const [key, chunk] of chunks) cpks.map.set(key, chunk);
    await driveAgain();
    expect(world.statusOf('Alice', 'late')).toMatchObject({ flowStatus: 'COMPLETED', flowResult: 'late' });
  });
});
