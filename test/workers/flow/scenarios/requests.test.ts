/** Requests to other rooms, played by the test: what is asked, which answers count, and what becomes of errors. */
import { beforeEach, describe, expect, test } from 'vitest';
import type { Outcome } from '../../../../src/messages/grammar/envelope.ts';
import type { OutRecord } from '../../../../src/messages/grammar/record.ts';
import type { Leaf, Step } from '../random/program.ts';
import { createStage } from './stage.ts';
import type { Stage } from './stage.ts';

let stage: Stage;
const silent = (record: OutRecord): readonly OutRecord[] => (['flow-to-db.entity', 'all-to-crypto.sign'].includes(record.topic) ? [] : [record]);
beforeEach(async () => void (stage = await createStage({ route: silent })));

const items = (...texts: unknown[]): Outcome => ({ type: 'done', value: { items: texts.map((text, i) => ({ id: `${i}`, json: JSON.stringify({ owner: 'x', key: `${i}`, text }) })) } });
const refusal = (code: string, fault?: 'transient' | 'fatal'): Outcome => ({ type: 'refused', code, message: 'no', ...(fault === undefined ? {} : { fault }) });
const operations = (): string[] => stage.world.published.filter(({ topic }) => topic === 'flow-to-db.entity').map(({ value }) => (JSON.parse(value) as { body: { operation: { type: string } } }).body.operation.type);

describe('an entity operation', () => {
  const cases: [Leaf & { key: string }, string, Outcome, unknown][] = [
    [{ do: 'persist', key: 'a' }, 'persist', items(), null],
    [{ do: 'merge', key: 'a' }, 'merge', items(), null],
    [{ do: 'remove', key: 'a' }, 'remove', items('gone'), 1],
    [{ do: 'remove', key: 'a' }, 'remove', items(), 0],
    [{ do: 'find', key: 'a' }, 'find', items('here'), { owner: 'x', key: '0', text: 'here' }],
    [{ do: 'find', key: 'a' }, 'find', items(), null],
    [{ do: 'findAll', key: 'a' }, 'find', items('one', 'two'), 2],
    [{ do: 'query', key: 'a' }, 'query', items(), { values: [] }],
  ];
  test.each(cases)('%j asks to %s, waits, and goes on with the answer %j', async (leaf, type, outcome, expected) => {
    await stage.begin([leaf]);
    expect(operations()).toEqual([type]);
    expect(stage.status()?.flowStatus).toBe('RUNNING');
    await stage.answers(0, outcome);
    expect(stage.result()).toEqual([expected]);
  });
});

describe('a signature', () => {
  test('is asked of the crypto room, and its answer is the operation’s', async () => {
    await stage.begin([{ do: 'signWith' }]);
    expect(stage.asked()).toEqual(['all-to-crypto.sign']);
    await stage.answers(0, { type: 'done', value: { signature: 'c2ln', spec: 'EdDSA', publicKey: 'a2V5' } });
    expect(stage.result()).toEqual([{ signature: 'c2ln', spec: 'EdDSA', publicKey: 'a2V5' }]);
  });

  test('that is refused is an error to catch', async () => {
    await stage.begin([{ do: 'signWith' }]);
    await stage.answers(0, refusal('CRYPTO_KEY_NOT_FOUND'));
    expect(stage.result()).toEqual(['! CRYPTO_KEY_NOT_FOUND']);
  });

  test('with an answer of another shape than promised is refused, and the flow goes on', async () => {
    await stage.begin([{ do: 'signWith' }, { do: 'tick' }]);
    await stage.answers(0, { type: 'done', value: 'nonsense' });
    expect(stage.result()).toEqual(['! CRYPTO_REFUSED', 'ticked']);
  });
});

describe('an answer', () => {
  test('to another request than the one that is waited for is ignored, and nothing is asked again', async () => {
    await stage.begin([{ do: 'find', key: 'a' }]);
    stage.asked();
    await stage.answers(7, items('stray'));
    expect(stage.status()?.flowStatus).toBe('RUNNING');
    expect(stage.asked()).toEqual([]);
    await stage.answers(0, items());
    expect(stage.result()).toEqual([null]);
  });

  test('to the request of another flow, under this flow’s key, is ignored', async () => {
    await stage.begin([{ do: 'find', key: 'a' }]);
    await stage.answers(0, items('forged'), '00000000-0000-8000-8000-000000000bad');
    expect(stage.status()?.flowStatus).toBe('RUNNING');
  });

  test('lets the flow ask again, under another id, and be answered again', async () => {
    await stage.begin([{ do: 'find', key: 'a' }, { do: 'merge', key: 'a' }]);
    await stage.answers(0, items());
    expect(operations()).toEqual(['find', 'merge']);
    await stage.answers(0, items('a repeat'));
    expect(stage.status()?.flowStatus).toBe('RUNNING');
    await stage.answers(1, items());
    expect(stage.result()).toEqual([null, null]);
  });

  test('that says "not now" is followed by the same request after a while, and its success is the end of it', async () => {
    await stage.begin([{ do: 'find', key: 'a' }]);
    stage.asked();
    await stage.answers(0, refusal('DB_AWAY', 'transient'));
    expect(stage.asked()).toEqual([]);
    await stage.world.advance(1_000);
    expect(stage.asked()).toEqual(['flow-to-db.entity']);
    await stage.answers(0, items());
    expect(stage.result()).toEqual([null]);
    await stage.world.advance(60_000);
    expect(stage.asked()).toEqual([]);
  });

  test('that says "not now" and then comes well before the request is made again counts', async () => {
    await stage.begin([{ do: 'find', key: 'a' }]);
    await stage.answers(0, refusal('DB_AWAY', 'transient'));
    stage.asked();
    await stage.answers(0, items());
    expect(stage.result()).toEqual([null]);
    expect(stage.asked()).toEqual([]);
  });

  test('that refuses is an error that the code may catch; the flow is not parked', async () => {
    await stage.begin([{ do: 'find', key: 'a' }, { do: 'tick' }]);
    await stage.answers(0, refusal('DB_SOMETHING'));
    expect(stage.result()).toEqual(['! DB_REFUSED', 'ticked']);
    expect(await stage.world.rooms.get('Alice')!.parking.list(10)).toEqual([]);
  });

  test('that is fatal ends the flow as a platform fault, and its code hears nothing of it', async () => {
    await stage.begin([{ do: 'find', key: 'a' }, { do: 'tick' }]);
    await stage.answers(0, refusal('DB_BROKEN', 'fatal'));
    expect(stage.status()).toMatchObject({ flowStatus: 'FAILED', flowResult: null, flowError: { type: 'PLATFORM_ERROR', message: 'DB_BROKEN: no' } });
  });

  test('to an operation that lost its race is taken and forgotten', async () => {
    const race: Step = { do: 'race', parts: [{ do: 'find', key: 'a' }, { do: 'members' }] };
    await stage.begin([race, { do: 'find', key: 'b' }]);
    await stage.answers(0, items('late'));
    expect(stage.status()?.flowStatus).toBe('RUNNING');
    await stage.answers(2, items());
    expect((stage.result() as unknown[])[1]).toBeNull();
  });
});

describe('a wake', () => {
  test('before anything is due asks nothing again and completes nothing', async () => {
    await stage.begin([{ do: 'find', key: 'a' }, { do: 'sleep', ms: 1_000 }]);
    stage.asked();
    await stage.world.advance(1);
    expect(stage.asked()).toEqual([]);
    expect(stage.status()?.flowStatus).toBe('RUNNING');
  });
});
