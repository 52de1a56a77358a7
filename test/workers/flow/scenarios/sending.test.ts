/** What a flow says: how sessions begin, what travels, and what is refused. */
import { beforeEach, describe, expect, test } from 'vitest';
import { bob, closes, createStage, data, fails, hear, openTo } from './stage.ts';
import type { Stage } from './stage.ts';

let stage: Stage;
beforeEach(async () => void (stage = await createStage()));
const status = (): string | undefined => stage.status()?.flowStatus;

describe('a session that a flow opens', () => {
  test('says nothing until something is sent; then the init rides with the first data, once', async () => {
    await stage.begin([{ do: 'open', to: bob }, { do: 'sleep', ms: 1_000 }, { do: 'send', session: 0, say: { say: 'mute' } }, { do: 'send', session: 0, say: { say: 'echo' } }, hear(0)]);
    expect(stage.heard()).toEqual([]);
    await stage.world.advance(1_000);
    const [first, second, ...more] = stage.heard();
    expect(more).toEqual([]);
    expect(first).toMatchObject({ session: 0, seq: 1, content: data({ say: 'mute' }), init: { protocol: 'random.talk', versions: [1, 2] } });
    expect(second).toEqual({ session: 0, seq: 2, content: data({ say: 'echo' }) });
  });

  test('carries values in the order in which they were sent, each once', async () => {
    await stage.begin([...openTo(2), ...['echo', 'twice', 'mute'].flatMap((say) => [0, 1].map((session) => ({ do: 'send' as const, session, say: { say: say as 'echo' } }))), hear(0)]);
    const heard = stage.heard();
    for (const session of [0, 1]) {
      const own = heard.filter((one) => one.session === session);
      expect(own.map(({ seq }) => seq)).toEqual([1, 2, 3, 4]);
      expect(own.map(({ content }) => content)).toEqual(['mute', 'echo', 'twice', 'mute'].map((say) => data({ say })));
    }
  });

  test('is answered and speaks again: the answer is one message, with nothing beside it', async () => {
    await stage.begin([...openTo(2), { do: 'all', parts: [hear(0), hear(1)] }, { do: 'all', parts: [0, 1].map((session) => ({ do: 'send' as const, session, say: { say: 'echo' as const } })) }, hear(0)]);
    stage.heard();
    await stage.says(0, 1, data('a'));
    expect(stage.heard()).toEqual([]);
    await stage.says(1, 1, data('b'));
    expect(stage.heard()).toEqual([0, 1].map((session) => ({ session, seq: 2, content: data({ say: 'echo' }) })));
    expect(status()).toBe('RUNNING');
  });

  test('asks and waits in one: the question goes out, and the flow goes on with the answer', async () => {
    await stage.begin([{ do: 'open', to: bob }, { do: 'ask', session: 0, say: { say: 'echo' } }]);
    expect(stage.heard()).toMatchObject([{ seq: 1, content: data({ say: 'echo' }) }]);
    expect(status()).toBe('RUNNING');
    await stage.says(0, 1, data('answer'));
    expect(stage.result()).toEqual([null, ['answer', 2]]);
  });

  test.each([
    ['closed', closes, '! SESSION_CLOSED'],
    ['failed', fails, '! SESSION_ERROR'],
  ] as const)('that the counterparty has %s refuses to send, and says so to the code alone', async (_, end, error) => {
    await stage.begin([...openTo(1), hear(0), { do: 'send', session: 0, say: { say: 'echo' } }]);
    stage.heard();
    await stage.says(0, 2, end);
    await stage.says(0, 1, data('last'));
    expect(stage.result()).toEqual([null, null, ['last', 2], error]);
    expect(stage.heard()).toEqual([]);
  });

  test('tells who the counterparty is: asks once, begins its flow, and answers from then on by itself', async () => {
    await stage.begin([{ do: 'open', to: bob }, { do: 'info', session: 0 }, { do: 'info', session: 0 }]);
    expect(stage.heard()).toMatchObject([{ seq: 1, content: { type: 'info' }, init: { protocol: 'random.talk' } }]);
    await stage.says(0, 1, { type: 'info', asks: false });
    const [, once, again] = stage.result() as unknown[];
    expect(once).toMatchObject({ counterparty: bob, protocol: { name: 'random.talk', version: 2 } });
    expect(again).toEqual(once);
    expect(stage.heard().filter(({ content: { type } }) => type === 'info')).toEqual([]);
  });

  test('with one that opened a session with us is another session', async () => {
    await stage.opens(0, 1, data({ say: 'relay', to: bob, pass: { say: 'echo' } }));
    const [asked] = stage.heard();
    expect(asked).toMatchObject({ seq: 1, init: { protocol: 'random.talk' }, content: data({ say: 'echo' }) });
    expect((await stage.responder(0))!.sessions.map(({ role }) => role)).toEqual(['responder', 'initiator']);
  });
});

describe('a session that a counterparty opens', () => {
  test('starts the flow that answers its protocol, and says with the answer which version was chosen', async () => {
    await stage.opens(0, 1, data({ say: 'echo' }));
    expect(await stage.responder(0)).toMatchObject({ kind: 'responder', flowClassName: 'random.Respond', status: 'RUNNING', startedBy: bob });
    expect(stage.heard()).toMatchObject([{ session: 0, seq: 1, content: { type: 'data', json: expect.stringContaining(`["${bob}",2,`) as unknown } }]);
  });

  test('tells REST nothing: REST did not start its flow', async () => {
    await stage.opens(0, 1, data({ say: 'stop' }));
    expect((await stage.responder(0))!.status).toBe('COMPLETED');
    expect(stage.world.statuses).toEqual([]);
  });

  test('hears what comes out of order in order', async () => {
    await stage.opens(0, 1, data({ say: 'echo' }));
    await stage.opens(0, 3, data({ say: 'stop' }));
    expect((await stage.responder(0))!.status).toBe('RUNNING');
    await stage.opens(0, 2, data({ say: 'mute' }));
    expect(await stage.responder(0)).toMatchObject({ status: 'COMPLETED', result: '["echo","mute","stop"]' });
  });

  test('ends at the responder too when the initiator closes or fails it', async () => {
    for (const [session, end] of [[0, closes], [1, fails]] as const) {
      await stage.opens(session, 1, data({ say: 'mute' }));
      await stage.opens(session, 2, end);
      expect(await stage.responder(session)).toMatchObject({ status: 'COMPLETED', result: `["mute","${end === closes ? 'SESSION_CLOSED' : 'SESSION_ERROR'}"]` });
    }
  });
});
