import { randomUUID } from 'node:crypto';
import { beforeAll, describe, expect, test } from 'vitest';
import { covers, useCluster, type BlackBox } from './cluster.ts';
import {
  addMember, makeKey, openMgm, openWorkshop, prepareJoiner, prepareMgm, register, registrationOf, seenBy, settled, type Context, type Joiner, type Mgm, type Workshop,
} from './dynamic-network.ts';

const cluster = useCluster();
let workshop: Workshop;
let mgm: Mgm;
let policy: string;
let alice: Joiner;

const options = () => ({ signer: workshop.signer, gatewayUrl: cluster().gatewayUrl });
const joining = () => ({ depot: workshop.depot, policy, gatewayUrl: cluster().gatewayUrl });

beforeAll(async () => {
  workshop = await openWorkshop();
  mgm = await openMgm(cluster(), options());
  policy = await mgm.policy();
  alice = await addMember(cluster(), joining());
}, 60_000);

const stranger = '0123456789AB';
const nobody = 'O=Nobody, L=London, C=GB';

/** Registers and waits until an operator is waited for. */
const waiting = async (box: BlackBox, joiner: Joiner, more: Context = {}): Promise<string> => {
  const { json } = await register(box, joiner.hash, { ...joiner.context, ...more });
  const { registrationId, registrationStatus } = await registrationOf(box, joiner.hash, json.registrationId, (status) => status === 'PENDING_MANUAL_APPROVAL' || status === 'APPROVED' || status === 'DECLINED');
  expect(registrationStatus).toBe('PENDING_MANUAL_APPROVAL');
  return registrationId;
};

const memberOf = async ({ call }: BlackBox, hash: string, x500Name: string): Promise<{ memberContext: Context; mgmContext: Context }> => {
  const { json } = await call('GET', `/members/${hash}?statuses=ACTIVE&statuses=SUSPENDED`);
  return json.members.find(({ memberContext }: { memberContext: Context }) => memberContext['corda.name'] === x500Name);
};

const serialOf = async (box: BlackBox, x500Name: string): Promise<number> => Number((await memberOf(box, mgm.hash, x500Name)).mgmContext['corda.serial']);

describe('a manager', () => {
  covers(cluster, ['GET /mgm/{holdingidentityshorthash}/info'], 'happy', 'exports the policy that members join with', async () => {
    const parsed = JSON.parse(await mgm.policy());
    expect(parsed).toMatchObject({ fileFormatVersion: 1, groupId: mgm.groupId, p2pParameters: { tlsType: 'OneWay', sessionPki: 'NoPKI', tlsTrustRoots: [expect.stringContaining('BEGIN CERTIFICATE')] } });
    expect(parsed.mgmInfo).toMatchObject({ 'corda.name': mgm.x500Name, 'corda.mgm': 'true', 'corda.ecdh.key': expect.stringContaining('BEGIN PUBLIC KEY'), 'corda.session.keys.0.id': mgm.sessionKeyId });
  });

  covers(cluster, ['GET /mgm/{holdingidentityshorthash}/info', 'POST /membership/{holdingidentityshorthash}'], 'refused', 'that has not registered has no policy, and does not register twice or with half a context', async (box) => {
    const other = await prepareMgm(box, options());
    expect((await box.call('GET', `/mgm/${other.hash}/info`)).json).toMatchObject({ status: 400, title: expect.stringContaining('has not registered') });
    expect((await box.call('GET', `/mgm/${stranger}/info`)).status).toBe(404);
    expect((await box.call('GET', `/mgm/${alice.hash}/info`)).json).toMatchObject({ status: 400, title: expect.stringContaining('not the manager') });
    for (const [key, complaint] of [['corda.ecdh.key.id', 'PRE_AUTH'], ['corda.group.trustroot.tls.0', 'trustroot.tls.0'], ['corda.endpoints.0.connectionURL', 'connectionURL'], ['corda.group.pki.session', 'corda.group.pki.session']]) {
      const { [key!]: _without, ...context } = other.context;
      const { status, json } = await register(box, other.hash, context);
      expect([status, json.title]).toEqual([400, expect.stringContaining(complaint!)]);
    }
    expect(await settled(box, other.hash, { ...other.context, 'corda.ecdh.key.id': other.sessionKeyId })).toMatchObject({ registrationStatus: 'INVALID', reason: expect.stringContaining('PRE_AUTH') });
    expect((await register(box, mgm.hash, mgm.context)).status).toBe(409);
  });
});

