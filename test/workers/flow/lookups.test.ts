/** What flows ask of their network and of their own keys, as the engine answers it or asks the crypto room. */
import { beforeAll, describe, expect, test } from 'vitest';
import { fromBase64url, toBase64url, toHex } from '../../../src/cipher/bytes.ts';
import { sha256 } from '../../../src/cipher/digest.ts';
import { generateKeyPair, keyIdOf } from '../../../src/cipher/signature.ts';
import { allToCryptoKey } from '../../../src/messages/all-to-crypto.key.ts';
import { decode } from '../../../src/messages/grammar/envelope.ts';
import type { Member } from '../../../src/messages/member-to-all.member.ts';
import { createMemoryAnswerStore } from '../../../src/shell/memory-store.ts';
import { createMemoryKeys } from '../../../src/workers/crypto/memory-keys.ts';
import { keysRequest, outcomeOf, queryRequest } from '../../../src/workers/flow/engine/external.ts';
import type { Facts } from '../../../src/workers/flow/engine/facts.ts';
import type { TurnOutcome } from '../../../src/workers/flow/engine/journal.ts';
import { lookUp, type MembersKind } from '../../../src/workers/flow/engine/members.ts';
import { openRoom, type Room } from '../crypto/room.ts';

const groupId = 'the-group';
const key = async (): Promise<string> => toBase64url((await generateKeyPair('CORDA.EDDSA.ED25519')).publicKey);
const [aliceKey, bobKey] = [await key(), await key()];

const memberOf = (x500Name: string, changes: Partial<Member> = {}): Member => ({
  groupId,
  x500Name,
  status: 'ACTIVE',
  serial: 1,
  memberContext: {},
  mgmContext: {},
  endpoints: [],
  sessionKeys: [],
  ledgerKeys: [],
  ...changes,
});
const alice = memberOf('CN=Alice, O=Alice, L=London, C=GB', { ledgerKeys: [{ publicKey: aliceKey, spec: 'EdDSA' }] });
const bob = memberOf('O=Bob, L=Paris, C=FR', { sessionKeys: [{ publicKey: bobKey, spec: 'EdDSA' }] });
const carol = memberOf('O=Carol, L=Paris, C=FR', { status: 'SUSPENDED' });
const stranger = memberOf('O=Stranger, L=Paris, C=FR', { groupId: 'another-group', ledgerKeys: [{ publicKey: aliceKey, spec: 'EdDSA' }] });
const everyone = [stranger, carol, bob, alice];

// What these lookups read of the facts.
const facts: Pick<Facts, 'member' | 'members' | 'groupParameters'> = {
  member: (group, name) => everyone.find((one) => one.groupId === group && one.x500Name === name),
  members: (group) => everyone.filter((one) => one.groupId === group),
  groupParameters: (group) => (group === groupId ? { groupId, epoch: 7, parameters: { a: 'b' }, p2p: { protocolMode: 'Authentication', sessionPki: 'NoPKI', sessionTrustRoots: [], tlsType: 'OneWay', tlsTrustRoots: [] } } : undefined),
};

const identity = { x500Name: alice.x500Name, groupId, shortHash: 'A11CE0000001' };
const read = (outcome: TurnOutcome): unknown => (outcome.type === 'answer' ? JSON.parse(outcome.json) : outcome.type === 'refused' ? outcome.code : outcome);
const ask = (kind: MembersKind, params: unknown, group = groupId): unknown => read(lookUp(kind, params, { ...identity, groupId: group } as never, facts as Facts));
const names = (answer: unknown): string[] => (answer as { members: Member[] }).members.map(({ x500Name }) => x500Name);

describe('members', () => {
  test('are found by name in any order of its attributes, and by nothing else', () => {
    expect(ask('members.find', { x500Name: 'C=GB, L=London, O=Alice, CN=Alice' })).toMatchObject({ member: { x500Name: alice.x500Name } });
    expect(ask('members.find', { x500Name: 'nonsense' })).toEqual({ member: null });
    expect(ask('members.find', {})).toBe('OPERATION_INVALID');
  });

  test('are found by ledger or session key: itself, its digest, or its id, within their group alone', () => {
    const digest = toHex(sha256(fromBase64url(bobKey)));
    for (const one of [bobKey, digest, digest.toUpperCase(), keyIdOf(fromBase64url(bobKey))]) expect(ask('members.findByKey', { key: one }), one).toMatchObject({ member: { x500Name: bob.x500Name } });
    expect(ask('members.findByKey', { key: aliceKey })).toMatchObject({ member: { x500Name: alice.x500Name } });
    expect(ask('members.findByKey', { key: aliceKey }, 'another-group')).toMatchObject({ member: { x500Name: stranger.x500Name } });
    expect(ask('members.findByKey', { key: digest.slice(0, 20) })).toEqual({ member: null });
    expect(ask('members.findByKey', { key: '0'.repeat(64) })).toEqual({ member: null });
    expect(ask('members.findByKey', { key: 'short' })).toBe('OPERATION_INVALID');
  });

  test('are listed in order of name: those that are active, or of the statuses and attributes asked for', () => {
    expect(names(ask('members.all', {}))).toEqual([alice.x500Name, bob.x500Name]);
    expect(names(ask('members.all', { attributes: { C: 'FR' }, statuses: ['ACTIVE', 'SUSPENDED'] }))).toEqual([bob.x500Name, carol.x500Name]);
    expect(names(ask('members.all', { attributes: { C: 'FR', CN: 'Alice' } }))).toEqual([]);
    expect(ask('members.all', { attributes: { X: 'y' } })).toBe('OPERATION_INVALID');
    expect(ask('members.all', { statuses: ['GONE'] })).toBe('OPERATION_INVALID');
  });

  test('have group parameters where the network published them', () => {
    expect(ask('group.parameters', {})).toEqual({ group: { groupId, epoch: 7, parameters: { a: 'b' } } });
    expect(ask('group.parameters', {}, 'another-group')).toEqual({ group: null });
  });
});

