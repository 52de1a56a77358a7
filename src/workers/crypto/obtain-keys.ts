/** HSM associations and key pairs: found where they are, made where they are not; a whole batch in a few round trips. */
import { deriveId } from '../../identity/derive.ts';
import type { Aead } from '../../cipher/aead.ts';
import type { Chance } from '../../cipher/bytes.ts';
import { Secret } from '../../cipher/secret.ts';
import { generateKeyPair, keyIdOf } from '../../cipher/signature.ts';
import type { Outcome, Refusal } from '../../messages/grammar/envelope.ts';
import { rsaKeysPerBatchMax } from './config.ts';
import { CryptoError } from './crypto-error.ts';
import type { Association, Category, CryptoTx, KeyScheme, WrappedSigningKey, WrappingRef } from './crypto-tx.ts';
import type { KeyRing } from './key-ring.ts';
import { allEnded } from './lease-cache.ts';
import { makeWrappingKey, sealPrivateKey, type RootKeys } from './root-key.ts';

export type KeyMaking = { readonly roots: RootKeys; readonly ring: KeyRing; readonly chance: Chance };

export type WantedAssociation = { readonly tenant: string; readonly category: Category };
export type WantedKey = WantedAssociation & {
  readonly alias: string;
  readonly scheme: KeyScheme;
  /** The alias must be free; otherwise a key that fits is what was wanted. */
  readonly isNew?: boolean | undefined;
};

const associationName = ({ tenant, category }: WantedAssociation): string => `${tenant}/${category}`;
const aliasName = ({ tenant, alias }: { readonly tenant: string; readonly alias: string }): string => `${tenant}/${alias}`;
const distinct = (texts: readonly string[]): string[] => [...new Set(texts)];
const byName = <Item>(items: readonly Item[], nameOf: (item: Item) => string): Map<string, Item> => new Map(items.map((item) => [nameOf(item), item]));

// ── Associations ─────────────────────────────────────────────────────────────────────────────────────────────────────

/** A tenant has one wrapping key, so its alias follows from the tenant; the wire shows it as the master key's. */
const wrappingAliasOf = (tenant: string): string => deriveId('wrapping-key', tenant).replaceAll('-', '').slice(0, 12);

const addWrappingKeys = async ({ roots, chance }: KeyMaking, tx: CryptoTx, tenants: readonly string[], now: number): Promise<void> => {
  const existing = new Set((await tx.wrappingKeys.find(tenants)).map(({ tenant }) => tenant));
  const bare = tenants.filter((tenant) => !existing.has(tenant));
  if (bare.length === 0) return;
  const made = await Promise.all(bare.map((tenant) => makeWrappingKey(roots, { tenant, alias: wrappingAliasOf(tenant), generation: 1 }, chance, now)));
  await tx.wrappingKeys.add(made);
};

/** Idempotent: a tenant has one association of a category. Gives them in the order asked. */
export const obtainAssociations = async (making: KeyMaking, tx: CryptoTx, wanted: readonly WantedAssociation[], now: number): Promise<readonly Association[]> => {
  const tenants = distinct(wanted.map(({ tenant }) => tenant)).sort();
  let found = byName(await tx.associations.find(tenants), associationName);
  const missing = [...byName(wanted, associationName).values()].filter((one) => !found.has(associationName(one)));
  if (missing.length > 0) {
    await addWrappingKeys(making, tx, distinct(missing.map(({ tenant }) => tenant)).sort(), now);
    const added = missing.map(({ tenant, category }) => ({
      tenant,
      category,
      id: deriveId('hsm-association', tenant, category),
      wrappingAlias: wrappingAliasOf(tenant),
      createdAt: now,
    }));
    await tx.associations.add(added.toSorted((one, other) => (associationName(one) < associationName(other) ? -1 : 1)));
    found = byName(await tx.associations.find(tenants), associationName);
  }
  return wanted.map((one) => {
    const association = found.get(associationName(one));
    if (association === undefined) throw new CryptoError('CRYPTO_CONTENDED', `the association ${associationName(one)} was written and is not there`);
    return association;
  });
};

// ── Keys ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

const refused = (code: string, message: string): Refusal => ({ type: 'refused', code, message });

const unassigned = ({ tenant, category }: WantedKey): Refusal =>
  refused('CRYPTO_HSM_UNASSIGNED', `tenant ${tenant} has no HSM for ${category}; assign one first (POST /hsm/soft/${tenant}/${category})`);