describe('approval', () => {
  const rules = (kind = '') => `/mgm/${mgm.hash}/approval/rules${kind}`;

  covers(
    cluster,
    ['POST /mgm/{holdingidentityshorthash}/approval/rules', 'GET /mgm/{holdingidentityshorthash}/approval/rules', 'DELETE /mgm/{holdingidentityshorthash}/approval/rules/{ruleid}', 'GET /mgm/{holdingidentityshorthash}/registrations', 'POST /mgm/{holdingidentityshorthash}/approve/{requestid}', 'POST /mgm/{holdingidentityshorthash}/decline/{requestid}'],
    'happy',
    'by hand, where a rule matches: one is let in, another is not',
    async (box) => {
      const { json: rule } = await box.call('POST', rules(), { json: { ruleRegex: '^ext\\.manual', ruleLabel: 'by hand' } });
      expect((await box.call('GET', rules())).json).toEqual([rule]);
      const [dave, eve] = [await prepareJoiner(box, joining()), await prepareJoiner(box, joining())];
      const daves = await waiting(box, dave, { 'ext.manual': 'please' });
      const eves = await waiting(box, eve, { 'ext.manual': 'please' });
      const queued = (await box.call('GET', `/mgm/${mgm.hash}/registrations`)).json;
      expect(queued.map(({ registrationId }: { registrationId: string }) => registrationId)).toEqual([daves, eves]);
      expect(queued[0]).toMatchObject({ registrationStatus: 'PENDING_MANUAL_APPROVAL', memberInfoSubmitted: { data: { 'corda.name': dave.x500Name } } });
      expect((await box.call('POST', `/mgm/${mgm.hash}/approve/${daves}`)).status).toBe(204);
      expect((await box.call('POST', `/mgm/${mgm.hash}/decline/${eves}`, { json: { reason: 'not today' } })).status).toBe(204);
      expect(await registrationOf(box, dave.hash, daves)).toMatchObject({ registrationStatus: 'APPROVED', serial: 1 });
      expect(await registrationOf(box, eve.hash, eves)).toMatchObject({ registrationStatus: 'DECLINED', reason: 'not today' });
      expect(await seenBy(box, alice.hash)).toMatchObject({ [dave.x500Name]: 'ACTIVE' });
      expect(await seenBy(box, alice.hash)).not.toHaveProperty(eve.x500Name);
      const historic = (await box.call('GET', `/mgm/${mgm.hash}/registrations?viewhistoric=true&requestsubjectx500name=${encodeURIComponent(eve.x500Name)}`)).json;
      expect(historic).toMatchObject([{ registrationId: eves, registrationStatus: 'DECLINED' }]);
      expect((await box.call('DELETE', `${rules()}/${rule.ruleId}`)).status).toBe(204);
      expect((await box.call('GET', rules())).json).toEqual([]);
    },
    30_000,
  );

  covers(
    cluster,
    ['POST /mgm/{holdingidentityshorthash}/approval/rules', 'DELETE /mgm/{holdingidentityshorthash}/approval/rules/{ruleid}', 'POST /mgm/{holdingidentityshorthash}/approve/{requestid}', 'POST /mgm/{holdingidentityshorthash}/decline/{requestid}', 'GET /mgm/{holdingidentityshorthash}/registrations', 'GET /mgm/{holdingidentityshorthash}/approval/rules'],
    'refused',
    'each fault has its code',
    async (box) => {
      const add = async (ruleRegex: string): Promise<number> => (await box.call('POST', rules(), { json: { ruleRegex } })).status;
      expect([await add('('), await add('(?=a)'), await add('')]).toEqual([400, 400, 400]);
      const { json } = await box.call('POST', rules(), { json: { ruleRegex: '^ext\\.twice' } });
      expect(await add('^ext\\.twice')).toBe(409);
      expect((await box.call('DELETE', `${rules()}/${randomUUID()}`)).status).toBe(404);
      expect((await box.call('DELETE', `${rules()}/${json.ruleId}`)).status).toBe(204);
      expect((await box.call('POST', `/mgm/${mgm.hash}/approve/${randomUUID()}`)).status).toBe(404);
      expect((await box.call('POST', `/mgm/${mgm.hash}/approve/nonsense`)).status).toBe(400);
      expect((await box.call('POST', `/mgm/${mgm.hash}/decline/${randomUUID()}`, { json: { reason: 'x' } })).status).toBe(404);
      const [over] = (await box.call('GET', `/membership/${alice.hash}`)).json;
      expect((await box.call('POST', `/mgm/${mgm.hash}/approve/${over.registrationId}`)).status).toBe(409);
      expect((await box.call('GET', `/mgm/${alice.hash}/registrations`)).status).toBe(400);
      expect((await box.call('GET', `/mgm/${stranger}/approval/rules`)).status).toBe(404);
    },
  );

  covers(cluster, ['POST /mgmadmin/{holdingidentityshorthash}/force-decline/{requestid}'], 'happy', 'an administrator declines by force what is under way', async (box) => {
    const { json: rule } = await box.call('POST', rules(), { json: { ruleRegex: '^ext\\.stuck' } });
    const joiner = await prepareJoiner(box, joining());
    const id = await waiting(box, joiner, { 'ext.stuck': 'yes' });
    expect((await box.call('POST', `/mgmadmin/${mgm.hash}/force-decline/${id}`)).status).toBe(204);
    expect(await registrationOf(box, joiner.hash, id)).toMatchObject({ registrationStatus: 'DECLINED' });
    await box.call('DELETE', `${rules()}/${rule.ruleId}`);
  });

  covers(cluster, ['POST /mgmadmin/{holdingidentityshorthash}/force-decline/{requestid}'], 'refused', 'nothing is under way by that id', async ({ call }) => {
    expect((await call('POST', `/mgmadmin/${mgm.hash}/force-decline/${randomUUID()}`)).status).toBe(404);
  });

  const tokens = () => `/mgm/${mgm.hash}/preauthtoken`;

  covers(
    cluster,
    [
      'POST /mgm/{holdingidentityshorthash}/preauthtoken', 'GET /mgm/{holdingidentityshorthash}/preauthtoken', 'PUT /mgm/{holdingidentityshorthash}/preauthtoken/revoke/{preauthtokenid}',
      'POST /mgm/{holdingidentityshorthash}/approval/rules/preauth', 'GET /mgm/{holdingidentityshorthash}/approval/rules/preauth', 'DELETE /mgm/{holdingidentityshorthash}/approval/rules/preauth/{ruleid}',
    ],
    'happy',
    'a token passes its owner by the standard rules, once; not another, and not when it is revoked',
    async (box) => {
      const { json: rule } = await box.call('POST', rules(), { json: { ruleRegex: '^corda\\.session' } });
      const { json: pre } = await box.call('POST', rules('/preauth'), { json: { ruleRegex: '^ext\\.look' } });
      expect((await box.call('GET', rules('/preauth'))).json).toEqual([pre]);
      const [frank, grace] = [await prepareJoiner(box, joining()), await prepareJoiner(box, joining())];
      const make = async (owner: string, more: object = {}): Promise<any> => (await box.call('POST', tokens(), { json: { ownerX500Name: owner, ...more } })).json;
      const token = await make(frank.x500Name, { ttl: 'P7D', remarks: 'for Frank' });
      expect(token).toMatchObject({ ownerX500Name: frank.x500Name, status: 'AVAILABLE', creationRemark: 'for Frank', removalRemark: null, ttl: expect.any(String) });
      expect(await settled(box, grace.hash, { ...grace.context, 'corda.auth.token': token.id })).toMatchObject({ registrationStatus: 'DECLINED', reason: expect.stringContaining('token') });
      expect(await settled(box, frank.hash, { ...frank.context, 'corda.auth.token': token.id })).toMatchObject({ registrationStatus: 'APPROVED' });
      expect((await memberOf(box, alice.hash, frank.x500Name)).memberContext).not.toHaveProperty(['corda.auth.token']);
      const [revoked, plain] = [await make(grace.x500Name), await make(nobody)];
      expect((await box.call('PUT', `${tokens()}/revoke/${plain.id}`)).json).toMatchObject({ status: 'REVOKED', removalRemark: null });
      expect((await box.call('PUT', `${tokens()}/revoke/${revoked.id}`, { json: { remarks: 'lost' } })).json).toMatchObject({ status: 'REVOKED', removalRemark: 'lost' });
      expect(await settled(box, grace.hash, { ...grace.context, 'corda.auth.token': revoked.id })).toMatchObject({ registrationStatus: 'DECLINED' });
      const looked = await make(grace.x500Name);
      await waiting(box, grace, { 'corda.auth.token': looked.id, 'ext.look': 'here' });
      const statusOf = async (query: string): Promise<Record<string, string>> => Object.fromEntries((await box.call('GET', `${tokens()}?${query}`)).json.map(({ id, status }: { id: string; status: string }) => [id, status]));
      expect(await statusOf('viewinactive=true')).toEqual({ [token.id]: 'CONSUMED', [revoked.id]: 'REVOKED', [plain.id]: 'REVOKED', [looked.id]: 'AVAILABLE' });
      expect(await statusOf(`ownerx500name=${encodeURIComponent(grace.x500Name)}`)).toEqual({ [looked.id]: 'AVAILABLE' });
      await box.call('DELETE', `${rules()}/${rule.ruleId}`);
      expect((await box.call('DELETE', `${rules('/preauth')}/${pre.ruleId}`)).status).toBe(204);
    },
    30_000,
  );

  covers(
    cluster,
    ['POST /mgm/{holdingidentityshorthash}/preauthtoken', 'GET /mgm/{holdingidentityshorthash}/preauthtoken', 'PUT /mgm/{holdingidentityshorthash}/preauthtoken/revoke/{preauthtokenid}', 'POST /mgm/{holdingidentityshorthash}/approval/rules/preauth', 'GET /mgm/{holdingidentityshorthash}/approval/rules/preauth', 'DELETE /mgm/{holdingidentityshorthash}/approval/rules/preauth/{ruleid}'],
    'refused',
    'each fault of a token or rule has its code',
    async ({ call }) => {
      for (const json of [{ ownerX500Name: 'nonsense' }, { ownerX500Name: nobody, ttl: 'tomorrow' }, { ownerX500Name: nobody, ttl: 'P1Y' }, { ownerX500Name: nobody, ttl: 'PT0S' }, {}]) {
        expect((await call('POST', tokens(), { json })).status, JSON.stringify(json)).toBe(400);
      }
      expect((await call('PUT', `${tokens()}/revoke/${randomUUID()}`, { json: {} })).status).toBe(404);
      expect((await call('GET', `/mgm/${stranger}/preauthtoken`)).status).toBe(404);
      expect((await call('POST', rules('/preauth'), { json: { ruleRegex: '[' } })).status).toBe(400);
      expect((await call('DELETE', `${rules('/preauth')}/${randomUUID()}`)).status).toBe(404);
      expect((await call('GET', `/mgm/${stranger}/approval/rules/preauth`)).status).toBe(404);
    },
  );
});

