import 'reflect-metadata';
import * as x509 from '@peculiar/x509';
import { describe, expect, test } from 'vitest';
import { concat, toBase64url } from '../../../src/cipher/bytes.ts';
import { encodePem } from '../../../src/cipher/pem.ts';
import { checkCertificates } from '../../../src/workers/link-manager/session/certificates.ts';
import { alice, bob, groupId, hostedOf, type Party } from './cluster-fixture.ts';
import { createWorld, deliveredTo, type World } from './two-clusters.ts';

const now = 1_000_000;
const dayMs = 24 * 3_600_000;
const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const { digitalSignature, keyCertSign, keyEncipherment } = x509.KeyUsageFlags;

type Authority = { readonly name: string; readonly keys: CryptoKeyPair; readonly pem: string };

const pemOf = (certificate: x509.X509Certificate): string => encodePem('CERTIFICATE', new Uint8Array(certificate.rawData));

const authority = async (name: string, issuer?: Authority): Promise<Authority> => {
  const keys = await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const certificate = await x509.X509CertificateGenerator.create({
    subject: name, issuer: issuer?.name ?? name, publicKey: keys.publicKey, signingKey: (issuer ?? { keys }).keys.privateKey, signingAlgorithm: algorithm,
    notBefore: new Date(now - dayMs), notAfter: new Date(now + 3_650 * dayMs),
    extensions: [new x509.BasicConstraintsExtension(true, undefined, true), new x509.KeyUsagesExtension(keyCertSign, true)],
  });
  return { name, keys, pem: pemOf(certificate) };
};

const root = await authority('CN=Root');
const middle = await authority('CN=Middle', root);
const stranger = await authority('CN=Stranger');

type Leaf = { readonly of?: Party; readonly keyOf?: Party; readonly name?: string; readonly usage?: number | null; readonly issuer?: Authority; readonly notAfter?: number; readonly notBefore?: number };

/** The chain of a session key's certificate, PEM. */
const chainOf = async ({ of = alice, keyOf = of, name = of.name, usage = digitalSignature, issuer = middle, notBefore = now - dayMs, notAfter = now + 1_000 * dayMs }: Leaf): Promise<string> => {
  const publicKey = await crypto.subtle.importKey('spki', concat(keyOf.keys.publicKey), { name: 'Ed25519' }, true, ['verify']);
  const certificate = await x509.X509CertificateGenerator.create({
    subject: name, issuer: issuer.name, publicKey, signingKey: issuer.keys.privateKey, signingAlgorithm: algorithm,
    notBefore: new Date(notBefore), notAfter: new Date(notAfter),
    extensions: usage === null ? [] : [new x509.KeyUsagesExtension(usage, true)],
  });
  return pemOf(certificate) + (issuer === middle ? middle.pem : '');
};

const check = async (leaf: Leaf, { trustRoots = [root.pem], at = now } = {}): Promise<string | undefined> => {
  const certificates = x509.PemConverter.decode(await chainOf(leaf)).map((der) => toBase64url(new Uint8Array(der)));
  return checkCertificates({ certificates, publicKey: toBase64url(alice.keys.publicKey), x500Name: alice.name, trustRoots, now: at });
};

