import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { fromBase64url } from '../../../src/cipher/bytes.ts';
import { keyIdOf, schemeOf } from '../../../src/cipher/signature.ts';
import { allToCryptoKey, keyScheme, type PublicKeyInfo } from '../../../src/messages/all-to-crypto.key.ts';
import { allToCryptoSign } from '../../../src/messages/all-to-crypto.sign.ts';
import { createMemoryAnswerStore } from '../../../src/shell/memory-store.ts';
import { rsaKeysPerBatchMax } from '../../../src/workers/crypto/config.ts';
import { createMemoryKeys } from '../../../src/workers/crypto/memory-keys.ts';
import { startTestServer, type TestServer } from './database.ts';
import type { Keys } from './keys-contract.ts';
import { openRoom, testRootKey, type Room } from './room.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.stop());

const memoryKeys = async (): Promise<Keys> => {
  const { makeTx, rollback } = createMemoryKeys();
  return createMemoryAnswerStore(makeTx, rollback);
};

const alice = 'A11CE0000001';
const bob = 'B0B000000002';
const assign = (tenant: string, category: PublicKeyInfo['category'] = 'LEDGER') => ({ type: 'assign-hsm', tenant, category }) as const;
const generate = (tenant: string, alias: string, scheme: PublicKeyInfo['scheme'] = 'CORDA.EDDSA.ED25519', category: PublicKeyInfo['category'] = 'LEDGER') =>
  ({ type: 'generate', tenant, alias, category, scheme }) as const;