describe('standing', () => {
  covers(cluster, ['POST /mgm/{holdingidentityshorthash}/suspend', 'POST /mgm/{holdingidentityshorthash}/activate'], 'happy', 'a suspended member sees the manager and itself, and nobody sees it until it is active again', async (box) => {
    const heidi = await addMember(box, joining());
    const set = (verb: string, serialNumber?: number) => box.call('POST', `/mgm/${mgm.hash}/${verb}`, { json: { x500Name: heidi.x500Name, ...(serialNumber === undefined ? {} : { serialNumber }) } });
    expect((await set('suspend', 1)).status).toBe(204);
    await box.until('GET', `/members/${heidi.hash}?statuses=SUSPENDED`, ({ json }) => json.members.length === 1);
    expect(await seenBy(box, heidi.hash, '?statuses=ACTIVE&statuses=SUSPENDED')).toEqual({ [mgm.x500Name]: 'ACTIVE', [heidi.x500Name]: 'SUSPENDED' });
    expect(await seenBy(box, alice.hash, '?statuses=ACTIVE&statuses=SUSPENDED')).not.toHaveProperty(heidi.x500Name);
    expect(await seenBy(box, mgm.hash, '?statuses=SUSPENDED')).toEqual({ [heidi.x500Name]: 'SUSPENDED' });
    expect((await set('activate', 1)).status).toBe(409);
    expect((await set('activate', 2)).status).toBe(204);
    await box.until('GET', `/members/${alice.hash}`, ({ json }) => json.members.some(({ memberContext }: { memberContext: Context }) => memberContext['corda.name'] === heidi.x500Name));
    expect(await serialOf(box, heidi.x500Name)).toBe(3);
    expect(await seenBy(box, heidi.hash)).toMatchObject({ [alice.x500Name]: 'ACTIVE' });
  });

  covers(cluster, ['POST /mgm/{holdingidentityshorthash}/suspend', 'POST /mgm/{holdingidentityshorthash}/activate'], 'refused', 'a stale serial, the same status, a stranger and the manager itself', async ({ call }) => {
    const ask = async (verb: string, json: object): Promise<number> => (await call('POST', `/mgm/${mgm.hash}/${verb}`, { json })).status;
    expect(await ask('suspend', { x500Name: alice.x500Name, serialNumber: 9 })).toBe(409);
    expect(await ask('activate', { x500Name: alice.x500Name })).toBe(409);
    expect(await ask('suspend', { x500Name: nobody })).toBe(404);
    expect(await ask('suspend', { x500Name: mgm.x500Name })).toBe(400);
    expect(await ask('suspend', { x500Name: 'nonsense' })).toBe(400);
  });
});

