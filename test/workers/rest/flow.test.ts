import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { flowIdOf } from '../../../src/identity/derive.ts';
import { restToFlowQuery } from '../../../src/messages/rest-to-flow.query.ts';
import { restToFlowStart } from '../../../src/messages/rest-to-flow.start.ts';
import { alice, aliceHash, mallory, openRest, strangerHash, virtualNodeOf, type RestUnderTest } from './rest-under-test.ts';
import { refusedWith } from './rooms.ts';
import type { View } from '../../../src/shell/view.ts';
import { createManualClock } from './manual-clock.ts';

let rest: RestUnderTest;
beforeAll(async () => {
  rest = await openRest();
});
afterAll(() => rest.close());

let count = 0;
const nextId = (): string => `flow-${++count}`;
const start = (clientRequestId: string, more: object = {}) => ({ clientRequestId, flowClassName: 'com.example.Ping', requestBody: { to: 'Bob' }, ...more });
const begin = async (): Promise<string> => {
  const id = nextId();
  expect((await rest.call('POST', `/flow/${aliceHash}`, { json: start(id) })).status).toBe(202);
  return id;
};

describe('starting a flow', () => {
  test('answers 202 with the contract’s object, nulls and all', async () => {
    const answer = await rest.call('POST', `/flow/${aliceHash}`, { json: start('r1') });
    expect(answer.status).toBe(202);
    expect(answer.json).toEqual({
      holdingIdentityShortHash: aliceHash,
      clientRequestId: 'r1',
      flowId: null,
      flowStatus: 'START_REQUESTED',
      flowResult: null,
      flowError: null,
      timestamp: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
    });
  });

  test('tells the flow room who starts what where', async () => {
    const id = await begin();
    expect(rest.rooms.heard(restToFlowStart).at(-1)).toEqual({
      holdingIdentity: alice.holdingIdentity,
      clientRequestId: id,
      flowClassName: 'com.example.Ping',
      requestBody: '{"to":"Bob"}',
      startedBy: 'admin',
    });
  });

  test('takes the nested shape too', async () => {
    expect((await rest.call('POST', `/flow/${aliceHash}`, { json: { startFlow: start(nextId()) } })).status).toBe(202);
  });

  test.each([
    [{ a: 1 }, '{"a":1}'],
    [[1, 2], '[1,2]'],
    [7, '7'],
    [false, 'false'],
    ['{"escaped":true}', '{"escaped":true}'],
    ['plain text', '"plain text"'],
  ])('hands %j to the flow as %s', async (requestBody, text) => {
    await rest.call('POST', `/flow/${aliceHash}`, { json: start(nextId(), { requestBody }) });
    expect(rest.rooms.heard(restToFlowStart).at(-1)!.requestBody).toBe(text);
  });

  test('is 409 for a client request id that was used at this virtual node', async () => {
    const id = await begin();
    const again = await rest.call('POST', `/flow/${aliceHash}`, { json: start(id) });
    expect(again.status).toBe(409);
    expect(again.json.title).toContain('already started');
  });

  test('is another message each time, by which flows of one client request id are told apart', async () => {
    const id = await begin();
    await rest.call('POST', `/flow/${aliceHash}`, { json: start(id) });
    const [one, other] = rest.rooms.heardIds(restToFlowStart).slice(-2);
    expect(rest.rooms.heard(restToFlowStart).slice(-2).map(({ clientRequestId }) => clientRequestId)).toEqual([id, id]);
    expect(one).not.toBe(other);
  });

  test('is 404 at an unknown virtual node and 400 at a malformed hash', async () => {
    expect((await rest.call('POST', `/flow/${strangerHash}`, { json: start(nextId()) })).status).toBe(404);
    expect((await rest.call('POST', '/flow/xyz', { json: start(nextId()) })).status).toBe(400);
  });

  test('is 405 at a virtual node in maintenance', async () => {
    const answer = await rest.call('POST', `/flow/${mallory.holdingIdentity.shortHash}`, { json: start(nextId()) });
    expect([answer.status, answer.headers.get('allow')]).toEqual([405, 'GET, HEAD, OPTIONS']);
  });

  test.each(['', 'a b', 'ü', 'x'.repeat(243), '../..'.concat('/')])('is 400 for the client request id %j', async (id) => {
    expect((await rest.call('POST', `/flow/${aliceHash}`, { json: start(id) })).status).toBe(400);
  });

  test.each(['com.example.Pong', 'com.example.Nobody'])('is 400 for %s, and names the CPI and every startable flow', async (flowClassName) => {
    const answer = await rest.call('POST', `/flow/${aliceHash}`, { json: start(nextId(), { flowClassName }) });
    expect(answer.status).toBe(400);
    expect(answer.json.details).toEqual({
      code: 'REST_FLOW_NOT_STARTABLE',
      virtualNode: aliceHash,
      cpiName: 'greetings',
      cpiVersion: '1.0',
      signerSummaryHash: 'SHA-256:AA',
      cpiFileChecksum: 'AB12CD34EF56',
      startableFlows: 'com.example.Echo, com.example.Ping',
    });
  });

  test.each([{ requestBody: undefined }, { requestBody: null }, { flowClassName: 'a b' }, { flowClassName: 7 }, { clientRequestId: undefined }])('is 400 with %j', async (more) => {
    expect((await rest.call('POST', `/flow/${aliceHash}`, { json: start(nextId(), more) })).status).toBe(400);
  });

  test('is 413 when the argument is longer than a record may carry', async () => {
    expect((await rest.call('POST', `/flow/${aliceHash}`, { json: start(nextId(), { requestBody: 'x'.repeat(500_001) }) })).status).toBe(413);
    // Its quotes double inside the record.
    expect((await rest.call('POST', `/flow/${aliceHash}`, { json: start(nextId(), { requestBody: ['"'.repeat(249_990)] }) })).status).toBe(413);
  });

  test('looks once more for a virtual node and a CPI that the views do not have yet', async () => {
    let refreshed = 0;
    // A view that has its keys only after it was brought up to date.
    const lagging = <Body>(view: View<Body>): View<Body> => {
      let fresh = false;
      return { get: (key) => (fresh ? view.get(key) : undefined), entries: () => view.entries(), refresh: async () => void ((fresh = true), refreshed++) };
    };
    const own = await openRest({ change: (deps) => ({ ...deps, views: { ...deps.views, virtualNodes: lagging(deps.views.virtualNodes), cpis: lagging(deps.views.cpis) } }) });
    try {
      expect((await own.call('POST', `/flow/${aliceHash}`, { json: start('x') })).status).toBe(202);
      expect(refreshed).toBe(2);
    } finally {
      await own.close();
    }
  });
});

