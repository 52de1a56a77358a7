import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { toBase64url, utf8 } from '../../../src/cipher/bytes.ts';
import { allToCryptoKey } from '../../../src/messages/all-to-crypto.key.ts';
import { allToCryptoSign } from '../../../src/messages/all-to-crypto.sign.ts';
import { cryptoToCryptoRotate } from '../../../src/messages/crypto-to-crypto.rotate.ts';
import { decode } from '../../../src/messages/grammar/envelope.ts';
import type { BodyOf } from '../../../src/messages/grammar/wire.ts';
import { restToCryptoRotation } from '../../../src/messages/rest-to-crypto.rotation.ts';
import { createMemoryAnswerStore } from '../../../src/shell/memory-store.ts';
import { keysPerRotationStep, tenantsPerRotationStep } from '../../../src/workers/crypto/config.ts';
import { createMemoryKeys } from '../../../src/workers/crypto/memory-keys.ts';
import { startTestServer, transactOn, type TestServer } from './database.ts';
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
const data = toBase64url(utf8('the data'));
type Step = BodyOf<typeof cryptoToCryptoRotate>;

const stepOf = (room: Room): Step | undefined => {
  const [record] = room.effects.splice(0);
  if (record === undefined) return undefined;
  const decoded = decode(cryptoToCryptoRotate, { ...record, partition: 0, offset: 0, timestamp: 0 });
  return decoded.type === 'message' ? decoded.delivery.body : expect.fail(JSON.stringify(decoded));
};

/** Does as the shell: hands the room its own records until it says none. `between` runs before each step. */
const rotate = async (room: Room, between: (step: number) => Promise<void> = async () => {}): Promise<number> => {
  let steps = 0;
  for (let step = stepOf(room); step !== undefined; step = stepOf(room)) {
    await between(steps++);
    await room.ask(cryptoToCryptoRotate, [step]);
  }
  return steps;
};

const makeKeys = async (room: Room, tenant: string, count: number, prefix = 'key'): Promise<string[]> => {
  await room.ask(allToCryptoKey, [{ type: 'assign-hsm', tenant, category: 'LEDGER' }]);
  const asked = Array.from({ length: count }, (_, i) => ({ type: 'generate', tenant, alias: `${prefix}-${i}`, category: 'LEDGER', scheme: 'CORDA.EDDSA.ED25519' }) as const);
  return (await room.ask(allToCryptoKey, asked)).map((outcome) => (outcome.type === 'done' ? outcome.value.keys[0]!.id : expect.fail(outcome.code)));
};

/** Each key signs, in a room that remembers nothing. */
const expectAllSign = async (room: Room, tenant: string, ids: readonly string[]): Promise<void> => {
  const outcomes = await room.ask(allToCryptoSign, ids.map((keyId) => ({ tenant, keyId, data })));
  expect(outcomes.filter(({ type }) => type !== 'done')).toEqual([]);
};

const status = (room: Room, tenant: string) => room.value(restToCryptoRotation, { type: 'status', tenant });
const start = (tenant: string) => ({ type: 'start', tenant }) as const;

