import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { fromBase64url, toBase64url, utf8 } from '../../../src/cipher/bytes.ts';
import { verify } from '../../../src/cipher/signature.ts';
import { allToCryptoKey, type PublicKeyInfo } from '../../../src/messages/all-to-crypto.key.ts';
import { allToCryptoSign } from '../../../src/messages/all-to-crypto.sign.ts';
import { createMetrics } from '../../../src/observability/metrics.ts';
import { createMemoryAnswerStore } from '../../../src/shell/memory-store.ts';
import type { CryptoTx } from '../../../src/workers/crypto/crypto-tx.ts';
import { createMemoryKeys } from '../../../src/workers/crypto/memory-keys.ts';
import { startTestServer, type TestServer } from './database.ts';
import type { Keys } from './keys-contract.ts';
import { openRoom, type Room } from './room.ts';

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
const data = toBase64url(utf8('the data'));

const makeKey = async (room: Room, tenant: string, scheme: PublicKeyInfo['scheme']): Promise<PublicKeyInfo> => {
  await room.ask(allToCryptoKey, [{ type: 'assign-hsm', tenant, category: 'LEDGER' }]);
  const { keys } = await room.value(allToCryptoKey, { type: 'generate', tenant, alias: `key-${scheme}`, category: 'LEDGER', scheme });
  return keys[0]!;
};

/** Counts what is asked of the store. */
const counting = (keys: Keys): Keys & { calls: string[] } => {
  const calls: string[] = [];
  const counted = <Repository extends object>(name: string, repository: Repository): Repository =>
    new Proxy(repository, {
      get: (target, verb, receiver) => {
        calls.push(`${name}.${String(verb)}`);
        return Reflect.get(target, verb, receiver);
      },
    });
  return {
    calls,
    transact: (work) =>
      keys.transact((tx: CryptoTx) =>
        work({ ...tx, signingKeys: counted('signingKeys', tx.signingKeys), wrappingKeys: counted('wrappingKeys', tx.wrappingKeys) }),
      ),
  };
};

describe.each([
  ['memory', memoryKeys],
  ['PostgreSQL', () => server.database()],
] as const)('signing, with keys in %s', (_name, fresh) => {
  let keys: Keys;
  let room: Room;
  beforeEach(async () => {
    keys = await fresh();
    room = await openRoom({ keys });
    return () => room.close();
  });

  test.each(['CORDA.RSA', 'CORDA.ECDSA.SECP256R1', 'CORDA.ECDSA.SECP256K1', 'CORDA.EDDSA.ED25519'] as const)('%s: the signature verifies with the public key of the answer', async (scheme) => {
    const { id, publicKey } = await makeKey(room, alice, scheme);
    const reply = await room.value(allToCryptoSign, { tenant: alice, keyId: id, category: 'LEDGER', data });
    expect(reply.publicKey).toBe(publicKey);
    const signature = fromBase64url(reply.signature);
    expect(await verify({ publicKey: fromBase64url(publicKey), spec: reply.spec, data: utf8('the data'), signature })).toBe(true);
  });

  test('a key signs in a room that was opened later, as after a restart', async () => {
    const { id, publicKey } = await makeKey(room, alice, 'CORDA.EDDSA.ED25519');
    const first = await room.value(allToCryptoSign, { tenant: alice, keyId: id, data });
    const later = await openRoom({ keys });
    expect(await later.value(allToCryptoSign, { tenant: alice, keyId: id, data })).toEqual(first);
    expect(first.publicKey).toBe(publicKey);
    await later.close();
  });

  test('what may not be signed is refused, each with its reason', async () => {
    const { id } = await makeKey(room, alice, 'CORDA.ECDSA.SECP256R1');
    const agreement = await makeKey(room, alice, 'CORDA.X25519');
    const sign = (more: object) => room.refusal(allToCryptoSign, { tenant: alice, keyId: id, data, ...more });
    expect(await sign({})).toBe('done');
    expect(await sign({ keyId: '000000000000' })).toBe('CRYPTO_KEY_NOT_FOUND');
    // Another tenant's key, whether that tenant exists or not.
    expect(await sign({ tenant: bob })).toBe('CRYPTO_KEY_NOT_FOUND');
    await makeKey(room, bob, 'CORDA.ECDSA.SECP256R1');
    expect(await sign({ tenant: bob })).toBe('CRYPTO_KEY_NOT_FOUND');
    expect(await sign({ category: 'TLS' })).toBe('CRYPTO_KEY_CATEGORY');
    expect(await sign({ spec: 'EdDSA' })).toBe('CRYPTO_SPEC_UNFIT');
    expect(await sign({ keyId: agreement.id })).toBe('CRYPTO_SPEC_UNFIT');
    expect(await sign({ data: 'A' })).toBe('CRYPTO_DATA_MALFORMED');
    await expect(sign({ data: '' })).rejects.toThrow('body');
  });

  test('one look-up serves a whole batch, and none the next', async () => {
    const counted = counting(keys);
    const tenants = [alice, bob];
    const ids = await Promise.all(tenants.map(async (tenant) => (await makeKey(room, tenant, 'CORDA.ECDSA.SECP256R1')).id));
    const later = await openRoom({ keys: counted });
    const requests = Array.from({ length: 20 }, (_, i) => ({ tenant: tenants[i % 2]!, keyId: ids[i % 2]!, data: toBase64url(utf8(`data ${i}`)) }));
    const outcomes = await later.ask(allToCryptoSign, requests);
    expect(counted.calls).toEqual(['signingKeys.findByIds', 'wrappingKeys.find']);
    await later.ask(allToCryptoSign, requests);
    expect(counted.calls).toHaveLength(2);
    for (const [i, outcome] of outcomes.entries()) {
      const { signature, publicKey, spec } = outcome.type === 'done' ? outcome.value : expect.fail('refused');
      expect(await verify({ publicKey: fromBase64url(publicKey), spec, data: utf8(`data ${i}`), signature: fromBase64url(signature) })).toBe(true);
    }
    await later.close();
  });
});

