/** Flows through the real shell, in the real sandbox threads. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { systemClock } from '../../../src/host/clock.ts';
import { startThread } from '../../../src/host/threads.ts';
import { silentLog } from '../../../src/observability/log.ts';
import { createMetrics } from '../../../src/observability/metrics.ts';
import { createFlowSandbox } from '../../../src/workers/flow/worker.ts';
import type { Sandbox } from '../../../src/workers/flow/worker.ts';
import { bundleOf } from './world/bundle.ts';
import { createWorld, nameOf } from './world/world.ts';
import type { World } from './world/world.ts';

const source = `
const protocol = { name: 'test.ping', versions: [1] };
const note = entity<{ id: string; text: string }>({ name: 'Note', id: (one) => one.id });
export const flows = [
  startableFlow({ name: 'test.Two', run: async (ctx, input) => {
    await ctx.db.persist(note, { id: 'a', text: String(input) });
    const found = await ctx.db.find(note, 'a');
    return { found, at: ctx.now() };
  } }),
  startableFlow({ name: 'test.Ping', protocol, run: async (ctx, input: any) => {
    const session = ctx.initiate(input.to);
    const answer = await session.sendAndReceive(input.say, any);
    return answer;
  } }),
  responderFlow({ name: 'test.Pong', protocol, run: async (ctx, session) => {
    const said = await session.receive(any);
    await session.send(said + ', pong from ' + ctx.me.x500Name + ' to ' + session.counterparty + ' v' + session.protocolVersion);
  } }),
];`;
const flows = [
  { name: 'test.Two', kind: 'startable' as const },
  { name: 'test.Ping', kind: 'startable' as const, protocol: { name: 'test.ping', versions: [1] } },
  { name: 'test.Pong', kind: 'responder' as const, protocol: { name: 'test.ping', versions: [1] } },
];

describe('flows', () => {
  let sandbox: Sandbox;
  let world: World;
  beforeAll(async () => {
    sandbox = createFlowSandbox({ startThread, clock: systemClock, log: silentLog, metrics: createMetrics() });
    world = await createWorld({ members: ['Alice', 'Bob'], app: { code: await bundleOf(source), flows }, sandbox: () => sandbox });
  });
  afterAll(() => sandbox.close());

  test('two entity operations', async () => {
    const status = await world.run('Alice', 'test.Two', 'hello');
    expect(status).toMatchObject({ flowStatus: 'COMPLETED', flowError: null });
    expect(JSON.parse(status.flowResult!)).toEqual({ found: { id: 'a', text: 'hello' }, at: world.clock.time });
  });

  test('a ping', async () => {
    const status = await world.run('Alice', 'test.Ping', { to: nameOf('Bob'), say: 'ping' });
    expect(status).toMatchObject({ flowStatus: 'COMPLETED', flowResult: `ping, pong from ${nameOf('Bob')} to ${nameOf('Alice')} v1` });
  });
});
