import { randomUUID } from 'node:crypto';
import { expect } from 'vitest';
import { alice, bob, covers, useCluster, type BlackBox } from './cluster.ts';

const cluster = useCluster();
const schemaVersion = { major: 1, minor: 0 };

const read = async ({ call }: BlackBox, section: string) => {
  const { json } = await call('GET', `/config/${section}`);
  return { ...json, source: JSON.parse(json.sourceConfig), merged: JSON.parse(json.configWithDefaults) };
};
const put = async (box: BlackBox, section: string, config: unknown, version?: number | string) =>
  box.call('PUT', '/config', { json: { section, config, schemaVersion, version: version ?? (await read(box, section)).version } });

covers(cluster, ['PUT /config', 'GET /config/{section}'], 'happy', 'a section is set as an object or as text, and shown as it was set and with its defaults', async (box) => {
  const before = await read(box, 'corda.p2p.gateway');
  expect(before).toMatchObject({ section: 'corda.p2p.gateway', version: 0, schemaVersion, source: {}, merged: { sslConfig: { tlsType: 'ONE_WAY', revocationCheck: { mode: 'SOFT_FAIL' } } } });
  const source = '{ "sslConfig": { "revocationCheck": { "mode": "OFF" } } }';
  const set = await box.call('PUT', '/config', { json: { request: { section: 'corda.p2p.gateway', version: '0', config: source, schemaVersion } } });
  expect(set.status).toBe(202);
  expect(set.json).toEqual({ section: 'corda.p2p.gateway', config: source, schemaVersion, version: 1 });
  const after = await read(box, 'corda.p2p.gateway');
  expect(after).toMatchObject({ version: 1, sourceConfig: source, merged: { sslConfig: { tlsType: 'ONE_WAY', revocationCheck: { mode: 'OFF' } } } });
  expect((await put(box, 'corda.p2p.gateway', { sslConfig: { tlsType: 'ONE_WAY' } }, 1)).status).toBe(202);
  expect((await read(box, 'corda.p2p.gateway')).merged.sslConfig.revocationCheck.mode).toBe('SOFT_FAIL');
});

covers(cluster, ['PUT /config', 'GET /config/{section}'], 'refused', 'a stale version is 409, an unknown section 404, an unknown field or a value out of bounds 400 with its path', async (box) => {
  expect((await put(box, 'corda.flow', {}, 7)).status).toBe(409);
  expect((await box.call('GET', '/config/corda.nothing')).status).toBe(404);
  expect((await put(box, 'corda.nothing', {}, 0)).status).toBe(404);
  const refusals: [unknown, string][] = [
    [{ processing: { colour: 'red' } }, 'processing.colour'],
    [{ session: { timeout: 1 } }, 'session.timeout'],
    [{ session: { timeout: '30m' } }, 'session.timeout'],
    [{ __proto__: null, session: [] }, 'session'],
  ];
  for (const [config, path] of refusals) {
    const { status, json } = await put(box, 'corda.flow', config);
    expect([status, Object.keys(json.details)], JSON.stringify(config)).toEqual([400, expect.arrayContaining([path])]);
  }
  for (const config of ['{', '[]', '"text"', '{"session":{},"session":{}}', '{"a":'.repeat(200)]) expect((await put(box, 'corda.flow', config)).status, config.slice(0, 30)).toBe(400);
  expect((await box.call('PUT', '/config', { json: { section: 'corda.flow', config: {}, version: 0, schemaVersion: { major: 2, minor: 0 } } })).status).toBe(400);
  expect((await read(box, 'corda.flow')).version).toBe(0);
});

covers(cluster, 'PUT /config', 'happy', 'what Corda alone can set is taken, kept in the source, and not shown as in force', async (box) => {
  const config = { heartbeatEnabled: false, sessionsPerPeer: 3, maxReplayingMessages: 100 };
  expect((await put(box, 'corda.p2p.linkManager', config)).status).toBe(202);
  const { source, merged } = await read(box, 'corda.p2p.linkManager');
  expect(source).toEqual(config);
  expect(merged.maxReplayingMessages).toBe(100);
  expect(merged).not.toHaveProperty('heartbeatEnabled');
  expect((await put(box, 'corda.messaging', { maxAllowedMessageSize: 972_800 })).status).toBe(202);
});