test('each signature is counted by scheme, refusals are not', async () => {
  const metrics = createMetrics();
  const room = await openRoom({ keys: await memoryKeys(), metrics });
  const { id } = await makeKey(room, alice, 'CORDA.EDDSA.ED25519');
  await room.ask(allToCryptoSign, [{ tenant: alice, keyId: id, data }, { tenant: alice, keyId: id, data }, { tenant: bob, keyId: id, data }]);
  expect(metrics.text()).toContain('cordage_crypto_signatures_total{scheme="CORDA.EDDSA.ED25519"} 2');
  await room.close();
});

test('a row moved to another tenant or id does not open there', async () => {
  const keys = await memoryKeys();
  const room = await openRoom({ keys });
  const { id } = await makeKey(room, alice, 'CORDA.EDDSA.ED25519');
  await makeKey(room, bob, 'CORDA.EDDSA.ED25519');
  await keys.transact(async (tx) => {
    const [row] = await tx.signingKeys.findByIds([{ tenant: alice, id }]);
    const [bobs] = await tx.wrappingKeys.find([bob]);
    const place = { wrappingAlias: bobs!.alias, wrappingGeneration: 1 };
    await tx.signingKeys.add([{ ...row!, ...place, tenant: bob, alias: 'stolen' }, { ...row!, id: '00000000000A', alias: 'renamed' }]);
    // A wrapping key under another generation.
    const [alices] = await tx.wrappingKeys.find([alice]);
    await tx.wrappingKeys.add([{ ...alices!, generation: 2 }]);
  });
  const sign = (tenant: string, keyId: string) => room.ask(allToCryptoSign, [{ tenant, keyId, data }]);
  await expect(sign(bob, id)).rejects.toMatchObject({ code: 'CRYPTO_KEY_DAMAGED', operational: false });
  await expect(sign(alice, '00000000000A')).rejects.toMatchObject({ code: 'CRYPTO_KEY_DAMAGED' });
  expect((await sign(alice, id))[0]).toMatchObject({ type: 'done' });
  const generation = room.ask(allToCryptoKey, [{ type: 'generate', tenant: alice, alias: 'new', category: 'LEDGER', scheme: 'CORDA.EDDSA.ED25519' }]);
  await expect(generation).rejects.toMatchObject({ code: 'CRYPTO_ROOT_KEY_WRONG' });
  await room.close();
});
