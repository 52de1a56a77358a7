import { beforeAll, describe, expect } from 'vitest';
import { covers, useCluster } from './cluster.ts';
import { addMember, openMgm, openWorkshop, prepareJoiner, register, registrationOf, seenBy, settled, type Joiner, type Mgm, type Workshop } from './dynamic-network.ts';

const cluster = useCluster();
let workshop: Workshop;
let mgm: Mgm;
let policy: string;
let alice: Joiner;

const joining = (x500Name?: string) => ({ depot: workshop.depot, policy, gatewayUrl: cluster().gatewayUrl, ...(x500Name === undefined ? {} : { x500Name }) });

beforeAll(async () => {
  workshop = await openWorkshop();
  mgm = await openMgm(cluster(), { signer: workshop.signer, gatewayUrl: cluster().gatewayUrl });
  policy = await mgm.policy();
  alice = await addMember(cluster(), joining('O=Alice, L=London, C=GB'));
}, 60_000);

describe('joining', () => {
  covers(cluster, ['POST /membership/{holdingidentityshorthash}', 'GET /membership/{holdingidentityshorthash}', 'GET /membership/{holdingidentityshorthash}/{registrationrequestid}', 'GET /members/{holdingidentityshorthash}', 'GET /members/{holdingidentityshorthash}/group-parameters'], 'happy', 'a member that registers is seen by all, and sees all', async (box) => {
    const bob = await prepareJoiner(box, joining('O=Bob, L=Paris, C=FR'));
    const begun = await register(box, bob.hash, { ...bob.context, 'ext.colour': 'blue' });
    expect(begun.json).toMatchObject({ registrationStatus: 'SUBMITTED', availableNow: true });
    const registration = await registrationOf(box, bob.hash, begun.json.registrationId);
    expect(registration).toMatchObject({ registrationStatus: 'APPROVED', serial: 1, reason: null });
    const everybody = { [mgm.x500Name]: 'ACTIVE', [alice.x500Name]: 'ACTIVE', [bob.x500Name]: 'ACTIVE' };
    expect(await seenBy(box, bob.hash)).toEqual(everybody);
    expect(await seenBy(box, alice.hash)).toEqual(everybody);
    expect(await seenBy(box, mgm.hash)).toEqual(everybody);
    const [seen] = (await box.call('GET', `/members/${alice.hash}?O=Bob&c=FR`)).json.members;
    expect(seen.memberContext).toMatchObject({ 'corda.name': bob.x500Name, 'ext.colour': 'blue', 'corda.ledger.keys.0.id': bob.ledgerKeyId, 'corda.groupId': mgm.groupId });
    expect((await box.call('GET', `/members/${bob.hash}/group-parameters`)).json.parameters).toMatchObject({ 'corda.epoch': '1' });
    expect((await box.call('GET', `/membership/${bob.hash}`)).json).toHaveLength(1);
  });

  covers(cluster, ['POST /membership/{holdingidentityshorthash}'], 'refused', 'each fault of a context has its reason', async (box) => {
    const { hash, context } = alice;
    const refusalOf = async (more: Record<string, string>): Promise<string> => {
      const { status, json } = await register(box, hash, { ...context, ...more });
      expect(status).toBe(400);
      return json.title;
    };
    expect(await refusalOf({ 'corda.endpoints.0.connectionURL': 'http://localhost:8080' })).toContain('https://');
    expect(await refusalOf({ 'corda.endpoints.0.connectionURL': 'https://localhost' })).toContain('port');
    expect(await refusalOf({ 'corda.endpoints.2.connectionURL': 'https://localhost:1', 'corda.endpoints.2.protocolVersion': '1' })).toContain('without a gap');
    expect(await refusalOf({ 'corda.session.keys.0.id': 'nonsense' })).toContain('12 hex digits');
    expect(await refusalOf({ 'corda.serial': '7' })).toContain('corda.serial is 7');
    expect(await refusalOf({ 'what.is.this': 'x' })).toContain('is not a key of a registration');
    expect(await refusalOf({ 'corda.roles.0': 'notary' })).toContain('corda.notary.service.name');
    expect((await register(box, '0123456789AB', context)).status).toBe(404);
  });

  covers(cluster, ['GET /membership/{holdingidentityshorthash}', 'GET /membership/{holdingidentityshorthash}/{registrationrequestid}', 'GET /members/{holdingidentityshorthash}', 'GET /members/{holdingidentityshorthash}/group-parameters'], 'refused', 'nobody and nothing of that name is there', async ({ call }) => {
    const statusOf = async (path: string): Promise<number> => (await call('GET', path)).status;
    const nothing = '11111111-1111-4111-8111-111111111111';
    expect(await statusOf('/membership/0123456789AB')).toBe(404);
    expect(await statusOf(`/membership/0123456789AB/${nothing}`)).toBe(404);
    expect(await statusOf(`/membership/${alice.hash}/${nothing}`)).toBe(404);
    expect(await statusOf(`/membership/${alice.hash}/nonsense`)).toBe(400);
    expect(await statusOf('/members/0123456789AB')).toBe(404);
    expect(await statusOf('/members/0123456789AB/group-parameters')).toBe(404);
    expect(await statusOf(`/members/${alice.hash}?statuses=GONE`)).toBe(400);
  });

  covers(cluster, ['POST /membership/{holdingidentityshorthash}'], 'happy', 'a registration that names a key it does not have ends INVALID, and may be tried again', async (box) => {
    const carol = await prepareJoiner(box, joining());
    expect(await settled(box, carol.hash, { ...carol.context, 'corda.ledger.keys.0.id': 'AAAAAAAAAAAA' })).toMatchObject({ registrationStatus: 'INVALID', reason: expect.stringContaining('AAAAAAAAAAAA') });
    expect(await seenBy(box, alice.hash)).not.toHaveProperty(carol.x500Name);
    expect(await settled(box, carol.hash, carol.context)).toMatchObject({ registrationStatus: 'APPROVED' });
  });
});