describe('the group', () => {
  const path = () => `/mgm/${mgm.hash}/group-parameters`;
  const epochOf = async ({ call }: BlackBox): Promise<number> => Number((await call('GET', `/members/${alice.hash}/group-parameters`)).json.parameters['corda.epoch']);

  covers(cluster, ['POST /mgm/{holdingidentityshorthash}/group-parameters'], 'happy', 'new parameters are a new epoch for all, the same ones are not', async (box) => {
    const before = await epochOf(box);
    const parameters = { 'ext.rate': '5', 'corda.minimum.platform.version': '50000' };
    expect((await box.call('POST', path(), { json: { parameters } })).json.parameters).toMatchObject({ ...parameters, 'corda.epoch': String(before + 1) });
    const { json } = await box.until('GET', `/members/${alice.hash}/group-parameters`, (answer) => answer.json.parameters['corda.epoch'] === String(before + 1));
    expect(json.parameters).toMatchObject(parameters);
    expect((await box.call('POST', path(), { json: { parameters } })).json.parameters).toMatchObject({ 'corda.epoch': String(before + 1) });
  });

  covers(cluster, ['POST /mgm/{holdingidentityshorthash}/group-parameters'], 'refused', 'what the network sets itself cannot be set', async ({ call }) => {
    for (const parameters of [{ 'corda.epoch': '9' }, { 'corda.notary.service.0.name': 'x' }, { 'corda.minimum.platform.version': 'new' }, { 'ext.long': 'x'.repeat(801) }]) {
      expect((await call('POST', path(), { json: { parameters } })).status).toBe(400);
    }
  });

  test('a platform below the minimum is declined', async () => {
    const box = cluster();
    const other = await openMgm(box, options());
    await box.call('POST', `/mgm/${other.hash}/group-parameters`, { json: { parameters: { 'corda.minimum.platform.version': '99999' } } });
    const joiner = await prepareJoiner(box, { ...joining(), policy: await other.policy() });
    expect(await settled(box, joiner.hash, joiner.context)).toMatchObject({ registrationStatus: 'DECLINED', reason: expect.stringContaining('99999') });
  });

  const subjects = () => `/mgm/${mgm.hash}/mutual-tls/allowed-client-certificate-subjects`;

  covers(cluster, ['PUT /mgm/{holdingidentityshorthash}/mutual-tls/allowed-client-certificate-subjects/{subject}', 'GET /mgm/{holdingidentityshorthash}/mutual-tls/allowed-client-certificate-subjects', 'DELETE /mgm/{holdingidentityshorthash}/mutual-tls/allowed-client-certificate-subjects/{subject}'], 'happy', 'subjects of client certificates are allowed, listed and disallowed', async ({ call }) => {
    const named = (subject: string): string => `${subjects()}/${encodeURIComponent(subject)}`;
    expect((await call('PUT', named('C=GB, O=Bank, L=London'))).status).toBe(204);
    expect((await call('GET', subjects())).json).toEqual(['O=Bank, L=London, C=GB']);
    expect((await call('DELETE', named('O=Bank, L=London, C=GB'))).status).toBe(204);
    expect((await call('GET', subjects())).json).toEqual([]);
  });

  covers(cluster, ['PUT /mgm/{holdingidentityshorthash}/mutual-tls/allowed-client-certificate-subjects/{subject}', 'GET /mgm/{holdingidentityshorthash}/mutual-tls/allowed-client-certificate-subjects', 'DELETE /mgm/{holdingidentityshorthash}/mutual-tls/allowed-client-certificate-subjects/{subject}'], 'refused', 'a subject that is no name, or not there', async ({ call }) => {
    expect((await call('PUT', `${subjects()}/nonsense`)).status).toBe(400);
    expect((await call('DELETE', `${subjects()}/${encodeURIComponent(nobody)}`)).status).toBe(404);
    expect((await call('GET', `/mgm/${stranger}/mutual-tls/allowed-client-certificate-subjects`)).status).toBe(404);
  });
});

