import { expect, test } from 'vitest';
import { toBase64url, utf8 } from '../../../src/cipher/bytes.ts';
import { allToCryptoKey, type KeyScheme } from '../../../src/messages/all-to-crypto.key.ts';
import { memberToCryptoSeal, type sealedToKey } from '../../../src/messages/member-to-crypto.seal.ts';
import { createMemoryAnswerStore } from '../../../src/shell/memory-store.ts';
import { createMemoryKeys } from '../../../src/workers/crypto/memory-keys.ts';
import type * as z from 'zod';
import { openRoom } from './room.ts';

const mgm = '3A3000000001';
const context = { info: 'registration', aad: toBase64url(utf8('the group')) };
const plaintext = toBase64url(utf8('who I am'));

const openKeys = async () => {
  const { makeTx, rollback } = createMemoryKeys();
  const room = await openRoom({ keys: createMemoryAnswerStore(makeTx, rollback) });
  const make = async (scheme: KeyScheme, category: 'PRE_AUTH' | 'LEDGER' = 'PRE_AUTH') => {
    await room.ask(allToCryptoKey, [{ type: 'assign-hsm', tenant: mgm, category }]);
    const { keys } = await room.value(allToCryptoKey, { type: 'generate', tenant: mgm, alias: `${scheme}-${category}`, category, scheme });
    return keys[0]!;
  };
  const seal = async (publicKey: string): Promise<z.infer<typeof sealedToKey>> => {
    const reply = await room.value(memberToCryptoSeal, { type: 'seal', tenant: mgm, publicKey, ...context, plaintext });
    return reply.type === 'sealed' ? reply.sealed : expect.fail('not sealed');
  };
  return { room, make, seal };
};

test.each(['CORDA.ECDSA.SECP256R1', 'CORDA.ECDSA.SECP256K1', 'CORDA.X25519'] as const)('what a member sealed to the MGM’s key of %s is opened inside crypto', async (scheme) => {
  const { room, make, seal } = await openKeys();
  const key = await make(scheme);
  const sealed = await seal(key.publicKey);
  const open = { type: 'open', tenant: mgm, keyId: key.id, category: 'PRE_AUTH', ...context, sealed } as const;
  expect(await room.value(memberToCryptoSeal, open)).toEqual({ type: 'opened', plaintext });
  expect(await room.refusal(memberToCryptoSeal, { ...open, info: 'another' })).toBe('CRYPTO_NOT_OPENED');
  expect(await room.refusal(memberToCryptoSeal, { ...open, sealed: { ...sealed, ciphertext: plaintext } })).toBe('CRYPTO_NOT_OPENED');
  await room.close();
});

test('only a key of the named tenant and category opens, and only one that agrees', async () => {
  const { room, make, seal } = await openKeys();
  const key = await make('CORDA.ECDSA.SECP256R1');
  const ledger = await make('CORDA.ECDSA.SECP256R1', 'LEDGER');
  const signing = await make('CORDA.EDDSA.ED25519');
  const sealed = await seal(key.publicKey);
  const open = { type: 'open', tenant: mgm, keyId: key.id, category: 'PRE_AUTH', ...context, sealed } as const;
  expect(await room.refusal(memberToCryptoSeal, { ...open, tenant: 'B0B000000002' })).toBe('CRYPTO_KEY_NOT_FOUND');
  expect(await room.refusal(memberToCryptoSeal, { ...open, keyId: ledger.id })).toBe('CRYPTO_KEY_CATEGORY');
  expect(await room.refusal(memberToCryptoSeal, { ...open, keyId: signing.id })).toBe('CRYPTO_SCHEME_UNFIT');
  await room.close();
});

test('what is no public key that agrees is refused, and the rest of the batch is served', async () => {
  const { room, make } = await openKeys();
  const [key, signing] = [await make('CORDA.X25519'), await make('CORDA.EDDSA.ED25519')];
  const seal = (publicKey: string) => ({ type: 'seal', tenant: mgm, publicKey, ...context, plaintext }) as const;
  const outcomes = await room.ask(memberToCryptoSeal, [seal(signing.publicKey), seal('AAAA'), seal(''), seal(key.publicKey)]);
  expect(outcomes.map((outcome) => (outcome.type === 'refused' ? outcome.code : outcome.value.type))).toEqual(['CRYPTO_PUBLIC_KEY', 'CRYPTO_PUBLIC_KEY', 'CRYPTO_PUBLIC_KEY', 'sealed']);
  await room.close();
});
