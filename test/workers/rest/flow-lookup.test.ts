/** Every interleaving of asking, hearing and losing track, turned by hand. */
import { describe, expect, test } from 'vitest';
import type { FlowStatus, FlowStatusName } from '../../../src/messages/grammar/shapes.ts';
import { silentLog } from '../../../src/observability/log.ts';
import { restLimits, type RestLimits } from '../../../src/workers/rest/config.ts';
import { openFeed } from '../../../src/workers/rest/feed/feed.ts';
import { findFlow, type FoundFlow } from '../../../src/workers/rest/flow-lookup.ts';
import { createFlowStatuses } from '../../../src/workers/rest/flow-statuses.ts';
import type { RestRoom } from '../../../src/workers/rest/room.ts';
import { createManualClock } from './manual-clock.ts';

const key = { shortHash: '0123456789AB', clientRequestId: 'r' };
const status = (flowStatus: FlowStatusName, more: Partial<FlowStatus> = {}): FlowStatus => ({
  holdingIdentityShortHash: key.shortHash,
  clientRequestId: key.clientRequestId,
  flowId: 'f',
  flowStatus,
  flowResult: null,
  flowError: null,
  timestamp: 1,
  ...more,
});

/** A room whose questions wait until the test answers them. */
const openRoom = (limits: RestLimits = restLimits) => {
  const clock = createManualClock();
  const statuses = createFlowStatuses(limits);
  const questions: ((flows: FlowStatus[]) => void)[] = [];
  let asked = (): void => {};
  const requests = {
    ask: () =>
      new Promise((resolve) => {
        questions.push((flows) => resolve({ type: 'done', value: { flows } }));
        asked();
      }),
    close: async () => {},
  };
  // Only what findFlow and openFeed use is there.
  const room = { requests, statuses, clock, log: silentLog, limits } as unknown as RestRoom;
  const question = async (): Promise<(flows: FlowStatus[]) => void> => {
    while (questions.length === 0) await new Promise<void>((resolve) => (asked = resolve));
    return questions.shift()!;
  };
  return { clock, statuses, room, question, questions };
};

/** Lets everything that can go on now go on. */
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const endOf = (found: FoundFlow): string => (found.type === 'found' ? found.status.flowStatus : found.code);

describe('waiting for the end of a flow', () => {
  test('hears an end that comes before the answer to its question', async () => {
    const { statuses, room, question } = openRoom();
    statuses.followed();
    const finding = findFlow(room, key, 1_000);
    const answer = await question();
    statuses.note(status('COMPLETED'));
    answer([status('RUNNING')]);
    expect(endOf(await finding)).toBe('COMPLETED');
  });

  test('hears an end that comes after the answer', async () => {
    const { statuses, room, question } = openRoom();
    statuses.followed();
    const finding = findFlow(room, key, 1_000);
    (await question())([status('RUNNING')]);
    await settle();
    statuses.note(status('FAILED'));
    expect(endOf(await finding)).toBe('FAILED');
  });

  test('asks at once while statuses are not followed, and again when they are', async () => {
    const { statuses, room, question } = openRoom();
    const finding = findFlow(room, key, 1_000);
    (await question())([status('RUNNING')]);
    await settle();
    statuses.followed();
    (await question())([status('COMPLETED')]);
    expect(endOf(await finding)).toBe('COMPLETED');
  });

  test('asks again and again where statuses are never followed, until the time is up', async () => {
    const { clock, room, question } = openRoom({ ...restLimits, untrackedAskMs: 400 });
    const finding = findFlow(room, key, 1_000);
    for (const pauseMs of [400, 400, 200]) {
      (await question())([status('RUNNING')]);
      await clock.waitForTimer(pauseMs);
      clock.advance(pauseMs);
    }
    (await question())([status('RUNNING')]);
    expect(endOf(await finding)).toBe('RUNNING');
  });

  test('asks again when statuses may have been missed', async () => {
    const { statuses, room, question } = openRoom();
    statuses.followed();
    const finding = findFlow(room, key, 1_000);
    (await question())([status('RUNNING')]);
    await settle();
    statuses.lost();
    statuses.followed();
    (await question())([status('COMPLETED')]);
    expect(endOf(await finding)).toBe('COMPLETED');
  });

  test('asks again when track was lost while it asked', async () => {
    const { statuses, room, question } = openRoom();
    statuses.followed();
    const finding = findFlow(room, key, 1_000);
    const answer = await question();
    statuses.lost();
    answer([status('RUNNING')]);
    statuses.followed();
    (await question())([status('COMPLETED')]);
    expect(endOf(await finding)).toBe('COMPLETED');
  });

  test('asks once more when the time is up, and takes that answer', async () => {
    const { clock, statuses, room, question } = openRoom();
    statuses.followed();
    const finding = findFlow(room, key, 1_000);
    (await question())([status('START_REQUESTED')]);
    await settle();
    clock.advance(1_000);
    (await question())([status('RUNNING')]);
    expect(endOf(await finding)).toBe('RUNNING');
  });

  test('leaves no listener and no timer behind', async () => {
    const { statuses, room, question, clock } = openRoom();
    statuses.followed();
    const finding = findFlow(room, key, 1_000);
    (await question())([]);
    expect(endOf(await finding)).toBe('REST_FLOW_UNKNOWN');
    expect(statuses.listenerCount).toBe(0);
    clock.advance(10_000);
  });
});

