import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { encodePem } from '../../../src/cipher/pem.ts';
import { generateKeyPair } from '../../../src/cipher/signature.ts';
import { encode } from '../../../src/messages/grammar/envelope.ts';
import { memberToAllMember } from '../../../src/messages/member-to-all.member.ts';
import { restToMemberLookup } from '../../../src/messages/rest-to-member.lookup.ts';
import { cpiOf, listed, name, openCluster, policyOf, shortHashOf, type Cluster } from './cluster.ts';

let cluster: Cluster;
const otherGroup = '1c5a9a2e-6f0b-4b8c-9a55-0d6b6d1f5a11';
beforeAll(async () => {
  cluster = await openCluster();
  const sessionKeyPem = encodePem('PUBLIC KEY', (await generateKeyPair('CORDA.ECDSA.SECP256R1')).publicKey);
  const members = [listed('Alice'), listed('Bob'), { ...listed('Carol', { sessionKeyPem }), name: 'O=Carol, L=Paris, C=FR' }, listed('Dave', { sessionKeyPem, memberStatus: 'SUSPENDED' })];
  await cluster.host(cpiOf(policyOf(members, { groupParameters: { 'ext.note': 'hello' } })), 'Alice', 'Bob');
  await cluster.host(cpiOf(policyOf([listed('Alone')], { group: otherGroup })), 'Alone');
  await cluster.settled('Alice');
  await cluster.settled('Bob');
});
afterAll(() => cluster.close());

const namesOf = async (body?: Parameters<Cluster['lookup']>[1]): Promise<string[]> => {
  const found = await cluster.lookup('Alice', body);
  return found.type === 'done' ? found.value.members!.map(({ memberContext }) => memberContext['corda.name']!) : [found.code];
};

describe('a lookup', () => {
  test('shows the active members of the group, by name', async () => {
    expect(await namesOf()).toEqual([name('Alice'), name('Bob'), 'O=Carol, L=Paris, C=FR']);
  });

  test('narrows by attributes of the name, all of which must be equal, and by status', async () => {
    expect(await namesOf({ attributes: { CN: 'Bob' } })).toEqual([name('Bob')]);
    expect(await namesOf({ attributes: { O: 'Carol', C: 'FR' } })).toEqual(['O=Carol, L=Paris, C=FR']);
    expect(await namesOf({ attributes: { O: 'Carol', C: 'GB' } })).toEqual([]);
    expect(await namesOf({ attributes: { OU: 'x' } })).toEqual([]);
    expect(await namesOf({ statuses: ['SUSPENDED'] })).toEqual([name('Dave')]);
    expect(await namesOf({ statuses: ['SUSPENDED', 'ACTIVE'] })).toHaveLength(4);
  });

  test('shows nobody of another group', async () => {
    const shortHash = shortHashOf(name('Alone'), otherGroup);
    const found = await cluster.ask(restToMemberLookup, shortHash, { type: 'members', shortHash, attributes: {}, statuses: [] });
    expect(found).toEqual({ type: 'done', value: { members: [] } });
  });

  test('reads the group parameters, none before anybody joined', async () => {
    const ask = (shortHash: string) => cluster.ask(restToMemberLookup, shortHash, { type: 'group-parameters', shortHash });
    expect(await ask(shortHashOf(name('Bob')))).toMatchObject({ type: 'done', value: { parameters: { 'corda.epoch': '1', 'ext.note': 'hello', 'corda.minimum.platform.version': '50200' } } });
    expect(await ask(shortHashOf(name('Alone'), otherGroup))).toEqual({ type: 'done', value: { parameters: {} } });
  });

  test('at an unknown virtual node is refused', async () => {
    expect(await cluster.lookup('Nobody')).toMatchObject({ type: 'refused', code: 'MEMBER_VIRTUAL_NODE_NOT_FOUND' });
  });

  test('whose answer would not fit into a record is refused with the remedy, and narrowed down it is answered', async () => {
    const [member] = (await cluster.topic(memberToAllMember)).values();
    const many = Array.from({ length: 400 }, (_, n) => ({ ...member!, x500Name: `CN=Many ${n}, O=Many, L=London, C=GB`, memberContext: { ...member!.memberContext, 'ext.text': 'x'.repeat(3_000) } }));
    await cluster.bus.publish(many.map((body) => encode(memberToAllMember, { key: `${body.groupId}/${body.x500Name}`, id: body.x500Name, body })));
    expect(await cluster.lookup('Alice')).toMatchObject({ type: 'refused', code: 'MEMBER_REPLY_TOO_LARGE' });
    expect(await cluster.lookup('Alice', { attributes: { CN: 'Many 7' } })).toMatchObject({ type: 'done' });
  });
});