describe('the status of a flow', () => {
  test('is what the flow room says, with result or error where they belong', async () => {
    const id = await begin();
    const flowId = flowIdOf(aliceHash, id);
    expect((await rest.call('GET', `/flow/${aliceHash}/${id}`)).json).toMatchObject({ flowStatus: 'START_REQUESTED', flowId });
    await rest.rooms.flows.move(aliceHash, id, 'COMPLETED', { flowResult: 'Hello Alice, best wishes from Bob' });
    expect((await rest.call('GET', `/flow/${aliceHash}/${id}`)).json).toMatchObject({ flowStatus: 'COMPLETED', flowResult: 'Hello Alice, best wishes from Bob', flowError: null });
    const failing = await begin();
    const flowError = { type: 'FLOW_FAILED', message: 'no' };
    await rest.rooms.flows.move(aliceHash, failing, 'FAILED', { flowError });
    expect((await rest.call('GET', `/flow/${aliceHash}/${failing}`)).json).toMatchObject({ flowStatus: 'FAILED', flowResult: null, flowError });
  });

  test('is 404 when no such flow was started, or the virtual node is unknown', async () => {
    expect((await rest.call('GET', `/flow/${aliceHash}/nothing`)).status).toBe(404);
    expect((await rest.call('GET', `/flow/${strangerHash}/r1`)).status).toBe(404);
    expect((await rest.call('GET', `/flow/${aliceHash}/nothing/result?wait=60000`)).status).toBe(404);
  });

  test('is read from memory once the flow has ended', async () => {
    const id = await begin();
    await rest.rooms.flows.move(aliceHash, id, 'COMPLETED');
    await rest.call('GET', `/flow/${aliceHash}/${id}/result?wait=60000`);
    const queries = rest.rooms.heard(restToFlowQuery).length;
    await rest.call('GET', `/flow/${aliceHash}/${id}`);
    expect(rest.rooms.heard(restToFlowQuery).length).toBe(queries);
  });

  test('is listed, all or by status', async () => {
    const erin = virtualNodeOf('CN=Frank, O=Frank Corp, L=Rome, C=IT');
    const hash = erin.holdingIdentity.shortHash;
    await rest.publishVirtualNode(erin);
    for (const id of ['one', 'two']) await rest.call('POST', `/flow/${hash}`, { json: start(id) });
    await rest.rooms.flows.move(hash, 'one', 'COMPLETED');
    const ids = async (query: string): Promise<string[]> => (await rest.call('GET', `/flow/${hash}${query}`)).json.flowStatusResponses.map((flow: any) => flow.clientRequestId);
    expect(await ids('')).toEqual(['two', 'one']);
    expect(await ids('?status=COMPLETED')).toEqual(['one']);
    expect((await rest.call('GET', `/flow/${hash}?status=RETRYING`)).status).toBe(400);
  });
});

