import { X509Certificate, createPrivateKey, createPublicKey } from 'node:crypto';
import { once } from 'node:events';
import { request, createServer, type ServerOptions } from 'node:https';
import type { AddressInfo } from 'node:net';
import 'reflect-metadata';
import { BasicConstraintsExtension, X509Certificate as ParsedCertificate } from '@peculiar/x509';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { generateX25519, type X25519KeyPair } from '../../../src/cipher/agreement.ts';
import { toBase64url, toHex } from '../../../src/cipher/bytes.ts';
import { encodePem } from '../../../src/cipher/pem.ts';
import { openSealed } from '../../../src/cipher/sealed.ts';
import { generateKeyPair, keyIdOf } from '../../../src/cipher/signature.ts';
import { allToCryptoKey } from '../../../src/messages/all-to-crypto.key.ts';
import { cryptoToDbCertificate } from '../../../src/messages/crypto-to-db.certificate.ts';
import type { TlsCertificate } from '../../../src/messages/db-to-all.certificate.ts';
import { gatewayToCryptoTlsKey } from '../../../src/messages/gateway-to-crypto.tls-key.ts';
import { decode } from '../../../src/messages/grammar/envelope.ts';
import { restToCryptoTlsKey } from '../../../src/messages/rest-to-crypto.tls-key.ts';
import { createMemoryAnswerStore } from '../../../src/shell/memory-store.ts';
import type { View } from '../../../src/shell/view.ts';
import { certificateAgeMs, certificateRenewalMs } from '../../../src/workers/crypto/config.ts';
import { createMemoryKeys } from '../../../src/workers/crypto/memory-keys.ts';
import { normalHost } from '../../../src/workers/crypto/tls-certificate.ts';
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

type TlsKey = { readonly certificate: string; readonly key: string };

/** Asks as a gateway does: a fresh ephemeral key, then the sealed key opened with it. */
const tlsKeyFor = async (room: Room, ...hostNames: string[]): Promise<TlsKey> => {
  const own = await generateX25519();
  const reply = await room.value(gatewayToCryptoTlsKey, { ephemeralPublicKey: toBase64url(own.publicKey), wanted: { type: 'own', hostNames } });
  const pkcs8 = await openSealed(own.privateKey, reply.sealed, gatewayToCryptoTlsKey.topic);
  return { certificate: reply.certificateChainPem!, key: encodePem('PRIVATE KEY', pkcs8) };
};

const certificatesSaid = (room: Room): string[] =>
  room.effects.map((record, offset) => {
    expect(record.topic).toBe(cryptoToDbCertificate.topic);
    const decoded = decode(cryptoToDbCertificate, { ...record, partition: 0, offset, timestamp: 0 });
    if (decoded.type !== 'message') throw new Error(JSON.stringify(decoded));
    expect(decoded.delivery.body).toMatchObject({ usage: 'p2p-tls', alias: 'p2p-tls-cert' });
    return decoded.delivery.body.pem;
  });