describe('what is known of flows', () => {
  test('never goes back (S3)', () => {
    const statuses = createFlowStatuses(restLimits);
    statuses.note(status('COMPLETED'));
    statuses.note(status('RUNNING'));
    statuses.note(status('FAILED'));
    expect(statuses.known(key)?.flowStatus).toBe('COMPLETED');
  });

  test('keeps ends and forgets the rest when track is lost (S4)', () => {
    const statuses = createFlowStatuses(restLimits);
    statuses.note(status('COMPLETED'));
    statuses.note(status('RUNNING', { clientRequestId: 'other' }));
    statuses.lost();
    expect([statuses.known(key)?.flowStatus, statuses.known({ ...key, clientRequestId: 'other' })]).toEqual(['COMPLETED', undefined]);
  });

  test('is bounded by count and by size', () => {
    const statuses = createFlowStatuses({ ...restLimits, statusesKeptMax: 2, statusCharsKeptMax: 100 });
    const note = (clientRequestId: string, chars: number): void => statuses.note(status('COMPLETED', { clientRequestId, flowResult: 'x'.repeat(chars) }));
    const known = (): string[] => ['a', 'b', 'c', 'd'].filter((clientRequestId) => statuses.known({ ...key, clientRequestId }) !== undefined);
    note('a', 1);
    note('b', 1);
    note('c', 1);
    expect(known()).toEqual(['b', 'c']);
    note('d', 99);
    expect(known()).toEqual(['c', 'd']);
    note('a', 101);
    expect(known()).toEqual([]);
  });

  test('of too many lets the oldest eighth go', () => {
    const statuses = createFlowStatuses({ ...restLimits, statusesKeptMax: 16 });
    const ids = Array.from({ length: 17 }, (_, i) => `flow-${i}`);
    for (const clientRequestId of ids) statuses.note(status('COMPLETED', { clientRequestId }));
    expect(ids.filter((clientRequestId) => statuses.known({ ...key, clientRequestId }) !== undefined)).toEqual(ids.slice(3));
  });

  test('takes no note of flows that REST did not start', () => {
    const statuses = createFlowStatuses(restLimits);
    statuses.note(status('COMPLETED', { clientRequestId: null }));
    expect(statuses.known({ ...key, clientRequestId: 'null' })).toBeUndefined();
  });
});

describe('a feed', () => {
  const open = (room: RestRoom, rankTold?: number) => {
    const told: string[] = [];
    const feed = openFeed(room, key, { tell: ({ flowStatus }, last) => void told.push(last ? `${flowStatus}!` : flowStatus), fail: () => void told.push('failed') }, rankTold);
    return { told, feed };
  };

  test.each([[['START_REQUESTED', 'RUNNING', 'RUNNING', 'COMPLETED', 'COMPLETED']], [['RUNNING', 'COMPLETED']]] as const)('opened before the start tells each status once, in order, and ends, of %s (F1, F3, S5)', async (names) => {
    const { statuses, room, question } = openRoom();
    statuses.followed();
    const { told } = open(room);
    (await question())([]);
    await settle();
    for (const name of names) statuses.note(status(name));
    expect(told).toEqual(['START_REQUESTED', 'RUNNING', 'COMPLETED!']);
    expect(statuses.listenerCount).toBe(0);
  });

  test('tells what it heard while it asked after the answer (F2)', async () => {
    const { statuses, room, question } = openRoom();
    statuses.followed();
    const { told } = open(room);
    const answer = await question();
    statuses.note(status('COMPLETED'));
    expect(told).toEqual([]);
    answer([status('RUNNING')]);
    await settle();
    expect(told).toEqual(['RUNNING', 'COMPLETED!']);
  });

  test('of a flow that has ended tells its last status alone', async () => {
    const { statuses, room } = openRoom();
    statuses.followed();
    statuses.note(status('KILLED'));
    const { told } = open(room);
    await settle();
    expect(told).toEqual(['KILLED!']);
  });

  test('asks again when statuses may have been missed, and while it asked too', async () => {
    const { statuses, room, question } = openRoom();
    statuses.followed();
    const { told } = open(room);
    const answer = await question();
    statuses.lost();
    statuses.followed();
    answer([status('START_REQUESTED')]);
    (await question())([status('RUNNING')]);
    await settle();
    statuses.lost();
    statuses.followed();
    (await question())([status('COMPLETED')]);
    await settle();
    expect(told).toEqual(['START_REQUESTED', 'RUNNING', 'COMPLETED!']);
  });

  test('asks again and again where statuses are not followed', async () => {
    const { clock, room, question } = openRoom();
    const { told } = open(room);
    for (const flows of [[], [status('RUNNING')], [status('RUNNING')], [status('COMPLETED')]]) {
      (await question())(flows);
      await settle();
      clock.advance(restLimits.untrackedAskMs);
    }
    expect(told).toEqual(['RUNNING', 'COMPLETED!']);
  });

  test('tells nothing that the client has seen', async () => {
    const { statuses, room, question } = openRoom();
    statuses.followed();
    const { told } = open(room, 1);
    (await question())([status('RUNNING')]);
    await settle();
    statuses.note(status('COMPLETED'));
    expect(told).toEqual(['COMPLETED!']);
  });

  test('that was closed tells nothing more', async () => {
    const { statuses, room, question } = openRoom();
    statuses.followed();
    const { told, feed } = open(room);
    const answer = await question();
    feed.close();
    answer([status('COMPLETED')]);
    await settle();
    expect(told).toEqual([]);
    expect(statuses.listenerCount).toBe(0);
  });
});
