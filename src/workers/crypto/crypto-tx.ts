/**
 * What the crypto room's handlers write with: keys and what belongs to them, over one open transaction. `postgres-keys.ts`
 * implements it for real, `memory-keys.ts` for simulation; one contract suite runs against both.
 *
 * Whatever two workers may add at once is added where it is not there yet, and read again after.
 */
import type { KeyOrder, PublicKeyInfo } from '../../messages/all-to-crypto.key.ts';

export type Category = PublicKeyInfo['category'];
export type KeyScheme = PublicKeyInfo['scheme'];

/** A tenant's right to make keys of a category, by the one HSM there is. */
export type Association = {
  readonly tenant: string;
  readonly category: Category;
  readonly id: string;
  readonly wrappingAlias: string;
  /** Milliseconds since the epoch, as all times here. */
  readonly createdAt: number;
};

/** A tenant's wrapping key, sealed by the root key named `parent`. */
export type WrappedWrappingKey = {
  readonly tenant: string;
  readonly alias: string;
  /** Counts from 1; a rotation adds one. */
  readonly generation: number;
  readonly parent: string;
  readonly material: Uint8Array;
  readonly createdAt: number;
};

/** A key pair; `material` is its PKCS#8, sealed by the wrapping key it names. */
export type WrappedSigningKey = {
  readonly tenant: string;
  readonly id: string;
  readonly alias: string;
  readonly category: Category;
  readonly scheme: KeyScheme;
  /** SubjectPublicKeyInfo. */
  readonly publicKey: Uint8Array;
  readonly wrappingAlias: string;
  readonly wrappingGeneration: number;
  readonly material: Uint8Array;
  readonly createdAt: number;
};

export type Certificate = {
  readonly alias: string;
  /** Counts from 1. */
  readonly generation: number;
  /** A key of `p2p`. */
  readonly keyId: string;
  readonly hostNames: readonly string[];
  readonly notAfter: number;
  readonly pem: string;
  readonly createdAt: number;
};

export type KeyRef = { readonly tenant: string; readonly id: string };
export type AliasRef = { readonly tenant: string; readonly alias: string };

/** Names one wrapping key. */
export type WrappingRef = { readonly tenant: string; readonly alias: string; readonly generation: number };

/** What is rotated, and how far: of `master` by tenant, else by alias of the wrapping key. */
export type RotationPart = { readonly name: string; readonly total: number; readonly rotated: number };

export type Rotation = {
  /** `master` for the root key. */
  readonly tenant: string;
  readonly requestId: string;
  /** The root key that what is sealed anew is sealed by. */
  readonly root: string;
  readonly initiatedAt: number;
  readonly updatedAt: number;
  readonly finishedAt: number | undefined;
  readonly parts: readonly RotationPart[];
};

/** A change of a row that is made only where the row is as it was read. */
export type RotationRepository = {
  find(tenant: string): Promise<Rotation | undefined>;
  /** In place of the tenant's last one; false where that is under way. */
  begin(rotation: Rotation): Promise<boolean>;
  /** The first parts that have keys left, by name. */
  openParts(tenant: string, countMax: number): Promise<readonly RotationPart[]>;
  /** Notes how far these parts are; `finishedAt` where nothing is left. */
  note(tenant: string, parts: readonly RotationPart[], updatedAt: number, finishedAt: number | undefined): Promise<void>;
  /** Every tenant that has a place. */
  tenants(): Promise<readonly string[]>;
  rewrapWrappingKeys(keys: readonly (WrappedWrappingKey & { readonly parentBefore: string })[]): Promise<void>;
  /** Private keys sealed by generations before this one: their count, and the first of them. */
  keysBefore(ref: WrappingRef, countMax: number): Promise<{ readonly count: number; readonly first: readonly WrappedSigningKey[] }>;
  rewrapSigningKeys(keys: readonly (WrappedSigningKey & { readonly generationBefore: number })[]): Promise<void>;
  /** Removes the generations before this one; false where a private key is still sealed by one of them. */
  dropBefore(ref: WrappingRef): Promise<boolean>;
};

/** Keys that fit all that is given. */
export type KeyFilter = {
  readonly tenant: string;
  readonly ids?: readonly string[] | undefined;
  readonly alias?: string | undefined;
  readonly category?: Category | undefined;
  readonly scheme?: KeyScheme | undefined;
  readonly wrappingAlias?: string | undefined;
  /** Both inclusive. */
  readonly createdFrom?: number | undefined;
  readonly createdTo?: number | undefined;
  /** Default: oldest first. Equal ones stand oldest first, then by alias. */
  readonly order?: KeyOrder | undefined;
  readonly skip?: number | undefined;
  readonly countMax: number;
};

export type CryptoTx = {
  readonly associations: {
    find(tenants: readonly string[]): Promise<readonly Association[]>;
    /** Makes the tenant's place where it has none. */
    add(associations: readonly Association[]): Promise<void>;
  };
  readonly wrappingKeys: {
    /** Every generation. */
    find(tenants: readonly string[]): Promise<readonly WrappedWrappingKey[]>;
    /** Makes the tenant's place where it has none. */
    add(keys: readonly WrappedWrappingKey[]): Promise<void>;
    /** Keeps them from being removed until this transaction ends; false where one is gone already. */
    hold(refs: readonly WrappingRef[]): Promise<boolean>;
  };
  readonly signingKeys: {
    findByIds(refs: readonly KeyRef[]): Promise<readonly WrappedSigningKey[]>;
    findByAliases(refs: readonly AliasRef[]): Promise<readonly WrappedSigningKey[]>;
    list(filter: KeyFilter): Promise<readonly WrappedSigningKey[]>;
    /** Adds those whose id and alias are free; the tenant must have its place. */
    add(keys: readonly WrappedSigningKey[]): Promise<void>;
  };
  readonly rotation: RotationRepository;
  readonly certificates: {
    /** The latest generation. */
    newest(alias: string): Promise<Certificate | undefined>;
    add(certificate: Certificate): Promise<void>;
  };
};