describe.each([
  ['memory', memoryKeys],
  ['PostgreSQL', () => server.database()],
] as const)('the TLS key, kept in %s', (_name, fresh) => {
  test('every gateway that asks gets the same key and certificate, and db is told once', async () => {
    const keys = await fresh();
    const room = await openRoom({ keys });
    const first = await tlsKeyFor(room, 'localhost', '127.0.0.1');
    expect(await tlsKeyFor(room, '127.0.0.1')).toEqual(first);
    const later = await openRoom({ keys });
    expect(await tlsKeyFor(later, 'LOCALHOST')).toEqual(first);
    expect(certificatesSaid(room)).toEqual([first.certificate]);
    expect(later.effects).toEqual([]);
    const { keys: shown } = await room.value(allToCryptoKey, { type: 'find', tenant: 'p2p', category: 'TLS' });
    expect(shown).toMatchObject([{ alias: 'p2p-tls', scheme: 'CORDA.ECDSA.SECP256R1' }]);
    await Promise.all([room.close(), later.close()]);
  });

  test('a host that the certificate does not name makes a new one for the same key, which keeps the old names', async () => {
    const room = await openRoom({ keys: await fresh() });
    const first = await tlsKeyFor(room, 'one.example');
    const second = await tlsKeyFor(room, 'two.example');
    expect(second.key).toBe(first.key);
    expect(second.certificate).not.toBe(first.certificate);
    expect(await tlsKeyFor(room, 'one.example')).toEqual(second);
    expect(certificatesSaid(room)).toEqual([first.certificate, second.certificate]);
    await room.close();
  });

  test('a certificate near its end is made anew', async () => {
    let now = Date.UTC(2026, 0, 1);
    const room = await openRoom({ keys: await fresh(), now: () => now });
    const first = await tlsKeyFor(room, 'localhost');
    now += certificateAgeMs - certificateRenewalMs - 1;
    expect(await tlsKeyFor(room, 'localhost')).toEqual(first);
    now += 1;
    const second = await tlsKeyFor(room, 'localhost');
    expect(Date.parse(new X509Certificate(second.certificate).validTo)).toBe(now + certificateAgeMs);
    expect(second.key).toBe(first.key);
    await room.close();
  });

  test('two workers that are asked at once give one key and, in the end, one certificate', async () => {
    const keys = await fresh();
    const rooms = await Promise.all([openRoom({ keys }), openRoom({ keys })]);
    const [one, other] = await Promise.all([tlsKeyFor(rooms[0]!, 'one.example'), tlsKeyFor(rooms[1]!, 'two.example')]);
    expect(one.key).toBe(other.key);
    const [again, anew] = await Promise.all(rooms.map((room) => tlsKeyFor(room, 'one.example', 'two.example')));
    expect(again).toEqual(anew);
    await Promise.all(rooms.map((room) => room.close()));
  });
});

/** The view of TLS certificates; only whose they are, for what and of which key matters here. */
const certificatesView = (...imported: Pick<TlsCertificate, 'usage' | 'holder' | 'publicKey'>[]) => {
  const bodies = new Map<string, TlsCertificate>();
  const later = imported.map((one, i): [string, TlsCertificate] => [String(i), { alias: String(i), pem: '', ...one }]);
  const view: View<TlsCertificate> = {
    get: (key) => bodies.get(key),
    entries: () => bodies.entries(),
    // What was published is seen once it is looked for.
    refresh: async () => later.forEach(([key, body]) => bodies.set(key, body)),
  };
  return view;
};

describe('the key of an imported certificate', () => {
  const alice = 'A11CE0000001';
  const makeKeys = async (keys: Keys) => {
    const room = await openRoom({ keys });
    const make = async (tenant: string, category: 'TLS' | 'SESSION_INIT'): Promise<string> => {
      await room.ask(allToCryptoKey, [{ type: 'assign-hsm', tenant, category }]);
      return (await room.value(allToCryptoKey, { type: 'generate', tenant, alias: `${category}-imported`, category, scheme: 'CORDA.ECDSA.SECP256R1' })).keys[0]!.publicKey;
    };
    const made = { p2p: await make('p2p', 'TLS'), session: await make('p2p', 'SESSION_INIT'), alice: await make(alice, 'TLS') };
    await room.close();
    return made;
  };
  let asker: X25519KeyPair;
  beforeAll(async () => {
    asker = await generateX25519();
  });
  const ask = (publicKey: string) => ({ ephemeralPublicKey: toBase64url(asker.publicKey), wanted: { type: 'of-certificate' as const, publicKey } });

  test('is given by its public key, of the cluster and of virtual nodes, once the certificate is imported', async () => {
    const keys = await memoryKeys();
    const made = await makeKeys(keys);
    const certificates = certificatesView({ usage: 'p2p-tls', holder: 'cluster', publicKey: made.p2p }, { usage: 'p2p-tls', holder: alice, publicKey: made.alice });
    const room = await openRoom({ keys, certificates });
    for (const wanted of [made.p2p, made.alice]) {
      const reply = await room.value(gatewayToCryptoTlsKey, ask(wanted));
      expect(reply.certificateChainPem).toBeUndefined();
      const pkcs8 = await openSealed(asker.privateKey, reply.sealed, gatewayToCryptoTlsKey.topic);
      const publicKey = createPublicKey(createPrivateKey(encodePem('PRIVATE KEY', pkcs8))).export({ format: 'der', type: 'spki' });
      expect(publicKey.toString('base64url')).toBe(wanted);
    }
    await room.close();
  });

  test('stays where the certificate is another room’s, names another holder, or is of a key that was not made for TLS', async () => {
    const keys = await memoryKeys();
    const made = await makeKeys(keys);
    const unknown = toBase64url((await generateKeyPair('CORDA.ECDSA.SECP256R1')).publicKey);
    const certificates = certificatesView(
      { usage: 'rest-tls', holder: 'cluster', publicKey: made.p2p },
      { usage: 'p2p-tls', holder: 'cluster', publicKey: made.session },
      { usage: 'p2p-tls', holder: 'cluster', publicKey: made.alice },
      { usage: 'p2p-tls', holder: 'cluster', publicKey: unknown },
    );
    const room = await openRoom({ keys, certificates });
    for (const other of [made.p2p, made.session, made.alice, unknown, 'AAAA']) expect(await room.refusal(gatewayToCryptoTlsKey, ask(other)), other).toBe('CRYPTO_KEY_NOT_FOUND');
    expect(await room.refusal(restToCryptoTlsKey, ask(made.p2p))).toBe('done');
    await room.close();
    // Without the view nothing was imported.
    const blind = await openRoom({ keys });
    expect(await blind.refusal(restToCryptoTlsKey, ask(made.p2p))).toBe('CRYPTO_KEY_NOT_FOUND');
    await blind.close();
  });
});