describe.each([
  ['memory', memoryKeys, tenantsPerRotationStep + 3],
  // A tenant's schema takes a while to make: what a step holds is tested above.
  ['PostgreSQL', () => server.database(), 4],
] as const)('rotation, kept in %s', (_name, fresh, tenantCount) => {
  test('of a tenant seals every private key by a new wrapping key, while they sign and others are made', async () => {
    const keys = await fresh();
    const room = await openRoom({ keys });
    const ids = await makeKeys(room, alice, 2 * keysPerRotationStep + 5);
    const alias = (await room.value(allToCryptoKey, { type: 'find-hsm', tenant: alice, category: 'LEDGER' })).association!.masterKeyAlias;
    const begun = await room.value(restToCryptoRotation, start(alice));
    expect(begun).toMatchObject({ isDone: false, parts: [{ name: alias, total: ids.length, rotated: 0 }] });
    const seen: number[] = [];
    const steps = await rotate(room, async (step) => {
      const other = await openRoom({ keys });
      await expectAllSign(other, alice, ids);
      await other.close();
      ids.push(...(await makeKeys(room, alice, 1, `during-${step}`)));
      const now = await status(room, alice);
      expect(now).toMatchObject({ requestId: begun.requestId, isDone: false });
      seen.push(now.parts[0]!.rotated);
    });
    // Two full steps, one of five, one that finds nothing and removes what sealed them.
    expect([steps, seen]).toEqual([4, [0, keysPerRotationStep, 2 * keysPerRotationStep, 2 * keysPerRotationStep + 5]]);
    expect(await status(room, alice)).toMatchObject({ isDone: true, parts: [{ name: alias, total: 2 * keysPerRotationStep + 5, rotated: 2 * keysPerRotationStep + 5 }] });
    const [wrapping, signing] = await keys.transact(async (tx) => [await tx.wrappingKeys.find([alice]), await tx.signingKeys.list({ tenant: alice, countMax: 1_000 })] as const);
    expect(wrapping.map(({ alias: name, generation }) => [name, generation])).toEqual([[alias, 2]]);
    expect(new Set(signing.map(({ wrappingGeneration }) => wrappingGeneration))).toEqual(new Set([2]));
    await room.close();
    const later = await openRoom({ keys });
    await expectAllSign(later, alice, ids);
    // And again: generations go on.
    await later.value(restToCryptoRotation, start(alice));
    await rotate(later);
    expect((await keys.transact((tx) => tx.wrappingKeys.find([alice]))).map(({ generation }) => generation)).toEqual([3]);
    await later.close();
  });

  test('of the root key seals every tenant’s wrapping key by the new one; the old one then opens nothing', async () => {
    const keys = await fresh();
    const [before, after] = await Promise.all([testRootKey('the old passphrase'), testRootKey('the new passphrase')]);
    const old = await openRoom({ keys, rootKey: before });
    const tenants = ['p2p', ...Array.from({ length: tenantCount }, (_, i) => i.toString(16).toUpperCase().padStart(12, 'A'))];
    const ids = new Map<string, string[]>();
    for (const tenant of tenants) ids.set(tenant, await makeKeys(old, tenant, 1));
    const room = await openRoom({ keys, rootKey: after, otherRootKeys: [before] });
    // What is made meanwhile is sealed by the new one at once.
    ids.set(alice, await makeKeys(room, alice, 1));
    expect((await room.value(restToCryptoRotation, start('master'))).parts.map(({ name, total }) => `${name} ${total}`)).toEqual(tenants.toSorted().map((tenant) => `${tenant} 1`));
    const steps = await rotate(room, async () => {
      for (const tenant of ['p2p', tenants.at(-1)!, alice]) await expectAllSign(room, tenant, ids.get(tenant)!);
    });
    expect(steps).toBe(Math.ceil(tenants.length / tenantsPerRotationStep) + 1);
    expect(await status(room, 'master')).toMatchObject({ isDone: true });
    expect((await status(room, 'master')).parts.every(({ total, rotated }) => rotated === total)).toBe(true);
    await Promise.all([old.close(), room.close()]);

    const alone = await openRoom({ keys, rootKey: after });
    for (const [tenant, some] of ids) await expectAllSign(alone, tenant, some);
    await alone.close();
    const stranger = await openRoom({ keys, rootKey: before });
    for (const [tenant, [keyId]] of ids) await expect(stranger.ask(allToCryptoSign, [{ tenant, keyId: keyId!, data }])).rejects.toMatchObject({ code: 'CRYPTO_ROOT_KEY_WRONG' });
    await stranger.close();
  }, 60_000);

  test('with nothing to do is done after one step', async () => {
    const room = await openRoom({ keys: await fresh() });
    await makeKeys(room, alice, 1);
    expect((await room.value(restToCryptoRotation, start('master'))).parts).toEqual([]);
    expect(await rotate(room)).toBe(1);
    expect(await status(room, 'master')).toMatchObject({ isDone: true, parts: [] });
    await room.close();
  });

  test('a step that is done twice, or late, changes nothing', async () => {
    const keys = await fresh();
    const room = await openRoom({ keys });
    const ids = await makeKeys(room, alice, keysPerRotationStep + 1);
    await room.value(restToCryptoRotation, start(alice));
    const done: Step[] = [];
    for (let step = stepOf(room); step !== undefined; step = stepOf(room)) {
      done.push(step);
      await room.ask(cryptoToCryptoRotate, [step, step]);
    }
    const rows = () => keys.transact(async (tx) => JSON.stringify([await tx.wrappingKeys.find([alice]), await tx.signingKeys.list({ tenant: alice, countMax: 1_000 })]));
    const before = await rows();
    await room.ask(cryptoToCryptoRotate, done);
    expect(await rows()).toBe(before);
    expect(room.effects).toEqual([]);
    await expectAllSign(room, alice, ids);
    await room.close();
  });

  test('is begun once at a time, of what is there, by whom it can be done', async () => {
    const keys = await fresh();
    const room = await openRoom({ keys });
    await makeKeys(room, alice, 1);
    expect(await room.refusal(restToCryptoRotation, { type: 'status', tenant: alice })).toBe('CRYPTO_ROTATION_UNKNOWN');
    expect(await room.refusal(restToCryptoRotation, start('B0B000000002'))).toBe('CRYPTO_TENANT_UNKNOWN');
    const outcomes = await room.ask(restToCryptoRotation, [start(alice), start(alice)]);
    expect(outcomes.map((outcome) => (outcome.type === 'refused' ? outcome.code : 'done'))).toEqual(['done', 'CRYPTO_ROTATION_UNDER_WAY']);
    await rotate(room);
    expect(await room.refusal(restToCryptoRotation, start(alice))).toBe('done');
    await room.close();
    const stranger = await openRoom({ keys, rootKey: await testRootKey('another') });
    expect(await stranger.refusal(restToCryptoRotation, start('master'))).toBe('CRYPTO_ROOT_KEY_UNKNOWN');
    await stranger.close();
  });

  test('to a root key that a worker was not given waits for one that was', async () => {
    const keys = await fresh();
    const [before, after] = await Promise.all([testRootKey('old'), testRootKey('new')]);
    const old = await openRoom({ keys, rootKey: before });
    await makeKeys(old, alice, 1);
    const room = await openRoom({ keys, rootKey: after, otherRootKeys: [before] });
    await room.value(restToCryptoRotation, start('master'));
    const step = stepOf(room)!;
    await expect(old.ask(cryptoToCryptoRotate, [step])).rejects.toMatchObject({ code: 'CRYPTO_ROOT_KEY_WRONG', operational: true });
    await room.ask(cryptoToCryptoRotate, [step]);
    await rotate(room);
    expect(await status(room, 'master')).toMatchObject({ isDone: true });
    await Promise.all([old.close(), room.close()]);
  });
});

