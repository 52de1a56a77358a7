/** What rooms of one process tell each other: the rest room hears for as long as it runs, others tell whoever has an ear by then. */
import { expect, test } from 'vitest';
import { startRoom } from '../../containers/running-room.ts';
import { createViews, type Platform } from '../../containers/platform.ts';
import { readSettings } from '../../containers/settings.ts';
import { openEmbeddedBroker } from '../../src/bus/embedded-broker/embedded-broker.ts';
import { topicsOf } from '../../src/bus/topics.ts';
import { systemClock } from '../../src/host/clock.ts';
import { allToRestAnswer } from '../../src/messages/all-to-rest.answer.ts';
import { flowToRestStatus } from '../../src/messages/flow-to-rest.status.ts';
import { answerTo, decode, encode } from '../../src/messages/grammar/envelope.ts';
import type { OutRecord } from '../../src/messages/grammar/record.ts';
import { wires } from '../../src/messages/messages.ts';
import { restToFlowStart } from '../../src/messages/rest-to-flow.start.ts';
import { restToMemberMgm } from '../../src/messages/rest-to-member.mgm.ts';
import { silentLog } from '../../src/observability/log.ts';
import { createMetrics } from '../../src/observability/metrics.ts';
import { startTestServer } from '../workers/db/database.ts';
import { admin, aliceHash, publishFacts, strangerHash } from '../workers/rest/rest-under-test.ts';

const settingsOf = () => {
  const read = readSettings('rest', { CORDAGE_BUS_URL: 'http://unused', CORDAGE_BUS_USERNAME: 'rest', CORDAGE_BUS_PASSWORD: 'not-used', CORDAGE_REST_HOST: '127.0.0.1', CORDAGE_REST_PORT: '0' });
  if (read.type === 'invalid') throw new Error(read.reasons.join());
  return read.settings;
};

test('a rest room hears answers and statuses while it runs, and leaves no ear behind', async () => {
  const broker = await openEmbeddedBroker({ storage: { type: 'memory' }, topics: topicsOf(wires), clock: systemClock, log: silentLog });
  const bus = broker.connect();
  const views = createViews(bus, silentLog);
  const ears: Platform['ears'] = new Map();
  await publishFacts(bus);
  const flowRoom = bus.consume({ group: 'flow', instance: 'flow', topics: [restToFlowStart.topic] });
  const rest = await startRoom('rest', { settings: settingsOf(), instance: 'rest', bus, views, database: undefined, direct: new Map(), ears, clock: systemClock, log: silentLog, metrics: createMetrics() });
  try {
    expect([...ears.keys()].toSorted()).toEqual([allToRestAnswer.topic, flowToRestStatus.topic]);
    const starting = fetch(`${rest.url}/api/v5_2/flow/${aliceHash}`, {
      method: 'POST',
      headers: { authorization: admin, 'content-type': 'application/json' },
      body: JSON.stringify({ clientRequestId: 'r', flowClassName: 'com.example.Ping', requestBody: {} }),
    });
    const [asked] = await flowRoom.poll({ timeoutMs: 30_000, recordsMax: 1 });
    const question = decode(restToFlowStart, asked!);
    if (question.type !== 'message') throw new Error('the start cannot be read');
    const answer = answerTo(question.delivery, { type: 'done', value: { type: 'accepted', flowId: 'f', timestamp: 1 } })!;
    // It is told alone, and does not come by the bus.
    ears.get(answer.topic)!.claim!(answer)!();
    expect((await starting).status).toBe(202);
  } finally {
    await rest.stop();
    await flowRoom.close();
    await views.close();
    await broker.close();
  }
  expect([...ears.keys()]).toEqual([]);
});

test('a room with states tells its answers to an ear that came after it', async () => {
  const server = await startTestServer();
  const broker = await openEmbeddedBroker({ storage: { type: 'memory' }, topics: topicsOf(wires), clock: systemClock, log: silentLog });
  const bus = broker.connect();
  const views = createViews(bus, silentLog);
  const ears: Platform['ears'] = new Map();
  const database = await server.database('superuser');
  const member = await startRoom('member', { settings: settingsOf(), instance: 'member', bus, views, database, direct: new Map(), ears, clock: systemClock, log: silentLog, metrics: createMetrics() });
  try {
    const { promise: told, resolve } = Promise.withResolvers<OutRecord>();
    ears.set(allToRestAnswer.topic, { hear: resolve });
    await bus.publish([encode(restToMemberMgm, { key: strangerHash, id: 'asked', body: { type: 'info', shortHash: strangerHash }, replyTo: { topic: allToRestAnswer.topic, key: 'rest', partition: 0 } })]);
    expect(JSON.parse((await told).value)).toMatchObject({ body: { requestId: 'asked', outcome: { type: 'refused' } } });
  } finally {
    await member.stop();
    await views.close();
    await broker.close();
    await server.stop();
  }
}, 60_000);
