/** Keys in memory, for simulation and tests: the same contract as PostgreSQL's. Rows are values, so a copy of the maps undoes. */
import type { KeyOrder } from '../../messages/all-to-crypto.key.ts';
import type { Association, Certificate, CryptoTx, KeyFilter, Rotation, WrappedSigningKey, WrappedWrappingKey } from './crypto-tx.ts';
import { memoryRotationOver, wrappingNameOf } from './memory-rotation.ts';

type Tables = {
  associations: Map<string, Association>;
  wrappingKeys: Map<string, WrappedWrappingKey>;
  /** By tenant and id. */
  signingKeys: Map<string, WrappedSigningKey>;
  certificates: Map<string, Certificate>;
  rotations: Map<string, Rotation>;
};

export type MemoryKeys = {
  /** For `createMemoryAnswerStore(makeTx, rollback)`, which runs one transaction at a time. */
  makeTx(): CryptoTx;
  rollback(tx: CryptoTx): void;
};

const copyOf = (tables: Tables): Tables => ({
  associations: new Map(tables.associations),
  wrappingKeys: new Map(tables.wrappingKeys),
  signingKeys: new Map(tables.signingKeys),
  certificates: new Map(tables.certificates),
  rotations: new Map(tables.rotations),
});

const addNew = <Row>(table: Map<string, Row>, name: string, row: Row): void => {
  if (!table.has(name)) table.set(name, row);
};

const among =
  (tenants: readonly string[]) =>
  ({ tenant }: { readonly tenant: string }): boolean =>
    tenants.includes(tenant);

const compare = (one: string | number, other: string | number): number => (one === other ? 0 : one < other ? -1 : 1);

const orderings: Readonly<Record<KeyOrder['by'], (key: WrappedSigningKey) => string | number>> = {
  age: ({ createdAt }) => createdAt,
  id: ({ id }) => id,
  alias: ({ alias }) => alias,
  category: ({ category }) => category,
  scheme: ({ scheme }) => scheme,
  masterKeyAlias: ({ wrappingAlias }) => wrappingAlias,
};

const inOrder =
  ({ by, descending }: KeyOrder) =>
  (one: WrappedSigningKey, other: WrappedSigningKey): number =>
    compare(orderings[by](one), orderings[by](other)) * (descending ? -1 : 1) || one.createdAt - other.createdAt || compare(one.alias, other.alias);

const fits = (key: WrappedSigningKey, { tenant, ids, alias, category, scheme, wrappingAlias, createdFrom = -Infinity, createdTo = Infinity }: KeyFilter): boolean =>
  key.tenant === tenant &&
  (ids === undefined || ids.includes(key.id)) &&
  (alias === undefined || key.alias === alias) &&
  (category === undefined || key.category === category) &&
  (scheme === undefined || key.scheme === scheme) &&
  (wrappingAlias === undefined || key.wrappingAlias === wrappingAlias) &&
  key.createdAt >= createdFrom &&
  key.createdAt <= createdTo;

const signingKeysOver = (table: Map<string, WrappedSigningKey>): CryptoTx['signingKeys'] => {
  const withAlias = (tenant: string, alias: string): WrappedSigningKey[] => [...table.values()].filter((key) => key.tenant === tenant && key.alias === alias);
  const distinct = (keys: readonly WrappedSigningKey[]): WrappedSigningKey[] => [...new Set(keys)];
  return {
    findByIds: async (refs) => distinct(refs.flatMap(({ tenant, id }) => table.get(`${tenant}/${id}`) ?? [])),
    findByAliases: async (refs) => distinct(refs.flatMap(({ tenant, alias }) => withAlias(tenant, alias))),
    list: async ({ order = { by: 'age', descending: false }, skip = 0, countMax, ...filter }) =>
      [...table.values()].filter((key) => fits(key, { ...filter, countMax })).sort(inOrder(order)).slice(skip, skip + countMax),
    add: async (keys) => {
      for (const key of keys) if (withAlias(key.tenant, key.alias).length === 0) addNew(table, `${key.tenant}/${key.id}`, key);
    },
  };
};

const txOver = ({ associations, wrappingKeys, signingKeys, certificates, rotations }: Tables): CryptoTx => ({
  associations: {
    find: async (tenants) => [...associations.values()].filter(among(tenants)),
    add: async (rows) => {
      for (const row of rows) addNew(associations, `${row.tenant}/${row.category}`, row);
    },
  },
  wrappingKeys: {
    find: async (tenants) => [...wrappingKeys.values()].filter(among(tenants)),
    add: async (rows) => {
      for (const row of rows) addNew(wrappingKeys, wrappingNameOf(row), row);
    },
    // One transaction runs at a time: nothing is removed meanwhile.
    hold: async (refs) => refs.every((ref) => wrappingKeys.has(wrappingNameOf(ref))),
  },
  signingKeys: signingKeysOver(signingKeys),
  rotation: memoryRotationOver({ wrappingKeys, signingKeys, rotations }),
  certificates: {
    newest: async (alias) => [...certificates.values()].filter((row) => row.alias === alias).sort((one, other) => other.generation - one.generation)[0],
    add: async (row) => addNew(certificates, `${row.alias}/${row.generation}`, row),
  },
});

export const createMemoryKeys = (): MemoryKeys => {
  let tables: Tables = { associations: new Map(), wrappingKeys: new Map(), signingKeys: new Map(), certificates: new Map(), rotations: new Map() };
  const before = new WeakMap<CryptoTx, Tables>();
  return {
    makeTx: () => {
      const tx = txOver(tables);
      before.set(tx, copyOf(tables));
      return tx;
    },
    rollback: (tx) => {
      tables = before.get(tx) ?? tables;
    },
  };
};
