/** The room's "never": whatever it answers, sends or logs, no private key is in it but the sealed TLS key. */
import { expect, test } from 'vitest';
import { generateX25519 } from '../../../src/cipher/agreement.ts';
import { randomBytes, toBase64url, toHex, utf8, type Bytes } from '../../../src/cipher/bytes.ts';
import { openSealed } from '../../../src/cipher/sealed.ts';
import { allToCryptoKey, keyScheme } from '../../../src/messages/all-to-crypto.key.ts';
import { allToCryptoSign } from '../../../src/messages/all-to-crypto.sign.ts';
import { cryptoToCryptoRotate } from '../../../src/messages/crypto-to-crypto.rotate.ts';
import { gatewayToCryptoTlsKey } from '../../../src/messages/gateway-to-crypto.tls-key.ts';
import { restToCryptoCsr } from '../../../src/messages/rest-to-crypto.csr.ts';
import { restToCryptoRotation } from '../../../src/messages/rest-to-crypto.rotation.ts';
import { createLog } from '../../../src/observability/log.ts';
import { createMemoryAnswerStore } from '../../../src/shell/memory-store.ts';
import { createMemoryKeys } from '../../../src/workers/crypto/memory-keys.ts';
import { openPrivateKey, openWrappingKey } from '../../../src/workers/crypto/root-key.ts';
import { openRoom, testRootKey } from './room.ts';

/** Bytes of a secret that are looked for: enough that chance does not write them. */
const needleBytes = 16;

/** All spellings of these bytes: hex in either case, and base64 of either alphabet wherever in a longer text they lie. */
const spellingsOf = (bytes: Uint8Array): string[] => {
  const base64s = [0, 1, 2].flatMap((shift) => {
    const text = Buffer.concat([Buffer.alloc(shift), bytes]).toString('base64').replace(/=+$/, '');
    // The first and last digits hold bits of neighbours too.
    const inner = text.slice(Math.ceil((shift * 4) / 3), -1);
    return [inner, inner.replaceAll('+', '-').replaceAll('/', '_')];
  });
  const decimals = [...bytes].join(',');
  return [toHex(bytes), toHex(bytes).toUpperCase(), ...base64s, decimals];
};

/** Pieces of a secret, so that one that leaves in part is found too. */
const piecesOf = (secret: Uint8Array): Uint8Array[] => {
  const pieces: Uint8Array[] = [];
  for (let from = 0; from + needleBytes <= secret.length; from += needleBytes) pieces.push(secret.slice(from, from + needleBytes));
  return pieces;
};

const holds = (texts: readonly string[], secret: Uint8Array): boolean => {
  const whole = texts.join('\n');
  return piecesOf(secret).some((piece) => spellingsOf(piece).some((spelling) => whole.includes(spelling)));
};

test('the search finds a key in every spelling, wherever it lies', () => {
  const secret = randomBytes(32);
  const around = (shift: number): Buffer => Buffer.concat([Buffer.alloc(shift, 7), secret, Buffer.alloc(5, 7)]);
  for (const shift of [0, 1, 2, 3]) {
    for (const text of [around(shift).toString('hex'), around(shift).toString('base64'), around(shift).toString('base64url'), JSON.stringify([...around(shift)])]) {
      expect(holds([`before ${text} after`], secret)).toBe(true);
    }
  }
  expect(holds([toHex(randomBytes(1_000))], secret)).toBe(false);
});

test('no answer, effect or log line holds a private or wrapping key, the sealed TLS key excepted', async () => {
  const { makeTx, rollback } = createMemoryKeys();
  const keys = createMemoryAnswerStore(makeTx, rollback);
  const drawn: Bytes[] = [];
  const chance = (length: number): Bytes => {
    const bytes = randomBytes(length);
    drawn.push(bytes.slice());
    return bytes;
  };
  const room = await openRoom({ keys, chance });
  const tenant = 'A11CE0000001';
  const data = toBase64url(utf8('the data'));
  await room.ask(allToCryptoKey, [{ type: 'assign-hsm', tenant, category: 'LEDGER' }]);
  await room.ask(allToCryptoKey, keyScheme.options.map((scheme) => ({ type: 'generate', tenant, alias: scheme, category: 'LEDGER', scheme }) as const));
  const found = await room.value(allToCryptoKey, { type: 'find', tenant });
  await room.ask(allToCryptoSign, found.keys.flatMap(({ id }) => [{ tenant, keyId: id, data }, { tenant, keyId: id, category: 'TLS' as const, data }]));
  await room.ask(restToCryptoCsr, found.keys.map(({ id }) => ({ tenant, keyId: id, x500Name: 'CN=Alice, O=Org, L=London, C=GB', alternativeNames: [] })));
  const { requestId } = await room.value(restToCryptoRotation, { type: 'start', tenant });
  for (const step of [0, 1]) await room.value(cryptoToCryptoRotate, { tenant, requestId, step });
  expect((await room.value(restToCryptoRotation, { type: 'status', tenant })).isDone).toBe(true);
  const gateway = await generateX25519();
  const reply = await room.value(gatewayToCryptoTlsKey, { ephemeralPublicKey: toBase64url(gateway.publicKey), wanted: { type: 'own', hostNames: ['localhost'] } });
  await room.refusal(gatewayToCryptoTlsKey, { ephemeralPublicKey: toBase64url(new Uint8Array(32)), wanted: { type: 'own', hostNames: ['localhost'] } });

  // What goes wrong is logged by the shell, with the error's own words.
  const log = createLog({ level: 'debug', write: (line) => room.said.push(line) });
  const stranger = await openRoom({ keys, rootKey: await testRootKey('another') });
  await stranger.ask(allToCryptoSign, [{ tenant, keyId: found.keys[0]!.id, data }]).catch((error: unknown) => log.error('answer-threw', { error }));
  expect(room.said.join()).toContain('CRYPTO_ROOT_KEY_WRONG');

  const root = await testRootKey();
  const privateKeys = await keys.transact(async (tx) => {
    const wrapping = new Map(await Promise.all((await tx.wrappingKeys.find([tenant, 'p2p'])).map(async (row) => [row.tenant, await openWrappingKey([root], row)] as const)));
    const rows = [...(await tx.signingKeys.list({ tenant, countMax: 100 })), ...(await tx.signingKeys.list({ tenant: 'p2p', countMax: 100 }))];
    return Promise.all(rows.map(async (row) => (await openPrivateKey(wrapping.get(row.tenant)!, row)).reveal()));
  });
  // Five schemes and the TLS key; what stands before and after the secret in PKCS#8 is no secret.
  expect(privateKeys).toHaveLength(6);
  const texts = [...room.said, ...stranger.said];
  // A nonce is drawn too, and may be seen.
  const secrets = drawn.filter(({ length }) => length === 32);
  expect(secrets).toHaveLength(2 + 4 + 1 + 2 + 1);
  for (const secret of secrets) expect(holds(texts, secret)).toBe(false);
  const rsa = privateKeys.find(({ length }) => length > 1_000)!;
  for (const piece of piecesOf(rsa.slice(500))) expect(holds(texts, piece)).toBe(false);

  // The same search finds the TLS key once its one reader has opened it.
  const tlsKey = await openSealed(gateway.privateKey, reply.sealed, gatewayToCryptoTlsKey.topic);
  expect(privateKeys.map(toHex)).toContain(toHex(tlsKey));
  const opened = [...texts, toBase64url(tlsKey)];
  expect(secrets.filter((secret) => holds(opened, secret))).toHaveLength(1);
  await Promise.all([room.close(), stranger.close()]);
});