describe('notaries', () => {
  const service = 'O=Notary Service, L=London, C=GB';
  const notaryContext = async (box: BlackBox, { hash, context }: Joiner, more: Context = {}): Promise<Context> => {
    const key = await makeKey(box, hash, 'NOTARY', `notary-${randomUUID()}`);
    const rest = Object.fromEntries(Object.entries(context).filter(([name]) => !name.startsWith('corda.ledger.')));
    return {
      ...rest, 'corda.notary.keys.0.id': key, 'corda.notary.keys.0.signature.spec': 'SHA256withECDSA', 'corda.roles.0': 'notary', 'corda.notary.service.name': service,
      'corda.notary.service.flow.protocol.name': 'com.r3.corda.notary.plugin.nonvalidating', 'corda.notary.service.flow.protocol.version.0': '1', ...more,
    };
  };

  test('the first makes its service, another joins it with the versions they share, and leaves it when it is suspended', async () => {
    const box = cluster();
    const [one, two] = [await prepareJoiner(box, joining()), await prepareJoiner(box, joining())];
    const parametersWith = (keys: number) => box.until('GET', `/members/${alice.hash}/group-parameters`, ({ json }) => Object.keys(json.parameters).filter((key) => key.startsWith('corda.notary.service.0.keys.')).length === keys);
    expect(await settled(box, one.hash, await notaryContext(box, one, { 'corda.notary.service.flow.protocol.version.1': '2' }))).toMatchObject({ registrationStatus: 'APPROVED' });
    expect((await parametersWith(1)).json.parameters).toMatchObject({ 'corda.notary.service.0.name': service, 'corda.notary.service.0.flow.protocol.version.1': '2' });
    const wrong = await notaryContext(box, two, { 'corda.notary.service.flow.protocol.name': 'other' });
    expect(await settled(box, two.hash, wrong)).toMatchObject({ registrationStatus: 'DECLINED', reason: expect.stringContaining('nonvalidating') });
    expect(await settled(box, two.hash, await notaryContext(box, two))).toMatchObject({ registrationStatus: 'APPROVED' });
    expect((await parametersWith(2)).json.parameters).not.toHaveProperty(['corda.notary.service.0.flow.protocol.version.1']);
    expect((await box.call('POST', `/mgm/${mgm.hash}/suspend`, { json: { x500Name: two.x500Name } })).status).toBe(204);
    await parametersWith(1);
  }, 30_000);

  test('a notary with ledger keys, or a service by its own name, is refused at once', async () => {
    const box = cluster();
    const joiner = await prepareJoiner(box, joining());
    const context = await notaryContext(box, joiner);
    const ledger = { 'corda.ledger.keys.0.id': joiner.ledgerKeyId };
    expect((await register(box, joiner.hash, { ...context, ...ledger })).json).toMatchObject({ status: 400, title: expect.stringContaining('ledger') });
    expect((await register(box, joiner.hash, { ...context, 'corda.notary.service.name': joiner.x500Name })).json).toMatchObject({ status: 400, title: expect.stringContaining('own') });
  });
});