describe('the result of a flow', () => {
  test('is 202 while it runs and 200 when it has ended', async () => {
    const id = await begin();
    const early = await rest.call('GET', `/flow/${aliceHash}/${id}/result`);
    expect([early.status, early.json.flowStatus, early.json.json]).toEqual([202, 'START_REQUESTED', null]);
    await rest.rooms.flows.move(aliceHash, id, 'COMPLETED', { flowResult: '{"answer":42}' });
    const late = await rest.call('GET', `/flow/${aliceHash}/${id}/result`);
    expect([late.status, late.json.flowStatus, late.json.json]).toEqual([200, 'COMPLETED', { answer: 42 }]);
    expect(Object.keys(late.json).sort()).toEqual(['clientRequestId', 'flowError', 'flowId', 'flowStatus', 'holdingIdentityShortHash', 'json', 'timestamp']);
  });

  test('is a JSON string when the flow answered plain text', async () => {
    const id = await begin();
    await rest.rooms.flows.move(aliceHash, id, 'COMPLETED', { flowResult: 'Hello' });
    expect((await rest.call('GET', `/flow/${aliceHash}/${id}/result`)).json.json).toBe('Hello');
  });

  test.each(['wait=soon', 'wait=-1', 'wait=PT1H', 'wait=1&wait=2'])('is 400 with %s', async (query) => {
    expect((await rest.call('GET', `/flow/${aliceHash}/r1/result?${query}`)).status).toBe(400);
  });
});

