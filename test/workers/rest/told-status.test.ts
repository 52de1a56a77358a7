/** Statuses that a flow room of the same process tells when it has saved them, before the bus brings them (S6). */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { BusError, type Bus } from '../../../src/bus/bus.ts';
import type { EmbeddedBroker } from '../../../src/bus/embedded-broker/embedded-broker.ts';
import { systemClock } from '../../../src/host/clock.ts';
import { flowIdOf } from '../../../src/identity/derive.ts';
import { flowToRestStatus } from '../../../src/messages/flow-to-rest.status.ts';
import { encode } from '../../../src/messages/grammar/envelope.ts';
import type { OutRecord } from '../../../src/messages/grammar/record.ts';
import type { FlowStatus, FlowStatusName } from '../../../src/messages/grammar/shapes.ts';
import { createLog, silentLog, type Log } from '../../../src/observability/log.ts';
import { restLimits, type RestLimits } from '../../../src/workers/rest/config.ts';
import { createFlowStatuses } from '../../../src/workers/rest/flow-statuses.ts';
import { followStatuses, type StatusFollower } from '../../../src/workers/rest/on-status.ts';
import { openBroker } from '../../shell/broker.ts';
import { aliceHash, openRest } from './rest-under-test.ts';

const keyOf = (clientRequestId: string) => ({ shortHash: aliceHash, clientRequestId });
/** All of one key, so that they come in the order in which they were published. */
const said = (clientRequestId: string, flowStatus: FlowStatusName, more: Partial<FlowStatus> = {}): OutRecord =>
  encode(flowToRestStatus, {
    key: 'all',
    id: `${clientRequestId}/${flowStatus}`,
    body: { holdingIdentityShortHash: aliceHash, clientRequestId, flowId: flowIdOf(aliceHash, clientRequestId), flowStatus, flowResult: null, flowError: null, timestamp: 1, ...more },
  });

let broker: EmbeddedBroker;
let bus: Bus;
const open: StatusFollower[] = [];
beforeEach(async () => {
  broker = await openBroker([flowToRestStatus]);
  bus = broker.connect();
});
afterEach(async () => {
  await Promise.all(open.splice(0).map((one) => one.close()));
  await broker.close();
});

const followWith = ({ limits = {}, log = silentLog, by = bus }: { limits?: Partial<RestLimits>; log?: Log; by?: Pick<Bus, 'follow'> } = {}) => {
  const statuses = createFlowStatuses({ ...restLimits, ...limits });
  const follower = followStatuses({ bus: by, statuses, clock: systemClock, log, limits: { ...restLimits, followRetryMsMin: 1, ...limits } });
  open.push(follower);
  const known = (clientRequestId: string): FlowStatusName | undefined => statuses.known(keyOf(clientRequestId))?.flowStatus;
  /** Resolves when all that was published before has come. */
  const publish = async (...records: OutRecord[]): Promise<void> => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const stop = statuses.listen(keyOf('last'), () => resolve());
    await bus.publish([...records, said('last', 'RUNNING', { since: ++since })]);
    await promise;
    stop();
  };
  let since = 1;
  return { statuses, follower, known, publish };
};

describe('a status that is told', () => {
  test('is known at once, and its copy on the bus is not read', async () => {
    const { statuses, follower, known, publish } = followWith({ limits: { statusesKeptMax: 2 } });
    await statuses.tracking();
    for (const id of ['a', 'b', 'c']) follower.hear(said(id, 'COMPLETED'));
    expect(['a', 'b', 'c'].map(known)).toEqual([undefined, 'COMPLETED', 'COMPLETED']);
    // Two are kept: were the copy of the first read, it would take the place of the third.
    await publish(said('a', 'COMPLETED'));
    expect(['a', 'b', 'c'].map(known)).toEqual([undefined, undefined, 'COMPLETED']);
    // It was passed over once; whatever says it again is read.
    await publish(said('a', 'COMPLETED'));
    expect(known('a')).toBe('COMPLETED');
  });

  test('wakes who listens, once, and what comes later by the bus goes on from there', async () => {
    const { statuses, follower, publish } = followWith();
    await statuses.tracking();
    const heard: (FlowStatusName | undefined)[] = [];
    statuses.listen(keyOf('a'), (status) => heard.push(status?.flowStatus));
    follower.hear(said('a', 'RUNNING'));
    expect(heard).toEqual(['START_REQUESTED', 'RUNNING']);
    await publish(said('a', 'RUNNING'), said('a', 'COMPLETED'));
    expect(heard).toEqual(['START_REQUESTED', 'RUNNING', 'COMPLETED']);
  });

  test('is not noted before statuses are followed: its copy is', async () => {
    const { statuses, follower, known, publish } = followWith();
    expect(statuses.isTracking).toBe(false);
    follower.hear(said('a', 'RUNNING'));
    expect(known('a')).toBeUndefined();
    await statuses.tracking();
    await publish(said('a', 'RUNNING'));
    expect(known('a')).toBe('RUNNING');
  });

  test('is forgotten when track is lost, and its copy is noted when it comes', async () => {
    let fail: (error: unknown) => void = () => {};
    const follow: Bus['follow'] = (options) => {
      const { promise: fault, reject } = Promise.withResolvers<never>();
      fail = reject;
      const real = bus.follow(options);
      return { ...real, poll: (how) => Promise.race([real.poll(how), fault]) };
    };
    const { statuses, follower, known, publish } = followWith({ by: { follow } });
    await statuses.tracking();
    follower.hear(said('a', 'RUNNING'));
    const { promise: lost, resolve } = Promise.withResolvers<void>();
    const stop = statuses.listen(keyOf('a'), (status) => void (status === undefined && resolve()));
    fail(new BusError('BUS_UNREACHABLE', 'away'));
    await lost;
    stop();
    // Statuses that are told now may not be the first that were missed.
    follower.hear(said('b', 'RUNNING'));
    await statuses.tracking();
    expect(['a', 'b'].map(known)).toEqual([undefined, undefined]);
    await publish(said('a', 'RUNNING'), said('b', 'RUNNING'));
    expect(['a', 'b'].map(known)).toEqual(['RUNNING', 'RUNNING']);
  });

  test('throws nothing where it cannot be read; the bus says where it lies', async () => {
    const logged: string[] = [];
    const { statuses, follower, publish } = followWith({ log: createLog({ level: 'info', write: (line) => void logged.push(line) }) });
    await statuses.tracking();
    const malformed = { ...said('a', 'RUNNING'), value: '{"v":1,"id":"i","body":{}}' };
    follower.hear(malformed);
    expect(logged).toEqual([]);
    await publish(malformed);
    expect(logged).toEqual([expect.stringContaining('rest.status.malformed')]);
  });
});

test('who waits for a flow is answered when its end is told, though the bus has not brought it', async () => {
  const rest = await openRest();
  try {
    const clientRequestId = 'told';
    const began = await rest.call('POST', `/flow/${aliceHash}`, { json: { clientRequestId, flowClassName: 'com.example.Ping', requestBody: {} } });
    expect(began.status).toBe(202);
    const waiting = rest.call('GET', `/flow/${aliceHash}/${clientRequestId}/result?wait=55000`);
    // The stub of the flow room knows of no end, so this is heard or nothing is.
    rest.worker.hearStatus!(said(clientRequestId, 'COMPLETED', { flowResult: '"heard"' }));
    expect((await waiting).json).toMatchObject({ flowStatus: 'COMPLETED', json: 'heard' });
  } finally {
    await rest.close();
  }
});