describe('our own keys', () => {
  let room: Room;
  let ours: string[];
  beforeAll(async () => {
    const { makeTx, rollback } = createMemoryKeys();
    room = await openRoom({ keys: createMemoryAnswerStore(makeTx, rollback) });
    ours = [];
    for (const [tenant, alias, category] of [[identity.shortHash, 'one', 'LEDGER'], [identity.shortHash, 'two', 'NOTARY'], ['B0B000000002', 'bobs', 'LEDGER']] as const) {
      await room.ask(allToCryptoKey, [{ type: 'assign-hsm', tenant, category }]);
      const { keys } = await room.value(allToCryptoKey, { type: 'generate', tenant, alias, category, scheme: 'CORDA.EDDSA.ED25519' });
      ours.push(keys[0]!.publicKey);
    }
  });

  const asker = { flowId: 'flow', op: 3, identity: identity as never };
  const myKeys = async (params: unknown): Promise<unknown> => {
    const made = keysRequest(asker, params);
    if (made.type !== 'request') return made.code;
    const decoded = decode(allToCryptoKey, { ...made.message.record, partition: 0, offset: 0, timestamp: 0 });
    if (decoded.type !== 'message') throw new Error(JSON.stringify(decoded));
    const [outcome] = await room.ask(allToCryptoKey, [decoded.delivery.body]);
    const answer = read(outcomeOf('crypto.myKeys', outcome!));
    return (answer as { keys: { alias: string }[] }).keys.map(({ alias }) => alias).sort();
  };

  test('are those of this virtual node: all, of a category, or among some', async () => {
    expect(await myKeys({})).toEqual(['one', 'two']);
    expect(await myKeys({ category: 'NOTARY' })).toEqual(['two']);
    expect(await myKeys({ publicKeys: [...ours, aliceKey] })).toEqual(['one', 'two']);
    expect(await myKeys({ publicKeys: [ours[2]!] })).toEqual([]);
    expect(await myKeys({ publicKeys: [] })).toEqual([]);
    expect(await myKeys({ category: 'ANY' })).toBe('OPERATION_INVALID');
    expect(await myKeys({ publicKeys: ['not base64url!'] })).toBe('OPERATION_INVALID');
  });
});

describe('a query of tables', () => {
  test('is bounded by the record that carries it', () => {
    const query = { kind: 'SelectQueryNode', junk: 'x'.repeat(1_000_000) };
    expect(queryRequest({ flowId: 'flow', op: 1, identity: identity as never }, 'A'.repeat(64), { query })).toMatchObject({ type: 'refused', code: 'OPERATION_INVALID' });
    expect(queryRequest({ flowId: 'flow', op: 1, identity: identity as never }, 'A'.repeat(64), { query: [] })).toMatchObject({ type: 'refused', code: 'OPERATION_INVALID' });
  });

  test('that the database refuses is refused by its own code, and another refusal under a general one', () => {
    for (const code of ['DB_QUERY_INVALID', 'DB_QUERY_REFUSED', 'DB_QUERY_TIMEOUT', 'DB_QUERY_TOO_LARGE', 'DB_CONSTRAINT_VIOLATED']) {
      expect(outcomeOf('db.run', { type: 'refused', code, message: 'why' })).toEqual({ type: 'refused', code, message: 'why' });
    }
    expect(outcomeOf('db.run', { type: 'refused', code: 'DB_INTERNAL', message: 'why' })).toEqual({ type: 'refused', code: 'DB_REFUSED', message: 'DB_INTERNAL: why' });
    expect(outcomeOf('db.run', { type: 'done', value: { rows: 1 } })).toMatchObject({ type: 'refused', code: 'DB_REFUSED' });
  });
});
