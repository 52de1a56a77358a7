/**
 * The unwrapped keys of this process: prepared, so that their bytes are gone; bounded in count and time; named by tenant and id, so
 * that one tenant never signs with another's key.
 */
import type { Clock } from '../../host/clock.ts';
import type { Aead } from '../../cipher/aead.ts';
import { toHex } from '../../cipher/bytes.ts';
import { sha256 } from '../../cipher/digest.ts';
import type { Secret } from '../../cipher/secret.ts';
import { defaultSpec, prepareSigner, type Signer } from '../../cipher/signature.ts';
import { keyRingLimits, type KeyRingLimits } from './config.ts';
import { CryptoError } from './crypto-error.ts';
import type { Category, CryptoTx, KeyRef, KeyScheme, WrappedSigningKey, WrappedWrappingKey, WrappingRef } from './crypto-tx.ts';
import { allEnded, createLeaseCache, type Lease, type LeaseCache, type Wipeable } from './lease-cache.ts';
import { openPrivateKey, openWrappingKey, type RootKeys } from './root-key.ts';

/** An unwrapped key. Only a key that signs has a signer: X25519 keys agree. */
export type ReadyKey = Wipeable & {
  readonly scheme: KeyScheme;
  readonly category: Category;
  readonly publicKey: Uint8Array;
  readonly signer: Signer | undefined;
};

export type KeyRing = {
  /** `work` gets those keys that exist; none is wiped before it ends. */
  withSigners<Result>(tx: CryptoTx, refs: readonly KeyRef[], work: (keyOf: (ref: KeyRef) => ReadyKey | undefined) => Promise<Result>): Promise<Result>;
  /** `work` gets the latest wrapping key of each tenant that has one; it is not removed before the transaction ends. */
  withWrappingKeys<Result>(
    tx: CryptoTx,
    tenants: readonly string[],
    work: (keyOf: (tenant: string) => { readonly ref: WrappingRef; readonly aead: Aead } | undefined) => Promise<Result>,
  ): Promise<Result>;
  /** `work` gets the PKCS#8 of one key, which is wiped when it ends. */
  withPrivateKey<Result>(tx: CryptoTx, key: WrappedSigningKey, work: (pkcs8: Secret) => Promise<Result>): Promise<Result>;
  /** As many times, one after another, with keys that share what they are opened by. */
  withPrivateKeys<Result>(tx: CryptoTx, keys: readonly WrappedSigningKey[], work: (key: WrappedSigningKey, pkcs8: Secret) => Promise<Result>): Promise<Result[]>;
  /** Wipes everything. */
  close(): void;
};

const nameOf = ({ tenant, id }: KeyRef): string => `${tenant}/${id}`;
const wrappingNameOf = ({ tenant, alias, generation }: WrappingRef): string => `${tenant}/${alias}/${generation}`;
/**
 * In memory a wrapping key is named by its sealed material too. Its alias follows from the tenant, so that one made in a transaction
 * which was rolled back has the name of the one made after; a key sealed by the former would open for nobody.
 */
const storedNameOf = (row: WrappedWrappingKey): string => `${wrappingNameOf(row)}/${toHex(sha256(row.material))}`;
const wrappingRefOf = (key: WrappedSigningKey): WrappingRef => ({ tenant: key.tenant, alias: key.wrappingAlias, generation: key.wrappingGeneration });
const distinct = (texts: readonly string[]): string[] => [...new Set(texts)];

/** Ends all leases that `work` took, however it ends. */
const leasing = async <Result>(work: (keep: Keep) => Promise<Result>): Promise<Result> => {
  const leases: Lease<unknown>[] = [];
  try {
    return await work((lease) => {
      leases.push(lease);
      return lease.value;
    });
  } finally {
    for (const lease of leases) lease.end();
  }
};
type Keep = <Value>(lease: Lease<Value>) => Value;

const readyKeyOf = async (wrapping: Aead, key: WrappedSigningKey): Promise<ReadyKey> => {
  const { scheme, category, publicKey } = key;
  if (defaultSpec(scheme) === undefined) return { scheme, category, publicKey, signer: undefined, wipe: () => {} };
  const pkcs8 = await openPrivateKey(wrapping, key);
  try {
    const signer = await prepareSigner(pkcs8.reveal());
    return { scheme, category, publicKey, signer, wipe: () => signer.wipe() };
  } finally {
    pkcs8.wipe();
  }
};

/** Leases what the cache holds of these, and says what it does not. */
const leaseHeld = <Ref, Value extends Wipeable>(cache: LeaseCache<Value>, refs: readonly Ref[], name: (ref: Ref) => string, keep: Keep) => {
  const held = new Map<string, Value>();
  const missing = new Map<string, Ref>();
  for (const [text, ref] of new Map(refs.map((one) => [name(one), one]))) {
    const lease = cache.lease(text);
    if (lease === undefined) missing.set(text, ref);
    else held.set(text, keep(lease));
  }
  return { held, missing };
};

const wrappingKeyFor = (opened: ReadonlyMap<string, Aead>, key: WrappedSigningKey): Aead => {
  const aead = opened.get(wrappingNameOf(wrappingRefOf(key)));
  if (aead === undefined) throw new CryptoError('CRYPTO_KEY_DAMAGED', `key ${key.id} of ${key.tenant} names a wrapping key that is not there`);
  return aead;
};

type LeaseWrappingKeys = (rows: readonly WrappedWrappingKey[], keep: Keep) => Promise<ReadonlyMap<string, Aead>>;