test('gateway and REST have keys and certificates of their own, and neither opens what was sealed for the other', async () => {
  const room = await openRoom({ keys: await memoryKeys() });
  const own = await generateX25519();
  const body = { ephemeralPublicKey: toBase64url(own.publicKey), wanted: { type: 'own' as const, hostNames: ['localhost'] } };
  const [p2p, rest] = [await room.value(gatewayToCryptoTlsKey, body), await room.value(restToCryptoTlsKey, body)];
  const keyOf = async (sealed: typeof p2p.sealed, topic: string) => toHex(await openSealed(own.privateKey, sealed, topic));
  expect(await keyOf(rest.sealed, restToCryptoTlsKey.topic)).not.toBe(await keyOf(p2p.sealed, gatewayToCryptoTlsKey.topic));
  await expect(keyOf(rest.sealed, gatewayToCryptoTlsKey.topic)).rejects.toMatchObject({ code: 'CIPHER_OPEN_FAILED' });
  expect(rest.certificateChainPem).not.toBe(p2p.certificateChainPem);
  const told = room.effects.map((record) => (JSON.parse(record.value) as { body: { usage: string; alias: string } }).body);
  expect(told).toMatchObject([{ usage: 'p2p-tls', alias: 'p2p-tls-cert' }, { usage: 'rest-tls', alias: 'rest-tls-cert' }]);
  await room.close();
});

test('the certificate is what the design says', async () => {
  const room = await openRoom({ keys: await memoryKeys() });
  const { certificate, key } = await tlsKeyFor(room, 'gateway.example', '10.0.0.1', '::1');
  const x509 = new X509Certificate(certificate);
  const keyId = keyIdOf(new Uint8Array(x509.publicKey.export({ format: 'der', type: 'spki' })));
  expect(x509.subject).toBe(`C=GB\nL=London\nO=Cordage\nOU=${keyId}\nCN=gateway.example`);
  expect(x509.subjectAltName).toBe('DNS:gateway.example, IP Address:10.0.0.1, IP Address:0:0:0:0:0:0:0:1');
  const constraints = new ParsedCertificate(certificate).getExtension(BasicConstraintsExtension);
  expect(constraints).toMatchObject({ ca: false, critical: true });
  expect(x509.keyUsage).toEqual(['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2']);
  expect(x509.verify(x509.publicKey)).toBe(true);
  expect(x509.checkPrivateKey(createPrivateKey(key))).toBe(true);
  expect(Date.parse(x509.validTo)).toBe(Date.UTC(2027, 0, 1));
  expect(Date.parse(x509.validFrom)).toBe(Date.UTC(2025, 11, 31, 23));
  await room.close();
});