covers(cluster, 'PUT /config', 'refused', 'of two who replace one version, one comes too late', async (box) => {
  const { version } = await read(box, 'corda.rbac');
  const all = await Promise.all([8, 9, 10].map((days) => put(box, 'corda.rbac', { password: { adminPasswordChangeExpiry: days } }, version)));
  expect(all.map(({ status }) => status).toSorted()).toEqual([202, 409, 409]);
});

covers(cluster, 'PUT /config', 'happy', 'the next operation obeys: a password lasts as long as is set now, a body may be as long as is set now', async (box) => {
  await box.call('POST', '/user', { json: { enabled: true, fullName: 'Some Body', loginName: 'obeyer', initialPassword: 'password' } });
  await put(box, 'corda.rbac', { password: { adminPasswordChangeExpiry: 40, lengthLimit: 20 } });
  const changed = await box.call('POST', '/user/otheruserpassword', { json: { username: 'obeyer', password: 'short enough' } });
  expect(Math.round((Date.parse(changed.json.passwordExpiry) - Date.now()) / 86_400_000)).toBe(40);
  expect((await box.call('POST', '/user/otheruserpassword', { json: { username: 'obeyer', password: 'one that is too long' + '!' } })).status).toBe(400);
  await put(box, 'corda.rest', { maxContentLength: 1_024 });
  expect((await box.call('POST', '/hello?addressee=x', { json: {} })).status).toBe(200);
  expect((await box.call('POST', '/role', { json: { roleName: 'x'.repeat(2_000) } })).status).toBe(413);
  const last = await read(box, 'corda.rest');
  expect((await box.call('PUT', '/config', { json: { section: 'corda.rest', config: '{}', version: last.version, schemaVersion } })).status).toBe(202);
  expect((await box.call('POST', '/role', { json: { roleName: 'x'.repeat(2_000) } })).status).toBe(400);
});

covers(cluster, 'GET /config/getprotocolversion', 'happy', 'says the version', async ({ call }) => {
  expect((await call('GET', '/config/getprotocolversion')).json).toBe(50_200);
});

covers(cluster, 'GET /audit', 'happy', 'changes of the configuration are in the audit trail', async (box) => {
  await put(box, 'corda.flow', { session: { timeout: 60_000 } }, 99);
  const { json } = await box.call('GET', '/audit?limit=1&target=corda.flow');
  expect(json.entries).toMatchObject([{ actor: 'admin', action: 'config.update', target: 'corda.flow', outcome: 'DB_CONFIG_VERSION' }]);
});

covers(cluster, 'PUT /config', 'happy', 'flows obey from the next one on, and those under way go on', async (box) => {
  const app = await box.installApp();
  const hash = await box.addMember(app, alice);
  await box.addMember(app, bob);
  const start = async (): Promise<string> => {
    const clientRequestId = randomUUID();
    await box.call('POST', `/flow/${hash}`, { json: { clientRequestId, flowClassName: 'com.cordage.samples.Greet', requestBody: { otherMember: bob } } });
    return clientRequestId;
  };
  const endOf = async (id: string) => (await box.until('GET', `/flow/${hash}/${id}`, ({ json }) => !['START_REQUESTED', 'RUNNING'].includes(json.flowStatus))).json;
  const underWay = await Promise.all(Array.from({ length: 10 }, start));
  await put(box, 'corda.p2p.linkManager', { maxReplayingMessages: 5, keyAgreement: 'classical' });
  await put(box, 'corda.rest', { flowStatusCleanupTimeMs: 3_600_000 });
  for (const id of underWay) expect((await endOf(id)).flowStatus).toBe('COMPLETED');
  await put(box, 'corda.flow', { session: { maxPayloadSize: 1 } });
  const refused = await endOf(await start());
  expect([refused.flowStatus, refused.flowError.message]).toEqual(['FAILED', expect.stringContaining('at most 1 can be sent')]);
  await put(box, 'corda.flow', {});
  expect((await endOf(await start())).flowStatus).toBe('COMPLETED');
});
