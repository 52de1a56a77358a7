/** The harness that applications test with: what it promises its users. */
import { expectTypeOf, describe, expect, test } from 'vitest';
import { testNetwork, TestFlowError } from '../../src/testing/testing.ts';
import { greet } from '../apps/ping-pong/greet.ts';
import * as app from './app.ts';
import { takeStock } from './stock/flows.ts';

const open = () => testNetwork({ app, members: ['Alice', 'Bob'] });
const heard = [1, 2, 3];

describe('a test network', () => {
  test('runs a project in the sandbox of a cluster, and types results by the flow value', async () => {
    await using network = await testNetwork({ app: 'test/apps/ping-pong/cordage.json', members: ['Alice', 'Bob'] });
    const flow = await network.alice.start(greet, { otherMember: network.bob.name });
    const result = await flow.result();
    expectTypeOf(result).toEqualTypeOf<string>();
    expect(result).toBe('Hello Alice, best wishes from Bob');
    expect(network.bob.log).toMatchObject([{ level: 'info', message: 'greeted', fields: { by: network.alice.name } }]);
  });

  test('runs it in this process when asked, or when it is given flow values', async () => {
    await using network = await testNetwork({ app: 'test/apps/ping-pong', members: ['Alice', 'Bob'], sandbox: 'inline' });
    expect(await (await network.alice.start(greet, { otherMember: network.bob.name })).result()).toBe('Hello Alice, best wishes from Bob');
    await using values = await open();
    expect(await (await values.alice.start(app.tally, values.bob.name)).result()).toEqual(heard);
    await expect(testNetwork({ app, members: ['Alice'], sandbox: 'hardened' })).rejects.toThrow('flow values run inline only');
  });

  test('is the same in every run: ids, chance, keys, time', async () => {
    const drawn = async (): Promise<unknown> => {
      await using network = await open();
      return [network.now(), network.alice.shortHash, await (await network.alice.start(app.draws)).result()];
    };
    expect(await drawn()).toEqual(await drawn());
  });

  test('shows what vaults hold, and lets a test begin with something there', async () => {
    await using network = await open();
    await network.alice.vault.put(app.notes, { id: 'a', text: 'before' });
    expect(await (await network.alice.start(app.writes, 'a')).result()).toBe('DB_ENTITY_EXISTS');
    expect(await (await network.alice.start(app.writes, 'b')).result()).toBe('stored');
    expect(await network.alice.vault.find(app.notes, 'b')).toEqual({ id: 'b', text: 'written' });
    expect(await network.alice.vault.all(app.notes)).toHaveLength(2);
    expect(await network.bob.vault.find(app.notes, 'b')).toBeUndefined();
  });

  test('tells how a flow failed, and that a result is not there', async () => {
    await using network = await open();
    const flow = await network.alice.start(app.fails);
    await expect(flow.result()).rejects.toMatchObject({ name: 'TestFlowError', type: 'FLOW_FAILED', message: expect.stringContaining('no luck') });
    expect((await flow.failure()).message).toContain('no luck');
    const said = await network.alice.start(app.says);
    expectTypeOf(await said.result()).toEqualTypeOf<null>();
    await expect(said.failure()).rejects.toMatchObject({ type: 'COMPLETED' });
    await expect(network.alice.start('test.Unknown')).rejects.toThrow('FLOW_CLASS_NOT_STARTABLE');
  });

  test('kills a flow, and its counterparty hears of it', async () => {
    await using network = await open();
    network.faults.delayNext({ hours: 1 }, { from: 'bob' });
    const flow = await network.alice.start(app.asks, network.bob.name);
    await network.settle();
    await flow.kill();
    expect(await flow.failure()).toMatchObject({ type: 'FLOW_KILLED' });
    await expect(flow.kill()).rejects.toThrow('FLOW_ENDED');
    const [responder] = await network.bob.flows();
    expect((await responder!.failure()).message).toContain('SESSION_ERROR');
    await expect(responder!.kill()).rejects.toThrow('started by a session');
  });

  test('shows what a flow did, and where it failed in its sources', async () => {
    await using network = await testNetwork({ app: 'test/apps/ping-pong', members: ['Alice', 'Bob'] });
    const flow = await network.alice.start(greet, { otherMember: 'nobody' });
    await expect(flow.result()).rejects.toThrow(/MEMBER_NOT_FOUND[^]*\n {4}at greet\.ts:\d+/);
    expect(await flow.timeline()).toMatch(/com\.cordage\.samples\.Greet {2}FAILED[^]*▶ #0 session\.sendAndReceive[^]*✗ #0 session\.sendAndReceive MEMBER_NOT_FOUND[^]*■ FAILED[^]*at greet\.ts:\d+/);
  });

  test('shows the flows that counterparties started', async () => {
    await using network = await open();
    await (await network.alice.start(app.tally, network.bob.name)).result();
    const [responder] = await network.bob.flows();
    expect(responder).toMatchObject({ flowClassName: 'test.Hear', clientRequestId: null });
    expect(await responder!.status()).toMatchObject({ flowStatus: 'COMPLETED' });
  });

  test('names what is wrong with its members', async () => {
    await expect(testNetwork({ app, members: [] })).rejects.toThrow('needs a member');
    await expect(testNetwork({ app, members: ['Faults'] })).rejects.toThrow('would be called "faults"');
    await using network = await testNetwork({ app, members: ['CN=Big Bank, O=Bank, L=Rome, C=IT'] });
    expect(network['big Bank'].name).toBe('CN=Big Bank, O=Bank, L=Rome, C=IT');
    expect(() => network.node('carol')).toThrow('no member "carol"');
  });
});

describe('its time', () => {
  test('stands still until the test moves it', async () => {
    await using network = await open();
    const flow = await network.alice.start(app.sleeps);
    await expect(flow.result()).rejects.toThrow(/a sleep until 2026-01-01T01:00:00/);
    await network.advance({ minutes: 59 });
    expect((await flow.status()).flowStatus).toBe('RUNNING');
    await network.advance({ minutes: 1 });
    expect(await flow.result()).toBe(3_600_000);
    expect(network.alice.log).toMatchObject([{ message: 'awake' }]);
  });

  test('passes by itself when it is told to', async () => {
    await using network = await testNetwork({ app, members: ['Alice'], time: 'auto' });
    expect(await (await network.alice.start(app.sleeps)).result()).toBe(3_600_000);
    expect(network.now()).toBe(Date.UTC(2026, 0, 1, 1));
  });
});

describe('its faults', () => {
  test('doubled, delayed and overtaken messages change no result', async () => {
    await using network = await open();
    network.faults.duplicateNext({ to: 'bob' }, 2);
    network.faults.reorderNext({ to: 'bob', where: ({ value }) => value === 2 });
    network.faults.delayNext({ minutes: 2 }, { from: 'Bob' });
    const flow = await network.alice.start(app.tally, network.bob.name);
    await expect(flow.result()).rejects.toThrow(`a message from ${network.bob.name}`);
    await network.advance({ minutes: 2 });
    expect(await flow.result()).toEqual(heard);
    expect(await network.bob.vault.all(app.notes)).toHaveLength(1);
  });

  test('a lost message is reported to its sender when it expires', async () => {
    await using network = await open();
    network.faults.dropNext({ to: 'bob' });
    const flow = await network.alice.start(app.asks, network.bob.name);
    await network.advance({ minutes: 4 });
    expect((await flow.status()).flowStatus).toBe('RUNNING');
    await network.advance({ minutes: 2 });
    expect(await flow.result()).toBe('COUNTERPARTY_UNDELIVERED');
    expect(await network.bob.flows()).toEqual([]);
  });

  test('messages wait for who is offline', async () => {
    await using network = await open();
    network.faults.offline('bob');
    const flow = await network.alice.start(app.tally, network.bob.name);
    await network.advance({ minutes: 1 });
    expect((await flow.status()).flowStatus).toBe('RUNNING');
    await expect(network.bob.start(app.says)).rejects.toThrow('is offline');
    network.faults.online('bob');
    expect(await flow.result()).toEqual(heard);
  });

  test.each(['polled', 'stepped', 'saved', 'published', 'committed'] as const)('a crash at "%s" repeats the step and changes nothing', async (point) => {
    await using network = await open();
    network.faults.crashAt('alice', point);
    network.faults.crashAt('bob', point, 2);
    const flow = await network.alice.start(app.tally, network.bob.name);
    expect(await flow.result()).toEqual(heard);
    expect(await network.bob.vault.all(app.notes)).toHaveLength(1);
  });

  test('a member that crashes after every step replays every flow from its journal', async () => {
    let runs = 0;
    const counting = { ...app.tally, run: (...given: Parameters<typeof app.tally.run>) => ((runs += 1), app.tally.run(...given)) };
    await using network = await testNetwork({ app: [counting, app.hear], members: ['Alice', 'Bob'] });
    network.faults.crashAlways('alice');
    const flow = await network.alice.start(counting, network.bob.name);
    network.faults.crash('bob');
    expect(await flow.result()).toEqual(heard);
    expect(runs).toBeGreaterThan(1);
  });

  test('rooms refuse, are slow, or do not hear', async () => {
    await using network = await open();
    network.faults.refuseNext('alice', 'db');
    expect(await (await network.alice.start(app.writes, 'a')).result()).toBe('DB_REFUSED');
    network.faults.delayRequest('alice', 'db', { seconds: 3 });
    const slow = await network.alice.start(app.writes, 'b');
    await expect(slow.result()).rejects.toThrow('the answer to db.persist');
    await network.advance({ seconds: 3 });
    expect(await slow.result()).toBe('stored');
    network.faults.dropRequest('alice', 'db');
    const unheard = await network.alice.start(app.writes, 'c');
    await expect(unheard.result()).rejects.toThrow(TestFlowError);
    await network.advance({ minutes: 10 });
    expect(await unheard.result()).toBe('stored');
  });

  test('end when they are cleared', async () => {
    await using network = await open();
    network.faults.dropNext({}, 100);
    network.faults.refuseNext('bob', 'db');
    network.faults.clear();
    expect(await (await network.alice.start(app.tally, network.bob.name)).result()).toEqual(heard);
  });
});

describe('its tables', () => {
  const stock = new URL('./stock/', import.meta.url);
  const open = () => testNetwork({ app: stock, members: ['Alice', 'Bob'], database: 'postgres' });

  test('are in a real database, fresh for each network, written once whatever crashes', async () => {
    for (const round of [1, 2]) {
      await using network = await open();
      network.faults.crashAlways('alice');
      if (round === 2) network.faults.crashAt('alice', 'published');
      const flow = await network.alice.start(takeStock);
      expect(await flow.result()).toEqual([{ item: 'tea', pieces: 7 }]);
      expect(await (await network.bob.start(takeStock)).result()).toEqual([{ item: 'tea', pieces: 7 }]);
      expect((await (await network.bob.start(takeStock)).failure()).message).toContain('DB_CONSTRAINT_VIOLATED');
    }
  }, 60_000);

  test('are asked for by name: in memory there are none', async () => {
    await expect(testNetwork({ app: stock, members: ['Alice'] })).rejects.toThrow("open the network with database: 'postgres'");
  });
});
