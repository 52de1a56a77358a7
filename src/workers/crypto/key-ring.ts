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
import { signersMax, unwrappedAgeMsMax, wrappingKeysMax } from './config.ts';
import { CryptoError } from './crypto-error.ts';
import type { Category, CryptoTx, KeyRef, KeyScheme, WrappedSigningKey, WrappedWrappingKey } from './crypto-tx.ts';
import { allEnded, createLeaseCache, type Lease, type LeaseCache, type Wipeable } from './lease-cache.ts';
import { openPrivateKey, openWrappingKey, type RootKey } from './root-key.ts';

/** An unwrapped key. Only a key that signs has a signer: X25519 keys agree. */
export type ReadyKey = Wipeable & {
  readonly scheme: KeyScheme;
  readonly category: Category;
  readonly publicKey: Uint8Array;
  readonly signer: Signer | undefined;
};

/** Names one wrapping key. */
export type WrappingRef = { readonly tenant: string; readonly alias: string; readonly generation: number };

export type KeyRing = {
  /** `work` gets those keys that exist; none is wiped before it ends. */
  withSigners<Result>(tx: CryptoTx, refs: readonly KeyRef[], work: (keyOf: (ref: KeyRef) => ReadyKey | undefined) => Promise<Result>): Promise<Result>;
  /** `work` gets the latest wrapping key of each tenant that has one. */
  withWrappingKeys<Result>(
    tx: CryptoTx,
    tenants: readonly string[],
    work: (keyOf: (tenant: string) => { readonly ref: WrappingRef; readonly aead: Aead } | undefined) => Promise<Result>,
  ): Promise<Result>;
  /** `work` gets the PKCS#8 of one key, which is wiped when it ends. */
  withPrivateKey<Result>(tx: CryptoTx, key: WrappedSigningKey, work: (pkcs8: Secret) => Promise<Result>): Promise<Result>;
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

export const createKeyRing = ({ root, clock }: { readonly root: RootKey; readonly clock: Clock }): KeyRing => {
  const signers = createLeaseCache<ReadyKey>({ countMax: signersMax, ageMsMax: unwrappedAgeMsMax, clock });
  const wrappingKeys = createLeaseCache<Aead>({ countMax: wrappingKeysMax, ageMsMax: unwrappedAgeMsMax, clock });

  /** Opens these wrapping keys and gives them by name. */
  const leaseWrappingKeys = async (rows: readonly WrappedWrappingKey[], keep: Keep): Promise<ReadonlyMap<string, Aead>> => {
    const opened = await allEnded(
      rows.map(async (row) => {
        const name = storedNameOf(row);
        const lease = wrappingKeys.lease(name) ?? wrappingKeys.put(name, await openWrappingKey(root, row));
        return [wrappingNameOf(row), keep(lease)] as const;
      }),
    );
    return new Map(opened);
  };

  const leaseSigners = async (tx: CryptoTx, refs: readonly KeyRef[], keep: Keep): Promise<ReadonlyMap<string, ReadyKey>> => {
    const { held, missing } = leaseHeld(signers, refs, nameOf, keep);
    if (missing.size === 0) return held;
    const rows = await tx.signingKeys.findByIds([...missing.values()]);
    const wrapping = await tx.wrappingKeys.find(distinct(rows.map(({ tenant }) => tenant)));
    const named = new Set(rows.map((row) => wrappingNameOf(wrappingRefOf(row))));
    const opened = await leaseWrappingKeys(wrapping.filter((row) => named.has(wrappingNameOf(row))), keep);
    await allEnded(
      rows.map(async (row) => {
        held.set(nameOf(row), keep(signers.put(nameOf(row), await readyKeyOf(wrappingKeyFor(opened, row), row))));
      }),
    );
    return held;
  };

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
        const opened = await leaseWrappingKeys([...latest.values()], keep);
        return work((tenant) => {
          const ref = latest.get(tenant);
          const aead = ref === undefined ? undefined : opened.get(wrappingNameOf(ref));
          return ref === undefined || aead === undefined ? undefined : { ref, aead };
        });
      }),
    withPrivateKey: (tx, key, work) =>
      leasing(async (keep) => {
        const name = wrappingNameOf(wrappingRefOf(key));
        const rows = await tx.wrappingKeys.find([key.tenant]);
        const opened = await leaseWrappingKeys(rows.filter((row) => wrappingNameOf(row) === name), keep);
        const pkcs8 = await openPrivateKey(wrappingKeyFor(opened, key), key);
        return work(pkcs8).finally(() => pkcs8.wipe());
      }),
    close: () => {
      signers.close();
      wrappingKeys.close();
    },
  };
};
