/** The journal of a flow and the code of a CPK over REST. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { restToFlowQuery } from '../../../src/messages/rest-to-flow.query.ts';
import { aliceHash, openRest, strangerHash, type RestUnderTest } from './rest-under-test.ts';
import { doneWith } from './rooms.ts';

let rest: RestUnderTest;
beforeAll(async () => {
  rest = await openRest();
});
afterAll(() => rest.close());

const flow = {
  status: { holdingIdentityShortHash: aliceHash, clientRequestId: 'r1', flowId: 'f', flowStatus: 'RUNNING', flowResult: null, flowError: null, timestamp: 1, since: 1 },
  flowId: 'f',
  kind: 'rest',
  flowClassName: 'com.example.Ping',
  x500Name: 'CN=Alice',
  groupId: 'g',
  startedBy: 'admin',
  cpkHash: 'C'.repeat(64),
  createdAt: 1,
  updatedAt: 2,
  errorAt: [],
  operationCount: 1,
  itemCount: 2,
  sessions: [],
  pending: [{ op: 0, type: 'sleep', until: 5 }],
};
const hash = 'A'.repeat(64);

describe('GET /flow/{hash}/{id}/journal', () => {
  test('hands out pages, each with the place where the next begins', async () => {
    rest.rooms.on(restToFlowQuery, (body) =>
      body.type === 'journal' && body.from.position === 0
        ? doneWith({ flows: [], journal: { flow, parts: [{ position: 0, text: '{"a' }], next: { position: 0, offset: 3 } } })
        : doneWith({ flows: [], journal: { flow, parts: [{ position: 0, text: '":1}' }] } }),
    );
    const first = await rest.call('GET', `/flow/${aliceHash}/r1/journal`);
    expect(first.json).toMatchObject({ flow: { flowClassName: 'com.example.Ping', pending: [{ op: 0, type: 'sleep', until: 5 }] }, parts: [{ position: 0, text: '{"a' }], next: '0.3' });
    await rest.call('GET', `/flow/${aliceHash}/r1/journal?from=7.3`);
    expect(rest.rooms.heard(restToFlowQuery).at(-1)).toEqual({ type: 'journal', shortHash: aliceHash, name: 'r1', from: { position: 7, offset: 3 } });
  });

  test('is refused for what is not there, for a place that is none, and to who may not read results', async () => {
    rest.rooms.on(restToFlowQuery, () => doneWith({ flows: [] }));
    expect((await rest.call('GET', `/flow/${aliceHash}/r2/journal`)).status).toBe(404);
    expect((await rest.call('GET', `/flow/${strangerHash}/r1/journal`)).status).toBe(404);
    expect((await rest.call('GET', `/flow/${aliceHash}/r1/journal?from=seven`)).status).toBe(400);
    expect((await rest.call('GET', `/flow/${aliceHash}/r1/journal`, { headers: { authorization: '' } })).status).toBe(401);
  });
});

describe('GET /cpk/{hash}/{part}/{index}', () => {
  test('hands out the bundle and its map in chunks', async () => {
    rest.rooms.on(restToFlowQuery, (body) => doneWith(body.type === 'code' && body.index === 0 ? { flows: [], code: { count: 1, bytes: 'YQ' } } : { flows: [] }));
    expect((await rest.call('GET', `/cpk/${hash}/bundle/0`)).json).toEqual({ count: 1, bytes: 'YQ' });
    expect(rest.rooms.heard(restToFlowQuery).at(-1)).toEqual({ type: 'code', cpkHash: hash, part: 'bundle', index: 0 });
    expect((await rest.call('GET', `/cpk/${hash}/map/1`)).status).toBe(404);
    expect((await rest.call('GET', `/cpk/${hash}/sources/0`)).status).toBe(400);
    expect((await rest.call('GET', `/cpk/${hash}/bundle/0`, { headers: { authorization: '' } })).status).toBe(401);
  });
});