describe('re-registration', () => {
  test('changes endpoints and custom fields with the next serial, and not the ledger keys', async () => {
    const box = cluster();
    const ivan = await addMember(box, joining());
    const changed = { ...ivan.context, 'corda.serial': '1', 'corda.endpoints.0.connectionURL': `${cluster().gatewayUrl}/`, 'ext.phone': '1' };
    expect(await settled(box, ivan.hash, changed)).toMatchObject({ registrationStatus: 'APPROVED', serial: 2 });
    expect((await memberOf(box, alice.hash, ivan.x500Name)).memberContext).toMatchObject({ 'ext.phone': '1', 'corda.endpoints.0.connectionURL': `${cluster().gatewayUrl}/` });
    const key = await makeKey(box, ivan.hash, 'LEDGER', `${ivan.hash}-ledger-2`);
    expect(await settled(box, ivan.hash, { ...ivan.context, 'corda.ledger.keys.0.id': key })).toMatchObject({ registrationStatus: 'DECLINED', reason: expect.stringContaining('corda.ledger.keys.0') });
    expect((await register(box, ivan.hash, { ...ivan.context, 'corda.serial': '1' })).status).toBe(400);
    expect(await serialOf(box, ivan.x500Name)).toBe(2);
  }, 30_000);

  test('rotates a session key in two steps, with an overlap', async () => {
    const box = cluster();
    const judy = await addMember(box, joining());
    const next = await makeKey(box, judy.hash, 'SESSION_INIT', `${judy.hash}-session-2`);
    const { call } = box;
    const setup = (keys: readonly object[]) => call('PUT', `/network/setup/${judy.hash}`, { json: { p2pTlsCertificateChainAlias: 'p2p-tls-cert', sessionKeysAndCertificates: keys } });
    const both = { ...judy.context, 'corda.session.keys.1.id': next };
    const without = { ...judy.context, 'corda.session.keys.0.id': next };
    expect(await settled(box, judy.hash, both)).toMatchObject({ registrationStatus: 'APPROVED', serial: 2 });
    expect((await setup([{ sessionKeyId: next, preferred: true }])).status).toBe(204);
    expect(await settled(box, judy.hash, without)).toMatchObject({ registrationStatus: 'APPROVED', serial: 3 });
    const { memberContext } = await memberOf(box, alice.hash, judy.x500Name);
    expect(memberContext).toMatchObject({ 'corda.session.keys.0.id': next });
    expect(memberContext).not.toHaveProperty(['corda.session.keys.1.id']);
  }, 30_000);
});