/**
 * Opens the wrapping keys that seal these rows. A rotation may seal a key anew and remove what sealed it before, between the reading of one
 * and of the other: whoever finds no wrapping key reads the row again.
 */
const openRows = async (leaseWrappingKeys: LeaseWrappingKeys, tx: CryptoTx, rows: readonly WrappedSigningKey[], keep: Keep): Promise<{ readonly row: WrappedSigningKey; readonly wrapping: Aead }[]> => {
  const readWrapping = (some: readonly WrappedSigningKey[]) => tx.wrappingKeys.find(distinct(some.map(({ tenant }) => tenant)));
  const isThere = (wrapping: readonly WrappedWrappingKey[], row: WrappedSigningKey): boolean => wrapping.some((one) => wrappingNameOf(one) === wrappingNameOf(wrappingRefOf(row)));
  let current = rows;
  let wrapping = await readWrapping(rows);
  const moved = rows.filter((row) => !isThere(wrapping, row));
  if (moved.length > 0) {
    const again = await tx.signingKeys.findByIds(moved);
    current = [...rows.filter((row) => !moved.includes(row)), ...again];
    wrapping = await readWrapping(current);
  }
  const named = new Set(current.map((row) => wrappingNameOf(wrappingRefOf(row))));
  const opened = await leaseWrappingKeys(wrapping.filter((row) => named.has(wrappingNameOf(row))), keep);
  return current.map((row) => ({ row, wrapping: wrappingKeyFor(opened, row) }));
};

export type KeyRingOptions = { readonly roots: RootKeys; readonly clock: Clock; readonly limits?: KeyRingLimits };

export const createKeyRing = ({ roots, clock, limits = keyRingLimits }: KeyRingOptions): KeyRing => {
  const signers = createLeaseCache<ReadyKey>({ countMax: () => limits.signersMax, ageMsMax: () => limits.unwrappedAgeMsMax, clock });
  const wrappingKeys = createLeaseCache<Aead>({ countMax: () => limits.wrappingKeysMax, ageMsMax: () => limits.unwrappedAgeMsMax, clock });

  /** Opens these wrapping keys and gives them by name. */
  const leaseWrappingKeys: LeaseWrappingKeys = async (rows, keep) => {
    const opened = await allEnded(
      rows.map(async (row) => {
        const name = storedNameOf(row);
        const lease = wrappingKeys.lease(name) ?? wrappingKeys.put(name, await openWrappingKey(roots, row));
        return [wrappingNameOf(row), keep(lease)] as const;
      }),
    );
    return new Map(opened);
  };

  const leaseSigners = async (tx: CryptoTx, refs: readonly KeyRef[], keep: Keep): Promise<ReadonlyMap<string, ReadyKey>> => {
    const { held, missing } = leaseHeld(signers, refs, nameOf, keep);
    if (missing.size === 0) return held;
    const rows = await tx.signingKeys.findByIds([...missing.values()]);
    const opened = await openRows(leaseWrappingKeys, tx, rows, keep);
    await allEnded(
      opened.map(async ({ row, wrapping }) => {
        held.set(nameOf(row), keep(signers.put(nameOf(row), await readyKeyOf(wrapping, row))));
      }),
    );
    return held;
  };

  /** The keys as they are now: a rotation may have moved one since it was read. One that is gone is left out. */
  const withPrivateKeys = <Result>(tx: CryptoTx, keys: readonly WrappedSigningKey[], work: (key: WrappedSigningKey, pkcs8: Secret) => Promise<Result>): Promise<Result[]> =>
    leasing(async (keep) => {
      const results: Result[] = [];
      for (const { row, wrapping } of await openRows(leaseWrappingKeys, tx, keys, keep)) {
        const pkcs8 = await openPrivateKey(wrapping, row);
        results.push(await work(row, pkcs8).finally(() => pkcs8.wipe()));
      }
      return results;
    });

  return {
    withSigners: (tx, refs, work) =>
      leasing(async (keep) => {
        const ready = await leaseSigners(tx, refs, keep);
        return work((ref) => ready.get(nameOf(ref)));
      }),
    withWrappingKeys: (tx, tenants, work) =>
      leasing(async (keep) => {
        const latest = new Map<string, WrappedWrappingKey>();
        for (const row of await tx.wrappingKeys.find(distinct(tenants))) {
          if (row.generation > (latest.get(row.tenant)?.generation ?? 0)) latest.set(row.tenant, row);
        }
        const refs = [...latest.values()];
        if (!(await tx.wrappingKeys.hold(refs))) throw new CryptoError('CRYPTO_CONTENDED', 'a rotation removed a wrapping key while a key was made; it is made anew');
        const opened = await leaseWrappingKeys(refs, keep);
        return work((tenant) => {
          const ref = latest.get(tenant);
          const aead = ref === undefined ? undefined : opened.get(wrappingNameOf(ref));
          return ref === undefined || aead === undefined ? undefined : { ref, aead };
        });
      }),
    withPrivateKey: async (tx, key, work) => {
      const [done] = await withPrivateKeys(tx, [key], async (_key, pkcs8) => ({ result: await work(pkcs8) }));
      if (done === undefined) throw new CryptoError('CRYPTO_KEY_DAMAGED', `key ${key.id} of ${key.tenant} is gone`);
      return done.result;
    },
    withPrivateKeys,
    close: () => {
      signers.close();
      wrappingKeys.close();
    },
  };
};