test('a key that is made under the old wrapping key while a rotation ends keeps that key, and is then sealed anew too', async () => {
  const keys = await server.database();
  const room = await openRoom({ keys });
  await makeKeys(room, alice, 1);
  const [gen1] = await keys.transact((tx) => tx.wrappingKeys.find([alice]));
  const [model] = await keys.transact((tx) => tx.signingKeys.list({ tenant: alice, countMax: 1 }));
  // A transaction that read the first generation as the latest, and is slow to write.
  const { promise: held, resolve: onHeld } = Promise.withResolvers<void>();
  const { promise: mayWrite, resolve: letWrite } = Promise.withResolvers<void>();
  const slow = transactOn(keys.sql, async (tx) => {
    expect(await tx.wrappingKeys.hold([gen1!])).toBe(true);
    onHeld();
    await mayWrite;
    await tx.signingKeys.add([{ ...model!, id: '0000000000FF', alias: 'slow' }]);
  });
  await held;
  await room.value(restToCryptoRotation, start(alice));
  await room.ask(cryptoToCryptoRotate, [stepOf(room)!]);
  // The last step wants to remove the first generation, and waits for whoever holds it.
  const ending = room.ask(cryptoToCryptoRotate, [stepOf(room)!]);
  letWrite();
  await Promise.all([slow, ending]);
  expect(await status(room, alice)).toMatchObject({ isDone: false });
  expect((await keys.transact((tx) => tx.wrappingKeys.find([alice]))).map(({ generation }) => generation).sort()).toEqual([1, 2]);
  // The made-up row has no key of its own: it goes, and the rotation ends.
  await keys.sql`delete from vnode_crypto_a11ce0000001.signing_key where alias = 'slow'`;
  await rotate(room);
  expect(await status(room, alice)).toMatchObject({ isDone: true });
  expect(await keys.transact((tx) => tx.wrappingKeys.hold([gen1!]))).toBe(false);
  await room.close();
});

test('no role of a tenant can change keys, and the functions that can go forward only', async () => {
  const { sql, transact } = await server.database();
  await transact((tx) => tx.wrappingKeys.add([{ tenant: alice, alias: 'w', generation: 1, parent: 'root', material: new Uint8Array(1), createdAt: 0 }]));
  const dml = (await sql<{ role: string }[]>`select crypto.role_of('vnode_crypto_a11ce0000001', 'dml') as role`)[0]!.role;
  await expect(sql.begin(async (tx) => {
    await tx`select set_config('role', ${dml}, true)`;
    await tx`update vnode_crypto_a11ce0000001.wrapping_key set parent = 'x'`;
  })).rejects.toMatchObject({ code: '42501' });
  await expect(sql.begin(async (tx) => {
    await tx`select set_config('role', ${dml}, true)`;
    await tx`select crypto.drop_wrapping_keys(${alice}, 'w', 2)`;
  })).rejects.toMatchObject({ code: '42501' });
  await expect(sql`select crypto.rewrap_signing_key(${alice}, '00000000000A', 2, 2, ''::bytea)`).rejects.toThrow('goes forward');
  for (const tenant of ['p2p; drop', '../..', 'a11ce0000001', '']) await expect(sql`select crypto.drop_wrapping_keys(${tenant}, 'w', 2)`).rejects.toThrow('12 hex digits');
});
