/** What a flow hears, when, and in which order. */
import { beforeEach, describe, expect, test } from 'vitest';
import { closes, createStage, data, fails, hear, hearBoth, openTo } from './stage.ts';
import type { Content, Stage } from './stage.ts';

let stage: Stage;
beforeEach(async () => void (stage = await createStage()));
const status = (): string | undefined => stage.status()?.flowStatus;

describe('a flow that waits for one session', () => {
  test('goes on with the message when it comes', async () => {
    await stage.begin([...openTo(1), hear(0)]);
    expect(status()).toBe('RUNNING');
    await stage.says(0, 1, data('hello'));
    expect(stage.result()).toEqual([null, null, ['hello', 2]]);
  });

  test('does not go on for a message before its turn; then it gets both in order', async () => {
    await stage.begin([...openTo(1), hear(0), hear(0)]);
    await stage.says(0, 2, data('second'));
    expect(status()).toBe('RUNNING');
    await stage.says(0, 1, data('first'));
    expect(stage.result()).toEqual([null, null, ['first', 2], ['second', 2]]);
  });

  test('does not go on for a close before its turn; then it gets the data, and the end', async () => {
    await stage.begin([...openTo(1), hear(0), hear(0)]);
    await stage.says(0, 2, closes);
    expect(status()).toBe('RUNNING');
    await stage.says(0, 1, data('last'));
    expect(stage.result()).toEqual([null, null, ['last', 2], '! SESSION_CLOSED']);
  });

  test.each<[string, Content, string]>([
    ['a close', closes, '! SESSION_CLOSED'],
    ['an error', fails, '! SESSION_ERROR'],
    ['news of silence', { type: 'error', code: 'SESSION_TIMEOUT', message: 'silence' }, '! SESSION_TIMEOUT'],
  ])('gets an error that it may catch where %s comes instead of data', async (_, content, error) => {
    await stage.begin([...openTo(1), hear(0), { do: 'draw' }]);
    await stage.says(0, 1, content);
    expect(stage.result()).toMatchObject([null, null, error, [expect.any(Number), expect.any(String), expect.any(Number)]]);
  });

  test('takes no notice of another session of its own', async () => {
    await stage.begin([...openTo(2), hear(0)]);
    await stage.says(1, 1, data('not asked for'));
    expect(status()).toBe('RUNNING');
    await stage.says(0, 1, data('asked for'));
    expect(stage.result()).toEqual([null, null, null, null, ['asked for', 2]]);
  });

  test('gets at once what came before it asked', async () => {
    await stage.begin([...openTo(1), { do: 'sleep', ms: 1_000 }, hear(0), hear(0)]);
    await stage.says(0, 1, data('one'));
    await stage.says(0, 2, data('two'));
    expect(status()).toBe('RUNNING');
    await stage.world.advance(1_000);
    expect(stage.result()).toEqual([null, null, null, ['one', 2], ['two', 2]]);
  });
});