describe.each([
  ['memory', memoryKeys],
  ['PostgreSQL', () => server.database()],
] as const)('keys, kept in %s', (_name, fresh) => {
  const open = async (): Promise<Room> => openRoom({ keys: await fresh() });

  test('assigning an HSM twice gives the same association', async () => {
    const room = await open();
    const first = await room.value(allToCryptoKey, assign(alice));
    expect(first).toMatchObject({ keys: [], association: { hsmId: 'SOFT', category: 'LEDGER' } });
    expect(await room.value(allToCryptoKey, assign(alice))).toEqual(first);
    const other = await room.value(allToCryptoKey, assign(alice, 'TLS'));
    expect(other.association!.masterKeyAlias).toBe(first.association!.masterKeyAlias);
    expect(other.association!.id).not.toBe(first.association!.id);
    await room.close();
  });

  test('a key is made for its alias once, whoever asks how often, also within one batch', async () => {
    const room = await open();
    await room.ask(allToCryptoKey, [assign(alice), assign(bob)]);
    const outcomes = await room.ask(allToCryptoKey, [generate(alice, 'a'), generate(alice, 'a'), generate(bob, 'a'), generate(alice, 'b')]);
    const ids = outcomes.map((outcome) => (outcome.type === 'done' ? outcome.value.keys[0]!.id : outcome.code));
    expect(ids[1]).toBe(ids[0]);
    expect(new Set(ids).size).toBe(3);
    expect((await room.value(allToCryptoKey, generate(alice, 'a'))).keys[0]!.id).toBe(ids[0]);
    await room.close();
  });

  test('keys of every scheme are what they say, and survive the room', async () => {
    const keys = await fresh();
    const room = await openRoom({ keys });
    await room.ask(allToCryptoKey, [assign(alice)]);
    const outcomes = await room.ask(allToCryptoKey, keyScheme.options.map((scheme) => generate(alice, `key-${scheme}`, scheme)));
    for (const [i, outcome] of outcomes.entries()) {
      const info = outcome.type === 'done' ? outcome.value.keys[0]! : undefined;
      const publicKey = fromBase64url(info!.publicKey);
      expect(info).toMatchObject({ tenant: alice, alias: `key-${keyScheme.options[i]}`, category: 'LEDGER', scheme: schemeOf(publicKey), id: keyIdOf(publicKey) });
    }
    await room.close();
    const later = await openRoom({ keys });
    const found = (await later.value(allToCryptoKey, { type: 'find', tenant: alice })).keys;
    expect(new Set(found)).toEqual(new Set(outcomes.flatMap((outcome) => (outcome.type === 'done' ? outcome.value.keys : []))));
    await later.close();
  });

  test('without an HSM of the category no key is made', async () => {
    const room = await open();
    expect(await room.refusal(allToCryptoKey, generate(alice, 'a'))).toBe('CRYPTO_HSM_UNASSIGNED');
    await room.ask(allToCryptoKey, [assign(alice, 'TLS')]);
    expect(await room.refusal(allToCryptoKey, generate(alice, 'a'))).toBe('CRYPTO_HSM_UNASSIGNED');
    expect(await room.refusal(allToCryptoKey, generate(bob, 'a', 'CORDA.EDDSA.ED25519', 'TLS'))).toBe('CRYPTO_HSM_UNASSIGNED');
    expect((await room.value(allToCryptoKey, { type: 'find', tenant: alice })).keys).toEqual([]);
    await room.close();
  });

  test('an alias that names another scheme or category is taken', async () => {
    const room = await open();
    await room.ask(allToCryptoKey, [assign(alice), assign(alice, 'TLS')]);
    await room.value(allToCryptoKey, generate(alice, 'a'));
    expect(await room.refusal(allToCryptoKey, generate(alice, 'a', 'CORDA.ECDSA.SECP256R1'))).toBe('CRYPTO_ALIAS_TAKEN');
    expect(await room.refusal(allToCryptoKey, generate(alice, 'a', 'CORDA.EDDSA.ED25519', 'TLS'))).toBe('CRYPTO_ALIAS_TAKEN');
    const [first, second] = await room.ask(allToCryptoKey, [generate(alice, 'b'), generate(alice, 'b', 'CORDA.ECDSA.SECP256K1')]);
    expect(first).toMatchObject({ type: 'done', value: { keys: [{ scheme: 'CORDA.EDDSA.ED25519' }] } });
    expect(second).toMatchObject({ type: 'refused', code: 'CRYPTO_ALIAS_TAKEN' });
    await room.close();
  });

  test('a key that shall be new is made for one asker alone', async () => {
    const keys = await fresh();
    const room = await openRoom({ keys });
    await room.ask(allToCryptoKey, [assign(alice)]);
    const isNew = { ...generate(alice, 'a'), isNew: true } as const;
    const outcomes = await room.ask(allToCryptoKey, [isNew, isNew, generate(alice, 'a')]);
    expect(outcomes.map((outcome) => (outcome.type === 'refused' ? outcome.code : 'done'))).toEqual(['done', 'CRYPTO_ALIAS_TAKEN', 'done']);
    expect(await room.refusal(allToCryptoKey, isNew)).toBe('CRYPTO_ALIAS_TAKEN');
    expect(await room.refusal(allToCryptoKey, generate(alice, 'a'))).toBe('done');
    await room.close();
  });

  test('an HSM is found once it was assigned', async () => {
    const room = await open();
    const find = { type: 'find-hsm', tenant: alice, category: 'LEDGER' } as const;
    expect(await room.refusal(allToCryptoKey, find)).toBe('CRYPTO_HSM_NOT_FOUND');
    const assigned = await room.value(allToCryptoKey, assign(alice));
    expect(await room.value(allToCryptoKey, find)).toEqual(assigned);
    expect(await room.refusal(allToCryptoKey, { ...find, category: 'TLS' })).toBe('CRYPTO_HSM_NOT_FOUND');
    await room.close();
  });

  test('find takes ids, alias and category together, within one tenant', async () => {
    const room = await open();
    await room.ask(allToCryptoKey, [assign(alice), assign(alice, 'TLS'), assign(bob)]);
    const made = await room.ask(allToCryptoKey, [generate(alice, 'a'), generate(alice, 'b', 'CORDA.EDDSA.ED25519', 'TLS'), generate(bob, 'a')]);
    const [a, b, bobs] = made.map((outcome) => (outcome.type === 'done' ? outcome.value.keys[0]! : undefined));
    const find = async (filter: { ids?: string[]; alias?: string; category?: 'TLS' | 'LEDGER' }): Promise<string[]> =>
      (await room.value(allToCryptoKey, { type: 'find', tenant: alice, ...filter })).keys.map(({ alias }) => alias).sort();
    expect(await find({})).toEqual(['a', 'b']);
    expect(await find({ category: 'TLS' })).toEqual(['b']);
    expect(await find({ ids: [a!.id, bobs!.id, '000000000000'] })).toEqual(['a']);
    expect(await find({ ids: [a!.id, b!.id], alias: 'b' })).toEqual(['b']);
    expect(await find({ alias: 'a', category: 'TLS' })).toEqual([]);
    expect(await find({ ids: [] })).toEqual([]);
    await room.close();
  });

  test('a batch that asks for everything at once is answered as if one by one', async () => {
    const room = await open();
    const outcomes = await room.ask(allToCryptoKey, [{ type: 'find', tenant: alice, alias: 'a' }, generate(alice, 'a'), assign(alice)]);
    expect(outcomes.map(({ type }) => type)).toEqual(['done', 'done', 'done']);
    await room.close();
  });

  test('two workers that make the same keys at once agree on them', async () => {
    const keys = await fresh();
    const rooms = await Promise.all([openRoom({ keys }), openRoom({ keys })]);
    const aliases = ['a', 'b', 'c', 'd'];
    const ask = (room: Room, order: string[]) => room.ask(allToCryptoKey, [assign(alice), assign(bob), ...order.flatMap((alias) => [generate(alice, alias), generate(bob, alias)])]);
    const [one, other] = await Promise.all([ask(rooms[0]!, aliases), ask(rooms[1]!, aliases.toReversed())]);
    const keysOf = (outcomes: typeof one) => outcomes.flatMap((outcome) => (outcome.type === 'done' ? outcome.value.keys : [])).map(({ tenant, alias, id }) => `${tenant} ${alias} ${id}`).sort();
    expect(keysOf(one)).toHaveLength(8);
    expect(keysOf(one)).toEqual(keysOf(other));
    await Promise.all(rooms.map((room) => room.close()));
  });

  test('another passphrase opens nothing, and says what to do', async () => {
    const keys = await fresh();
    const room = await openRoom({ keys });
    await room.ask(allToCryptoKey, [assign(alice), generate(alice, 'a')]);
    await room.close();
    const stranger = await openRoom({ keys, rootKey: await testRootKey('another passphrase') });
    await expect(stranger.ask(allToCryptoKey, [generate(alice, 'b')])).rejects.toMatchObject({ code: 'CRYPTO_ROOT_KEY_WRONG', operational: true });
    const renamed = await openRoom({ keys, rootKey: { ...(await testRootKey()), alias: 'root2' } });
    await expect(renamed.ask(allToCryptoKey, [generate(alice, 'b')])).rejects.toMatchObject({ code: 'CRYPTO_ROOT_KEY_WRONG' });
  });
});