const fit = (key: WrappedSigningKey, { alias, scheme, category }: WantedKey, isTaken: boolean): Outcome<WrappedSigningKey> =>
  key.scheme === scheme && key.category === category && !isTaken
    ? { type: 'done', value: key }
    : refused('CRYPTO_ALIAS_TAKEN', `alias ${alias} names key ${key.id} of ${key.scheme} in ${key.category}; choose another alias`);

type Wrapping = { readonly ref: WrappingRef; readonly aead: Aead };

const makeKey = async ({ tenant, alias, category, scheme }: WantedKey, { ref, aead }: Wrapping, chance: Chance, now: number): Promise<WrappedSigningKey> => {
  const { publicKey, privateKey } = await generateKeyPair(scheme, chance);
  const pkcs8 = new Secret(privateKey);
  const id = keyIdOf(publicKey);
  const material = await sealPrivateKey(aead, { tenant, id }, pkcs8, chance).finally(() => pkcs8.wipe());
  return { tenant, id, alias, category, scheme, publicKey, wrappingAlias: ref.alias, wrappingGeneration: ref.generation, material, createdAt: now };
};

/** Gives the ids of what it made, whether it was added or another worker was faster. */
const addKeys = async ({ ring, chance }: KeyMaking, tx: CryptoTx, missing: readonly WantedKey[], now: number): Promise<ReadonlySet<string>> => {
  const tenants = distinct(missing.map(({ tenant }) => tenant));
  const made = await ring.withWrappingKeys(tx, tenants, (wrappingOf) =>
    allEnded(
      missing.map(async (wanted) => {
        const wrapping = wrappingOf(wanted.tenant);
        if (wrapping === undefined) throw new CryptoError('CRYPTO_KEY_DAMAGED', `tenant ${wanted.tenant} has an HSM and no wrapping key`);
        return makeKey(wanted, wrapping, chance, now);
      }),
    ),
  );
  await tx.signingKeys.add(made);
  return new Set(made.map(({ id }) => id));
};

/** What is to be made: the first request of each free alias, in one order for all workers, so that two never wait for each other. */
const missingOf = (wanted: readonly WantedKey[], found: ReadonlyMap<string, WrappedSigningKey>): WantedKey[] => {
  const first = byName(wanted.toReversed(), aliasName);
  return [...first.values()].filter((one) => !found.has(aliasName(one))).sort((one, other) => (aliasName(one) < aliasName(other) ? -1 : 1));
};

/** Keeps a batch short: RSA keys beyond the bound are not made now. */
const withinBound = (missing: readonly WantedKey[]): WantedKey[] => {
  let rsaKeys = 0;
  return missing.filter(({ scheme }) => scheme !== 'CORDA.RSA' || ++rsaKeys <= rsaKeysPerBatchMax);
};

/** Idempotent by alias: an alias names one key of one scheme and category. Outcomes stand in the order asked. */
export const obtainKeys = async (making: KeyMaking, tx: CryptoTx, wanted: readonly WantedKey[], now: number): Promise<readonly Outcome<WrappedSigningKey>[]> => {
  const associations = byName(await tx.associations.find(distinct(wanted.map(({ tenant }) => tenant))), associationName);
  const allowed = wanted.filter((one) => associations.has(associationName(one)));
  const refs = [...byName(allowed, aliasName).values()];
  let found = byName(await tx.signingKeys.findByAliases(refs), aliasName);
  const missing = missingOf(allowed, found);
  const due = withinBound(missing);
  let madeIds: ReadonlySet<string> = new Set();
  if (due.length > 0) {
    madeIds = await addKeys(making, tx, due, now);
    found = byName(await tx.signingKeys.findByAliases(refs), aliasName);
  }
  const made = new Set(due.map(aliasName));
  // The one that made the key asked first; whoever else wants it new, in this batch or in another worker at once, comes too late.
  const makers = new Set(due);
  return wanted.map((one) => {
    if (!associations.has(associationName(one))) return unassigned(one);
    const key = found.get(aliasName(one));
    if (key !== undefined) return fit(key, one, one.isNew === true && !(makers.has(one) && madeIds.has(key.id)));
    if (!made.has(aliasName(one))) return refused('CRYPTO_BUSY', 'too many RSA keys are asked for at once; ask again with a new request');
    throw new CryptoError('CRYPTO_CONTENDED', `the new key of alias ${one.alias} of ${one.tenant} was not written: another has its short id`);
  });
};