/** One HTTPS request; gives the body or the error's code. */
const get = async (port: number, host: string, options: object): Promise<string> => {
  const sent = request({ host, port, path: '/', agent: false, minVersion: 'TLSv1.3', ...options }).end();
  try {
    const [response] = await once(sent, 'response');
    const chunks: Buffer[] = [];
    for await (const chunk of response) chunks.push(chunk as Buffer);
    return Buffer.concat(chunks).toString();
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error);
  }
};

const serve = async (options: ServerOptions) => {
  const https = createServer({ minVersion: 'TLSv1.3', ...options }, (_request, response) => response.end('hello'));
  https.on('tlsClientError', () => {});
  await once(https.listen(0, '127.0.0.1'), 'listening');
  return { port: (https.address() as AddressInfo).port, close: () => https.close() };
};

test('TLS 1.3 works with it: one way and mutual, for the hosts it names and no others', async () => {
  const room = await openRoom({ keys: await memoryKeys(), now: Date.now });
  const stranger = await openRoom({ keys: await memoryKeys(), now: Date.now });
  const own = await tlsKeyFor(room, 'localhost', '127.0.0.1');
  const foreign = await tlsKeyFor(stranger, 'localhost');
  const credentials = { cert: own.certificate, key: own.key };
  const oneWay = await serve(credentials);
  expect(await get(oneWay.port, '127.0.0.1', { ca: own.certificate })).toBe('hello');
  expect(await get(oneWay.port, '127.0.0.1', { ca: own.certificate, servername: 'localhost' })).toBe('hello');
  expect(await get(oneWay.port, '127.0.0.1', { ca: own.certificate, servername: 'other.example' })).toBe('ERR_TLS_CERT_ALTNAME_INVALID');
  expect(await get(oneWay.port, '127.0.0.1', { ca: foreign.certificate })).toBe('DEPTH_ZERO_SELF_SIGNED_CERT');
  // Certificates of two clusters on one host, in either order: neither hides the other.
  expect(await get(oneWay.port, '127.0.0.1', { ca: [foreign.certificate, own.certificate] })).toBe('hello');
  expect(await get(oneWay.port, '127.0.0.1', { ca: [own.certificate, foreign.certificate] })).toBe('hello');
  const mutual = await serve({ ...credentials, ca: own.certificate, requestCert: true, rejectUnauthorized: true });
  expect(await get(mutual.port, '127.0.0.1', { ca: own.certificate, ...credentials })).toBe('hello');
  expect(await get(mutual.port, '127.0.0.1', { ca: own.certificate, cert: foreign.certificate, key: foreign.key })).not.toBe('hello');
  oneWay.close();
  mutual.close();
  await Promise.all([room.close(), stranger.close()]);
});

test('host names that are none, and ephemeral keys that are none, are refused', async () => {
  const room = await openRoom({ keys: await memoryKeys() });
  const { publicKey } = await generateX25519();
  const ask = (hostName: string, key: Uint8Array = publicKey) => room.refusal(gatewayToCryptoTlsKey, { ephemeralPublicKey: toBase64url(key), wanted: { type: 'own', hostNames: [hostName] } });
  for (const bad of ['a b', '*', 'a..b', '-a.example', '1.2.3', '256.1.1.1', ':::', 'a,CN=b', 'a\u0000b']) expect(await ask(bad), bad).toBe('CRYPTO_HOST_NAME');
  expect(await ask('localhost', new Uint8Array(32))).toBe('CRYPTO_EPHEMERAL_KEY');
  await room.close();
});

test('a host has one spelling, whatever is asked', () => {
  expect(normalHost('Gateway.Example.')).toBe('gateway.example');
  expect(normalHost('0:0:0:0:0:0:0:1')).toBe('::1');
  fc.assert(
    fc.property(fc.oneof(fc.domain(), fc.ipV4(), fc.ipV6(), fc.string()), (text) => {
      const host = normalHost(text);
      if (host !== undefined) expect(normalHost(host)).toBe(host);
    }),
  );
  fc.assert(fc.property(fc.ipV4(), (ip) => void expect(normalHost(ip)).toBe(ip)));
  fc.assert(fc.property(fc.ipV6(), (ip) => void expect(normalHost(ip)).toBeDefined()));
  fc.assert(fc.property(fc.domain(), (domain) => void expect(normalHost(domain)).toBe(domain.toLowerCase())));
});
