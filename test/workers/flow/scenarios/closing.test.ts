/** How sessions end: closed by the flow, by its end, by its sub-flows, by its counterparty. */
import { beforeEach, describe, expect, test } from 'vitest';
import { bob, closes, createStage, data, fails, hear, openTo } from './stage.ts';
import type { Step } from '../random/program.ts';
import type { Said, Stage } from './stage.ts';

let stage: Stage;
beforeEach(async () => void (stage = await createStage()));
const kinds = (said: readonly Said[]): string[] => said.map(({ session, content }) => `${session} ${content.type}${content.type === 'data' && content.closes === true ? ' and closes' : ''}`);
const ends = (said: readonly Said[]): string[] => kinds(said).filter((kind) => !kind.endsWith('data'));
const close = (session: number) => ({ do: 'close', session }) as const;
const inside = (fails_: boolean) => ({ do: 'askInside', to: bob, say: { say: 'echo' }, fails: fails_ }) as const;
const toldOfFailure = { type: 'error', code: 'FLOW_FAILED', message: 'the flow of the counterparty failed' };

describe('a flow that closes a session', () => {
  test('tells its counterparty once, and goes on at once', async () => {
    await stage.begin([...openTo(1), hear(0), close(0), close(0), { do: 'sleep', ms: 1_000 }]);
    stage.heard();
    await stage.says(0, 1, data('last'));
    expect(kinds(stage.heard())).toEqual(['0 close']);
    await stage.world.advance(1_000);
    expect(stage.status()?.flowStatus).toBe('COMPLETED');
    expect(stage.heard()).toEqual([]);
  });

  test('says nothing where the counterparty has closed or failed it before', async () => {
    for (const end of [closes, fails]) {
      stage = await createStage();
      await stage.begin([...openTo(1), hear(0), hear(0), close(0)]);
      stage.heard();
      await stage.says(0, 1, data('last'));
      await stage.says(0, 2, end);
      expect(stage.status()?.flowStatus).toBe('COMPLETED');
      expect(stage.heard()).toEqual([]);
    }
  });

  test('closes each of several, whichever state they are in', async () => {
    await stage.begin([...openTo(3), { do: 'open', to: bob }, hear(1), hear(2), close(0), close(1), close(2), close(3), { do: 'sleep', ms: 1_000 }]);
    stage.heard();
    await stage.says(1, 1, closes);
    await stage.says(2, 1, fails);
    // The first is open, the second closed, the third failed; of the fourth nobody knows.
    expect(kinds(stage.heard())).toEqual(['0 close']);
  });

  test('lets go of what it did not read, and hears no more', async () => {
    await stage.begin([...openTo(1), { do: 'sleep', ms: 1_000 }, close(0), hear(0), { do: 'send', session: 0, say: { say: 'echo' } }]);
    await stage.says(0, 1, data('unread'));
    await stage.world.advance(1_000);
    expect((stage.result() as unknown[]).slice(-3)).toEqual([null, '! SESSION_CLOSED', '! SESSION_CLOSED']);
  });

  test('as a responder tells the initiator, and its data rides with the close', async () => {
    await stage.opens(0, 1, data({ say: 'do', leaf: close(0) }));
    expect(ends(stage.heard())).toEqual(['0 close']);
    await stage.opens(1, 1, data({ say: 'throw' }));
    await stage.opens(2, 1, data({ say: 'stop' }));
    expect(kinds(stage.heard())).toEqual(['1 error', '2 close']);
  });
});

describe('a flow whose sessions require their counterparties to close', () => {
  const open = (session: number): Step[] => [{ do: 'open', to: bob, requireClose: true }, { do: 'send', session, say: { say: 'mute' } }];
  const waits = (): boolean => stage.status()?.flowStatus === 'RUNNING';

  test('waits for the counterparty’s close where its session requires it', async () => {
    await stage.begin([...open(0), close(0), { do: 'tick' }]);
    expect(kinds(stage.heard())).toEqual(['0 data and closes']);
    expect(waits()).toBe(true);
    await stage.says(0, 1, closes);
    expect((stage.result() as unknown[]).slice(-2)).toEqual([null, 'ticked']);
  });

  test('does not wait for a close that has come', async () => {
    await stage.begin([...open(0), hear(0), close(0), { do: 'sleep', ms: 1_000 }]);
    await stage.says(0, 2, closes);
    await stage.says(0, 1, data('last'));
    await stage.world.advance(1_000);
    expect((stage.result() as unknown[]).slice(-3)).toEqual([['last', 2], null, null]);
  });

  test('waits for the closes of several sessions, in any order', async () => {
    await stage.begin([...open(0), ...open(1), { do: 'all', parts: [close(0), close(1)] }]);
    await stage.says(1, 1, closes);
    expect(waits()).toBe(true);
    await stage.says(0, 1, closes);
    expect((stage.result() as unknown[]).at(-1)).toEqual([null, null]);
  });

  test('drops data that comes where a close is waited for, and waits on', async () => {
    await stage.begin([...open(0), close(0)]);
    await stage.says(0, 1, data('too late'));
    expect(waits()).toBe(true);
    await stage.says(0, 2, closes);
    expect((stage.result() as unknown[]).at(-1)).toBeNull();
  });

  test('hears of a counterparty that fails instead', async () => {
    await stage.begin([...open(0), close(0)]);
    await stage.says(0, 1, fails);
    expect((stage.result() as unknown[]).at(-1)).toBe('! SESSION_ERROR');
  });
});

