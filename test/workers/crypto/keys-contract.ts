/** What every repository of keys promises; run against PostgreSQL and memory. */
import { describe, expect, test } from 'vitest';
import type { KeyOrder } from '../../../src/messages/all-to-crypto.key.ts';
import type { Association, Certificate, CryptoTx, KeyFilter, WrappedSigningKey, WrappedWrappingKey } from '../../../src/workers/crypto/crypto-tx.ts';

export type Keys = { transact<Result>(work: (tx: CryptoTx) => Promise<Result>): Promise<Result> };

const alice = 'A11CE0000001';
const bob = 'B0B000000002';
const now = Date.UTC(2026, 0, 1);

export const wrapping = (tenant: string, generation = 1): WrappedWrappingKey => ({
  tenant,
  alias: `wrap${tenant.slice(-1)}`,
  generation,
  parent: 'root1',
  material: Uint8Array.of(0, 255, generation),
  createdAt: now,
});

export const association = (tenant: string, category: Association['category']): Association => ({
  tenant,
  category,
  id: `00000000-0000-8000-8000-${tenant === 'p2p' ? '000000000001' : tenant.toLowerCase()}`,
  wrappingAlias: wrapping(tenant).alias,
  createdAt: now,
});

export const signing = (tenant: string, id: string, more: Partial<WrappedSigningKey> = {}): WrappedSigningKey => ({
  tenant,
  id,
  alias: `alias-${id}`,
  category: 'LEDGER',
  scheme: 'CORDA.EDDSA.ED25519',
  publicKey: Uint8Array.of(1, 2, 3),
  wrappingAlias: wrapping(tenant).alias,
  wrappingGeneration: 1,
  material: Uint8Array.of(128, 0, 7),
  createdAt: now,
  ...more,
});

const certificate = (generation: number, more: Partial<Certificate> = {}): Certificate => ({
  alias: 'p2p-tls-cert',
  generation,
  keyId: '00000000000A',
  hostNames: ['gateway.example', '127.0.0.1'],
  notAfter: now + 1_000,
  pem: `pem ${generation}`,
  createdAt: now,
  ...more,
});