describe('the certificate of a session key', () => {
  test('is good when it names the member, holds its key, is for signatures, and leads to a trust root of the group', async () => {
    expect(await check({})).toBeUndefined();
    expect(await check({ issuer: root })).toBeUndefined();
    expect(await check({ name: 'C=GB, O=Alice, L=London' })).toBeUndefined();
  });

  test.each<[string, Leaf, { trustRoots?: string[]; at?: number }, RegExp]>([
    ['of another key', { keyOf: bob }, {}, /not of the session key/],
    ['of another name', { name: bob.name }, {}, /does not name/],
    ['of the name and more', { name: `CN=Extra, ${alice.name}` }, {}, /does not name/],
    ['of the name with an attribute twice', { name: `${alice.name}, C=GB` }, {}, /does not name/],
    ['for other uses', { usage: keyEncipherment }, {}, /not for digital signatures/],
    ['that does not say what for', { usage: null }, {}, /not for digital signatures/],
    ['of an authority that the group does not trust', { issuer: stranger }, {}, /trust roots/],
    ['where the group trusts nobody', {}, { trustRoots: [] }, /trust roots/],
    ['past its time', { notAfter: now - 1 }, {}, /expired/],
    ['before its time', { notBefore: now + 60_000 }, {}, /not valid before/],
  ])('is refused: %s', async (_name, leaf, options, reason) => {
    expect(await check(leaf, options)).toMatch(reason);
  });

  test('is refused when there is none, or when it is no certificate', async () => {
    const rest = { publicKey: toBase64url(alice.keys.publicKey), x500Name: alice.name, trustRoots: [root.pem], now };
    expect(await checkCertificates({ certificates: [], ...rest })).toMatch(/none came/);
    expect(await checkCertificates({ certificates: ['AAAA'], ...rest })).toMatch(/cannot be read/);
  });
});

const withPki = (world: World, chains: { readonly alice?: string; readonly bob?: string }, sides: readonly ('alice' | 'bob')[] = ['alice', 'bob']): World => {
  for (const side of sides) {
    const { views } = world[side].cluster;
    const parameters = views.groupParameters.map.get(groupId)!;
    views.groupParameters.map.set(groupId, { ...parameters, p2p: { ...parameters.p2p, sessionPki: 'Standard', sessionTrustRoots: [root.pem] } });
    const { party } = world[side];
    const sessionCertificates = chains[side];
    views.hostedIdentities.map.set(party.shortHash, { ...hostedOf(party), ...(sessionCertificates === undefined ? {} : { sessionCertificates }) });
  }
  return world;
};

describe('a group with session PKI', () => {
  test('comes to a session when both sides show good chains, which travel sealed', async () => {
    const world = withPki(createWorld({ seed: 70 }), { alice: await chainOf({ of: alice }), bob: await chainOf({ of: bob }) });
    world.send('alice', 'm');
    await world.run(1_000);
    world.send('bob', 'back');
    await world.run(1_000);
    expect([deliveredTo(world.bob), deliveredTo(world.alice)]).toEqual([['m'], ['back']]);
  });

  test.each(['alice', 'bob'] as const)('comes to none when the chain of %s is not good, and says why in the log of the other', async (bad) => {
    const chains = { alice: await chainOf({ of: alice }), bob: await chainOf({ of: bob }), [bad]: await chainOf({ of: bad === 'alice' ? alice : bob, issuer: stranger }) };
    const world = withPki(createWorld({ seed: 71 }), chains);
    world.send('alice', 'm', { ttlMs: 20_000 });
    await world.run(30_000);
    expect(deliveredTo(world.bob)).toEqual([]);
    expect(world.alice.received).toMatchObject([{ type: 'undelivered', messageId: 'm' }]);
    const other = bad === 'alice' ? world.bob : world.alice;
    expect(other.cluster.metrics.text()).toContain('reason="bad-certificate"');
  });

  test('lets messages wait while our own key has no certificate, and sends them when it has one', async () => {
    const chains = { alice: await chainOf({ of: alice }), bob: await chainOf({ of: bob }) };
    const world = withPki(createWorld({ seed: 72 }), { bob: chains.bob });
    world.send('alice', 'm');
    await world.run(5_000);
    expect(world.alice.packets).toEqual([]);
    withPki(world, chains, ['alice']);
    await world.run(60_000);
    expect(deliveredTo(world.bob)).toEqual(['m']);
  });

  test('does not speak with a side that takes it for one without', async () => {
    const world = withPki(createWorld({ seed: 73 }), { bob: await chainOf({ of: bob }) }, ['bob']);
    world.send('alice', 'm');
    await world.run(20_000);
    expect(deliveredTo(world.bob)).toEqual([]);
    expect(world.bob.cluster.metrics.text()).toContain('reason="bad-certificate"');
  });
});
