/** Killing a flow and driving one again, as REST callers do. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { flowIdOf } from '../../../src/identity/derive.ts';
import type { FlowStatus } from '../../../src/messages/grammar/shapes.ts';
import { restToFlowKill } from '../../../src/messages/rest-to-flow.kill.ts';
import { restToFlowRedrive } from '../../../src/messages/rest-to-flow.redrive.ts';
import { restLimits } from '../../../src/workers/rest/config.ts';
import { createFlowStatuses } from '../../../src/workers/rest/flow-statuses.ts';
import { aliceHash, openRest, strangerHash, type RestUnderTest } from './rest-under-test.ts';
import { doneWith, refusedWith } from './rooms.ts';

let rest: RestUnderTest;
beforeAll(async () => {
  rest = await openRest();
});
afterAll(() => rest.close());

let count = 0;
const begin = async (): Promise<string> => {
  const clientRequestId = `command-${++count}`;
  await rest.call('POST', `/flow/${aliceHash}`, { json: { clientRequestId, flowClassName: 'com.example.Ping', requestBody: {} } });
  return clientRequestId;
};

describe('killing a flow', () => {
  test('tells the flow room who kills what, and answers with the flow as it is then', async () => {
    const id = await begin();
    rest.rooms.on(restToFlowKill, ({ clientRequestId }) => doneWith({ flowId: flowIdOf(aliceHash, clientRequestId), timestamp: 1_700_000_000_000 }));
    const answer = await rest.call('POST', `/flow/${aliceHash}/${id}/kill`);
    expect([answer.status, answer.json]).toEqual([
      200,
      { holdingIdentityShortHash: aliceHash, clientRequestId: id, flowId: flowIdOf(aliceHash, id), flowStatus: 'KILLED', flowResult: null, flowError: null, timestamp: '2023-11-14T22:13:20.000Z' },
    ]);
    expect(rest.rooms.heard(restToFlowKill).at(-1)).toEqual({ shortHash: aliceHash, clientRequestId: id, killedBy: 'admin' });
    await rest.rooms.flows.move(aliceHash, id, 'KILLED', { flowError: { type: 'FLOW_KILLED', message: 'the flow was killed by admin' } });
    const result = await rest.call('GET', `/flow/${aliceHash}/${id}/result?wait=60000`);
    expect([result.status, result.json.flowStatus, result.json.flowError]).toEqual([200, 'KILLED', { type: 'FLOW_KILLED', message: 'the flow was killed by admin' }]);
  });

  test.each([['FLOW_UNKNOWN', 404], ['FLOW_ENDED', 409]])('is refused by the flow room with %s as %i', async (code, status) => {
    rest.rooms.on(restToFlowKill, () => refusedWith(code));
    expect((await rest.call('POST', `/flow/${aliceHash}/some/kill`)).status).toBe(status);
  });

  test('needs a virtual node that is here, and a login', async () => {
    expect((await rest.call('POST', `/flow/${strangerHash}/some/kill`)).status).toBe(404);
    expect((await rest.call('POST', `/flow/${aliceHash}/some/kill`, { headers: { authorization: '' } })).status).toBe(401);
  });
});

describe('driving a flow again', () => {
  test('answers 202, and the failure that was known is no longer its status', async () => {
    const id = await begin();
    const began = Date.now() + 1_000;
    await rest.rooms.flows.move(aliceHash, id, 'FAILED', { flowError: { type: 'PLATFORM_ERROR', message: 'x' }, since: began - 500 });
    expect((await rest.call('GET', `/flow/${aliceHash}/${id}/result?wait=60000`)).json.flowStatus).toBe('FAILED');
    rest.rooms.on(restToFlowRedrive, ({ clientRequestId }) => doneWith({ flowId: flowIdOf(aliceHash, clientRequestId), timestamp: began }));
    const answer = await rest.call('POST', `/flow/${aliceHash}/${id}/redrive`);
    expect([answer.status, answer.json.flowStatus]).toEqual([202, 'RUNNING']);
    expect(rest.rooms.heard(restToFlowRedrive).at(-1)).toEqual({ shortHash: aliceHash, clientRequestId: id, redrivenBy: 'admin' });
    const waiting = rest.call('GET', `/flow/${aliceHash}/${id}/result?wait=60000`);
    await rest.rooms.flows.move(aliceHash, id, 'COMPLETED', { flowResult: '"at last"', since: began });
    expect((await waiting).json).toMatchObject({ flowStatus: 'COMPLETED', json: 'at last' });
  });

  test('is refused with the reason', async () => {
    rest.rooms.on(restToFlowRedrive, () => refusedWith('FLOW_NOT_REDRIVABLE', 'a counterparty was told that the flow failed'));
    const answer = await rest.call('POST', `/flow/${aliceHash}/some/redrive`);
    expect([answer.status, answer.json.title]).toEqual([409, 'a counterparty was told that the flow failed']);
  });
});

describe('what is known of flows', () => {
  const key = { shortHash: aliceHash, clientRequestId: 'r' };
  const status = (flowStatus: FlowStatus['flowStatus'], since: number): FlowStatus => ({ holdingIdentityShortHash: aliceHash, clientRequestId: 'r', flowId: 'f', flowStatus, flowResult: null, flowError: null, timestamp: 0, since });

  test('begins anew with a later run and never with an earlier one (S3)', () => {
    const statuses = createFlowStatuses(restLimits);
    statuses.note(status('FAILED', 10));
    statuses.note(status('RUNNING', 20));
    expect(statuses.known(key)?.flowStatus).toBe('RUNNING');
    statuses.note(status('COMPLETED', 10));
    expect(statuses.known(key)?.flowStatus).toBe('RUNNING');
    statuses.note(status('COMPLETED', 20));
    statuses.note(status('RUNNING', 20));
    expect(statuses.known(key)?.flowStatus).toBe('COMPLETED');
  });

  test('forgets failures when track is lost, since they may have been driven again (S4)', () => {
    const statuses = createFlowStatuses(restLimits);
    statuses.note(status('FAILED', 10));
    statuses.lost();
    expect(statuses.known(key)).toBeUndefined();
  });
});