export const keysContract = (name: string, fresh: () => Promise<Keys>): void => {
  describe(`keys in ${name}`, () => {
    test('a tenant that nobody made has nothing, and asking is no error', async () => {
      const keys = await fresh();
      await keys.transact(async (tx) => {
        expect(await tx.associations.find([alice, bob])).toEqual([]);
        expect(await tx.wrappingKeys.find([alice])).toEqual([]);
        expect(await tx.signingKeys.findByIds([{ tenant: alice, id: '00000000000A' }])).toEqual([]);
        expect(await tx.signingKeys.findByAliases([{ tenant: alice, alias: 'x' }])).toEqual([]);
        expect(await tx.signingKeys.list({ tenant: alice, countMax: 10 })).toEqual([]);
        expect(await tx.certificates.newest('p2p-tls-cert')).toBeUndefined();
      });
    });

    test('what was added is found by later transactions, as it was added', async () => {
      const keys = await fresh();
      const added = [signing(alice, '00000000000A'), signing(bob, '00000000000B', { scheme: 'CORDA.RSA' }), signing('p2p', '00000000000C')];
      await keys.transact(async (tx) => {
        await tx.wrappingKeys.add([wrapping(alice), wrapping(bob), wrapping('p2p'), wrapping(alice, 2)]);
        await tx.associations.add([association(alice, 'LEDGER'), association(bob, 'LEDGER'), association('p2p', 'TLS')]);
        await tx.signingKeys.add(added);
      });
      await keys.transact(async (tx) => {
        expect(new Set(await tx.wrappingKeys.find([alice, bob]))).toEqual(new Set([wrapping(alice), wrapping(alice, 2), wrapping(bob)]));
        expect(await tx.associations.find(['p2p'])).toEqual([association('p2p', 'TLS')]);
        expect(new Set(await tx.signingKeys.findByIds(added))).toEqual(new Set(added));
        expect(new Set(await tx.signingKeys.findByAliases(added))).toEqual(new Set(added));
      });
    });

    test('a tenant’s keys are found under that tenant alone', async () => {
      const keys = await fresh();
      await keys.transact(async (tx) => {
        await tx.wrappingKeys.add([wrapping(alice), wrapping(bob)]);
        await tx.signingKeys.add([signing(alice, '00000000000A')]);
        expect(await tx.signingKeys.findByIds([{ tenant: bob, id: '00000000000A' }])).toEqual([]);
        expect(await tx.signingKeys.findByAliases([{ tenant: bob, alias: 'alias-00000000000A' }])).toEqual([]);
        expect(await tx.signingKeys.list({ tenant: bob, countMax: 10 })).toEqual([]);
      });
    });

    test('asking twice for one key gives it once', async () => {
      const keys = await fresh();
      await keys.transact(async (tx) => {
        await tx.wrappingKeys.add([wrapping(alice)]);
        const key = signing(alice, '00000000000A');
        await tx.signingKeys.add([key]);
        expect(await tx.signingKeys.findByIds([key, key])).toEqual([key]);
        expect(await tx.signingKeys.findByAliases([key, key])).toEqual([key]);
      });
    });

    test('what is there already stays as it is: associations, wrapping keys, ids, aliases, certificates', async () => {
      const keys = await fresh();
      await keys.transact(async (tx) => {
        await tx.wrappingKeys.add([wrapping(alice), wrapping('p2p')]);
        await tx.wrappingKeys.add([{ ...wrapping(alice), material: Uint8Array.of(9) }]);
        await tx.associations.add([association(alice, 'LEDGER')]);
        await tx.associations.add([{ ...association(alice, 'LEDGER'), createdAt: now + 1 }]);
        const key = signing(alice, '00000000000A');
        await tx.signingKeys.add([key]);
        await tx.signingKeys.add([signing(alice, '00000000000B', { alias: key.alias }), signing(alice, '00000000000A', { alias: 'other' }), signing(alice, '00000000000C')]);
        await tx.signingKeys.add([signing('p2p', '00000000000A')]);
        await tx.certificates.add(certificate(1));
        await tx.certificates.add(certificate(1, { pem: 'another' }));
      });
      await keys.transact(async (tx) => {
        expect(await tx.wrappingKeys.find([alice])).toEqual([wrapping(alice)]);
        expect(await tx.associations.find([alice])).toEqual([association(alice, 'LEDGER')]);
        expect(await tx.signingKeys.list({ tenant: alice, countMax: 10 })).toEqual([signing(alice, '00000000000A'), signing(alice, '00000000000C')]);
        expect(await tx.certificates.newest('p2p-tls-cert')).toEqual(certificate(1));
      });
    });

    test('a list is oldest first, then by alias, of one category where that is asked, and bounded', async () => {
      const keys = await fresh();
      await keys.transact(async (tx) => {
        await tx.wrappingKeys.add([wrapping(alice)]);
        await tx.signingKeys.add([
          signing(alice, '00000000000A', { createdAt: now + 2 }),
          signing(alice, '00000000000B', { alias: 'b' }),
          signing(alice, '00000000000C', { alias: 'Z', category: 'TLS' }),
        ]);
        const ids = async (filter: { category?: 'TLS'; countMax: number }) => (await tx.signingKeys.list({ tenant: alice, ...filter })).map(({ id }) => id);
        expect(await ids({ countMax: 10 })).toEqual(['00000000000C', '00000000000B', '00000000000A']);
        expect(await ids({ countMax: 1 })).toEqual(['00000000000C']);
        expect(await ids({ category: 'TLS', countMax: 10 })).toEqual(['00000000000C']);
      });
    });

    test('a list is filtered, ordered and paged by what every key has', async () => {
      const keys = await fresh();
      await keys.transact(async (tx) => {
        await tx.wrappingKeys.add([wrapping(alice), { ...wrapping(alice), alias: 'another' }]);
        await tx.signingKeys.add([
          signing(alice, '00000000000A', { alias: 'b', createdAt: now + 2 }),
          signing(alice, '00000000000B', { alias: 'Z', createdAt: now, scheme: 'CORDA.RSA' }),
          signing(alice, '00000000000C', { alias: 'a', createdAt: now + 1, category: 'TLS', wrappingAlias: 'another' }),
        ]);
        const ids = async (filter: Omit<KeyFilter, 'tenant' | 'countMax'>, countMax = 10) => (await tx.signingKeys.list({ tenant: alice, countMax, ...filter })).map(({ id }) => id.slice(-1)).join('');
        const by = (name: KeyOrder['by'], descending = false) => ({ order: { by: name, descending } });
        expect([await ids(by('age')), await ids(by('age', true))]).toEqual(['BCA', 'ACB']);
        expect([await ids(by('alias')), await ids(by('id', true)), await ids(by('category', true))]).toEqual(['BCA', 'CBA', 'CBA']);
        expect([await ids(by('scheme', true)), await ids(by('masterKeyAlias'))]).toEqual(['BCA', 'CBA']);
        expect([await ids({ skip: 1 }, 1), await ids({ skip: 3 })]).toEqual(['C', '']);
        expect([await ids({ scheme: 'CORDA.RSA' }), await ids({ wrappingAlias: 'another' }), await ids({ alias: 'b' })]).toEqual(['B', 'C', 'A']);
        expect([await ids({ createdFrom: now + 1 }), await ids({ createdTo: now + 1 }), await ids({ createdFrom: now + 1, createdTo: now + 1 })]).toEqual(['CA', 'BC', 'C']);
        expect([await ids({ ids: ['00000000000A', '00000000000F'] }), await ids({ ids: [] })]).toEqual(['A', '']);
      });
    });

    test('the newest certificate is the one of the highest generation', async () => {
      const keys = await fresh();
      await keys.transact(async (tx) => {
        await tx.wrappingKeys.add([wrapping('p2p')]);
        await tx.signingKeys.add([signing('p2p', '00000000000A')]);
        await tx.certificates.add(certificate(2));
        await tx.certificates.add(certificate(1));
        expect(await tx.certificates.newest('p2p-tls-cert')).toEqual(certificate(2));
        expect(await tx.certificates.newest('other')).toBeUndefined();
      });
    });

    test('a transaction that throws leaves nothing, the tenant’s place included', async () => {
      const keys = await fresh();
      const work = keys.transact(async (tx) => {
        await tx.wrappingKeys.add([wrapping(alice)]);
        await tx.signingKeys.add([signing(alice, '00000000000A')]);
        throw new Error('stop');
      });
      await expect(work).rejects.toThrow('stop');
      await keys.transact(async (tx) => {
        expect(await tx.wrappingKeys.find([alice])).toEqual([]);
        expect(await tx.signingKeys.list({ tenant: alice, countMax: 10 })).toEqual([]);
      });
    });

    test('many tenants at once: more than share a round trip', async () => {
      const keys = await fresh();
      const tenants = Array.from({ length: 45 }, (_, i) => i.toString(16).toUpperCase().padStart(12, '0'));
      await keys.transact(async (tx) => {
        await tx.wrappingKeys.add(tenants.map((tenant) => wrapping(tenant)));
        await tx.signingKeys.add(tenants.map((tenant) => signing(tenant, tenant)));
      });
      const found = await keys.transact((tx) => tx.signingKeys.findByIds(tenants.map((tenant) => ({ tenant, id: tenant }))));
      expect(new Set(found)).toEqual(new Set(tenants.map((tenant) => signing(tenant, tenant))));
    });
  });
};