describe('waiting for a result', () => {
  test.each(['60000', 'PT30S'])('with wait=%s answers when the flow ends, without a second question', async (wait) => {
    const id = await begin();
    const queries = rest.rooms.heard(restToFlowQuery).length;
    const waiting = rest.call('GET', `/flow/${aliceHash}/${id}/result?wait=${wait}`);
    await rest.rooms.flows.move(aliceHash, id, 'RUNNING');
    await rest.rooms.flows.move(aliceHash, id, 'COMPLETED', { flowResult: '1' });
    expect(await waiting).toMatchObject({ status: 200, json: { flowStatus: 'COMPLETED', json: 1 } });
    expect(rest.rooms.heard(restToFlowQuery).length).toBe(queries);
  });

  test('works on the status too', async () => {
    const id = await begin();
    const waiting = rest.call('GET', `/flow/${aliceHash}/${id}?wait=60000`);
    await rest.rooms.flows.move(aliceHash, id, 'KILLED');
    expect(await waiting).toMatchObject({ status: 200, json: { flowStatus: 'KILLED' } });
  });

  test('asks the flow room about a flow it has not heard of, and misses no end that comes while it asks', async () => {
    const own = await openRest();
    try {
      own.rooms.on(restToFlowQuery, async () => {
        // The end is told while the answer, which does not know it, is on its way.
        await own.rooms.flows.move(aliceHash, 'elsewhere', 'COMPLETED', { flowResult: '"in between"' });
        const status = { holdingIdentityShortHash: aliceHash, clientRequestId: 'elsewhere', flowId: 'f', flowStatus: 'RUNNING', flowResult: null, flowError: null, timestamp: 1 };
        return { type: 'done', value: { flows: [status] } };
      });
      expect(await own.call('GET', `/flow/${aliceHash}/elsewhere/result?wait=60000`)).toMatchObject({ status: 200, json: { json: 'in between' } });
    } finally {
      await own.close();
    }
  });

  test('ends with 202 and the truth of the flow room when the time is up', async () => {
    const clock = createManualClock();
    const timed = await openRest({ clock });
    try {
      await timed.call('POST', `/flow/${aliceHash}`, { json: start('slow') });
      const waiting = timed.call('GET', `/flow/${aliceHash}/slow/result?wait=5000`);
      await clock.waitForTimer(5_000);
      expect(timed.rooms.heard(restToFlowQuery)).toEqual([]);
      clock.advance(5_000);
      expect(await waiting).toMatchObject({ status: 202, json: { flowStatus: 'START_REQUESTED' } });
      expect(timed.rooms.heard(restToFlowQuery)).toHaveLength(1);
    } finally {
      await timed.close();
    }
  });

  test.each(['before', 'after'])('at the start itself gives the end of the flow in one call, told %s the start is answered', async (when) => {
    const id = nextId();
    const { flows } = rest.rooms;
    const end = (): Promise<void> => flows.move(aliceHash, id, 'COMPLETED', { flowResult: '"done"' });
    const started = new Promise<void>((resolve) => {
      flows.onStart = () => {
        flows.onStart = undefined;
        if (when === 'before') void end().then(resolve);
        else setImmediate(resolve);
      };
    });
    const waiting = rest.call('POST', `/flow/${aliceHash}?wait=60000`, { json: start(id) });
    await started;
    if (when === 'after') await end();
    expect(await waiting).toMatchObject({ status: 200, json: { clientRequestId: id, flowStatus: 'COMPLETED', flowResult: '"done"' } });
  });

  test('at the start gives 202 when the wait is over, and 409 to a second start', async () => {
    const id = nextId();
    const waiting = await rest.call('POST', `/flow/${aliceHash}?wait=1`, { json: start(id) });
    expect(waiting).toMatchObject({ status: 202, json: { flowStatus: 'START_REQUESTED' } });
    expect((await rest.call('POST', `/flow/${aliceHash}?wait=60000`, { json: start(id) })).status).toBe(409);
  });

  test('is answered at once when too many wait already', async () => {
    const crowded = await openRest({ limits: { listenersMax: 0 } });
    try {
      await crowded.call('POST', `/flow/${aliceHash}`, { json: start('one') });
      expect((await crowded.call('GET', `/flow/${aliceHash}/one/result?wait=60000`)).status).toBe(202);
    } finally {
      await crowded.close();
    }
  });
});

describe('when the flow room refuses or is silent', () => {
  test('its refusal is told by its code', async () => {
    const own = await openRest();
    try {
      own.rooms.on(restToFlowStart, () => refusedWith('FLOW_WHO_KNOWS'));
      expect((await own.call('POST', `/flow/${aliceHash}`, { json: start('x') })).status).toBe(500);
    } finally {
      await own.close();
    }
  });

  test('the answer is 503 with Retry-After', async () => {
    const own = await openRest({ limits: { askTimeoutMs: 20, retryAfterSeconds: 3 } });
    try {
      own.rooms.on(restToFlowStart, () => 'silent');
      const answer = await own.call('POST', `/flow/${aliceHash}`, { json: start('x') });
      expect([answer.status, answer.headers.get('retry-after'), answer.json.details.code]).toEqual([503, '3', 'REST_ROOM_SILENT']);
    } finally {
      await own.close();
    }
  });
});