describe('a flow that ends', () => {
  test('closes its open sessions in the same step, its last data with them', async () => {
    await stage.begin([...openTo(2), hear(0), { do: 'send', session: 0, say: { say: 'echo' } }]);
    stage.heard();
    await stage.says(0, 1, data('go'));
    expect(kinds(stage.heard()).sort()).toEqual(['0 data and closes', '1 close']);
  });

  test('by throwing fails its open sessions, and tells nobody why', async () => {
    await stage.begin([...openTo(3), hear(1), hear(2), hear(0)], true);
    stage.heard();
    await stage.says(1, 1, closes);
    await stage.says(2, 1, fails);
    await stage.says(0, 1, data('go'));
    // Only the first was open still.
    expect(stage.heard().map(({ session, content }) => [session, content])).toEqual([[0, toldOfFailure]]);
    expect(stage.status()).toMatchObject({ flowStatus: 'FAILED', flowError: { type: 'FLOW_FAILED' } });
  });

  test('says COMPLETED once and hears nothing any more', async () => {
    await stage.begin([...openTo(1)]);
    expect(stage.status()?.flowStatus).toBe('COMPLETED');
    stage.heard();
    await stage.says(0, 1, closes);
    await stage.says(0, 2, data('late'));
    expect(stage.world.statuses.map(({ flowStatus }) => flowStatus)).toEqual(['COMPLETED']);
    expect(await stage.world.rooms.get('Alice')!.parking.list(10)).toEqual([]);
  });

  test('is woken in vain: nothing is stepped, said or parked', async () => {
    await stage.begin([{ do: 'sleep', ms: 1_000 }, { do: 'sleep', ms: 1_000 }]);
    await stage.world.advance(2_000);
    await stage.world.advance(1_000);
    expect(stage.status()?.flowStatus).toBe('COMPLETED');
    const before = stage.world.published.length;
    await stage.world.advance(5_000);
    expect(stage.world.published).toHaveLength(before);
  });
});

describe('a sub-flow', () => {
  test('that returns closes the sessions that it opened, and no others', async () => {
    await stage.begin([...openTo(1), inside(false), hear(0)]);
    stage.heard();
    await stage.says(1, 1, data('answer'));
    expect(kinds(stage.heard())).toEqual(['1 close']);
    expect(stage.status()?.flowStatus).toBe('RUNNING');
    await stage.says(0, 1, data('still here'));
    expect((stage.result() as unknown[]).slice(-2)).toEqual(['answer', ['still here', 2]]);
  });

  test('that throws fails the sessions that it opened; its caller may catch that and go on', async () => {
    await stage.begin([...openTo(1), inside(true), hear(0)]);
    stage.heard();
    await stage.says(1, 1, data('answer'));
    expect(stage.heard().map(({ session, content }) => [session, content.type])).toEqual([[1, 'error']]);
    await stage.says(0, 1, data('still here'));
    expect((stage.result() as unknown[]).slice(-2)).toEqual(['! the sub-flow fails', ['still here', 2]]);
  });

  test('says nothing of a session that the counterparty has ended', async () => {
    for (const [end, error] of [[closes, '! SESSION_CLOSED'], [fails, '! SESSION_ERROR']] as const) {
      stage = await createStage();
      await stage.begin([inside(false), { do: 'draw' }]);
      stage.heard();
      await stage.says(0, 1, end);
      expect((stage.result() as unknown[])[0]).toBe(error);
      expect(stage.heard()).toEqual([]);
    }
  });

  test('without sessions says nothing, whether it returns or throws', async () => {
    await stage.begin([{ do: 'storeInside', under: 'a', fails: false }, { do: 'storeInside', under: 'b', fails: true }, { do: 'find', key: 'b' }]);
    expect(stage.result()).toMatchObject([{ key: 'a', text: 'stored' }, '! nothing more after b', { key: 'b', text: 'stored' }]);
    expect(stage.heard()).toEqual([]);
  });

  test('of a responder leaves the responder’s own session open', async () => {
    await stage.opens(0, 1, data({ say: 'do', leaf: { do: 'storeInside', under: 'a', fails: true } }));
    expect(kinds(stage.heard())).toEqual(['0 data']);
    expect((await stage.responder(0))!.status).toBe('RUNNING');
  });
});
