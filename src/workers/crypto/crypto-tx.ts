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
  };
  readonly signingKeys: {
    findByIds(refs: readonly KeyRef[]): Promise<readonly WrappedSigningKey[]>;
    findByAliases(refs: readonly AliasRef[]): Promise<readonly WrappedSigningKey[]>;
    list(filter: KeyFilter): Promise<readonly WrappedSigningKey[]>;
    /** Adds those whose id and alias are free; the tenant must have its place. */
    add(keys: readonly WrappedSigningKey[]): Promise<void>;
  };
  readonly certificates: {
    /** The latest generation. */
    newest(alias: string): Promise<Certificate | undefined>;
    add(certificate: Certificate): Promise<void>;
  };
};