test('RSA keys beyond the bound of a batch are refused, the others made', async () => {
  const room = await openRoom({ keys: await memoryKeys() });
  await room.ask(allToCryptoKey, [assign(alice)]);
  const asked = Array.from({ length: rsaKeysPerBatchMax + 1 }, (_, i) => generate(alice, `rsa-${String(i).padStart(3, '0')}`, 'CORDA.RSA'));
  const outcomes = await room.ask(allToCryptoKey, [...asked, generate(alice, 'fast')]);
  expect(outcomes.filter(({ type }) => type === 'refused')).toEqual([expect.objectContaining({ code: 'CRYPTO_BUSY' })]);
  expect(outcomes.at(-1)).toMatchObject({ type: 'done' });
  await room.close();
}, 120_000);

test('a batch that was rolled back leaves nothing in memory that a later one would seal keys with', async () => {
  const keys = await memoryKeys();
  let failing = true;
  const shaky: Keys = {
    transact: (work) =>
      keys.transact(async (tx) => {
        const result = await work(tx);
        if (failing) throw new Error('the commit failed');
        return result;
      }),
  };
  const room = await openRoom({ keys: shaky });
  const batch = [assign(alice), generate(alice, 'a')];
  await expect(room.ask(allToCryptoKey, batch)).rejects.toThrow('the commit failed');
  failing = false;
  const [, made] = await room.ask(allToCryptoKey, batch);
  const { id } = made!.type === 'done' ? made!.value.keys[0]! : expect.fail('refused');
  // A room that remembers nothing opens the key.
  const later = await openRoom({ keys });
  expect(await later.refusal(allToCryptoSign, { tenant: alice, keyId: id, data: 'AAAA' })).toBe('done');
  await Promise.all([room.close(), later.close()]);
});