describe('a flow that waits for two sessions at once', () => {
  const begin = (): Promise<void> => stage.begin([...openTo(2), hearBoth]);
  const both = (): unknown => (stage.result() as unknown[] | null)?.at(-1);

  test('does not go on for one of them', async () => {
    await begin();
    await stage.says(1, 1, data('b'));
    expect(status()).toBe('RUNNING');
    expect(stage.heard().slice(2)).toEqual([]);
  });

  test.each([[[0, 1]], [[1, 0]]])('goes on when both have come, in the order %j', async (order) => {
    await begin();
    for (const session of order) await stage.says(session, 1, data(`from ${session}`));
    expect(both()).toEqual([['from 0', 2], ['from 1', 2]]);
  });

  test('goes on when one had come before and the other comes', async () => {
    await stage.begin([...openTo(2), { do: 'sleep', ms: 1_000 }, hearBoth]);
    await stage.says(0, 1, data('early'));
    await stage.world.advance(1_000);
    expect(status()).toBe('RUNNING');
    await stage.says(1, 1, data('late'));
    expect(both()).toEqual([['early', 2], ['late', 2]]);
  });

  test('or one after the other goes on at once where both had come before', async () => {
    await stage.begin([...openTo(2), { do: 'sleep', ms: 1_000 }, hear(0), hear(1)]);
    await stage.says(1, 1, data('b'));
    await stage.says(0, 1, data('a'));
    await stage.world.advance(1_000);
    expect((stage.result() as unknown[]).slice(-2)).toEqual([['a', 2], ['b', 2]]);
  });

  test.each<[string, Content, Content, unknown]>([
    ['an error and data', fails, data('b'), ['! SESSION_ERROR', ['b', 2]]],
    ['data and an error', data('a'), fails, [['a', 2], '! SESSION_ERROR']],
    ['a close and data', closes, data('b'), ['! SESSION_CLOSED', ['b', 2]]],
    ['data and a close', data('a'), closes, [['a', 2], '! SESSION_CLOSED']],
    ['two closes', closes, closes, ['! SESSION_CLOSED', '! SESSION_CLOSED']],
    ['two errors', fails, fails, ['! SESSION_ERROR', '! SESSION_ERROR']],
    ['an error and a close', fails, closes, ['! SESSION_ERROR', '! SESSION_CLOSED']],
  ])('gets of %s each in its place, whichever comes first', async (_, first, second, expected) => {
    for (const order of [[0, 1], [1, 0]]) {
      stage = await createStage();
      await begin();
      for (const session of order) await stage.says(session, 1, session === 0 ? first : second);
      expect(both()).toEqual(expected);
    }
  });

  test('gets data and then a close of one, and data of the other', async () => {
    await stage.begin([...openTo(2), hearBoth, hear(0)]);
    await stage.says(0, 1, data('a'));
    await stage.says(0, 2, closes);
    await stage.says(1, 1, data('b'));
    expect((stage.result() as unknown[]).slice(-2)).toEqual([[['a', 2], ['b', 2]], '! SESSION_CLOSED']);
  });

  test('and hears them in turns gets each session’s messages in their order, however they are mixed', async () => {
    await stage.begin([...openTo(2), { do: 'send', session: 0, say: { say: 'mute' } }, { do: 'send', session: 1, say: { say: 'mute' } }, hearBoth, hearBoth, hear(0)]);
    await stage.says(0, 1, data('a1'));
    await stage.says(1, 1, data('b1'));
    await stage.says(0, 2, data('a2'));
    await stage.says(0, 4, data('a4'));
    await stage.says(0, 3, data('a3'));
    expect(status()).toBe('RUNNING');
    await stage.says(1, 2, data('b2'));
    expect((stage.result() as unknown[]).slice(-3)).toEqual([[['a1', 2], ['b1', 2]], [['a2', 2], ['b2', 2]], ['a3', 2]]);
  });
});

describe('a message that comes again', () => {
  test('after its flow has answered it is not taken twice; the answer is on its way once', async () => {
    await stage.begin([...openTo(1), hear(0), { do: 'send', session: 0, say: { say: 'echo' } }, hear(0)]);
    await stage.says(0, 1, data('question'));
    expect(stage.heard().map(({ seq }) => seq)).toEqual([1, 2]);
    await stage.says(0, 1, data('question'));
    expect(stage.heard()).toEqual([]);
    expect(status()).toBe('RUNNING');
    await stage.says(0, 2, data('next'));
    expect((stage.result() as unknown[]).at(-1)).toEqual(['next', 2]);
  });

  test.each<[string, Content]>([
    ['data', data('x')],
    ['a close', closes],
    ['an error', fails],
  ])('for a flow that never was makes none: %s', async (_, content) => {
    await stage.says(0, 3, content);
    expect(await stage.world.rooms.get('Alice')!.states.due(Infinity, 10)).toEqual({ keys: [], nextDueAt: null });
    expect(stage.world.statuses).toEqual([]);
    expect(await stage.world.rooms.get('Alice')!.parking.list(10)).toEqual([]);
  });
});
