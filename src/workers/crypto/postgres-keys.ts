/**
 * Keys in PostgreSQL: `wrapping_key (alias, generation, parent, material)`, `hsm_association (category, id, wrapping_alias)` and
 * `signing_key (id, alias unique, category, scheme, public_key, wrapping key, material)` in each tenant's schema, `crypto` for `p2p` and
 * `vnode_crypto_<id>` for a virtual node; `crypto.certificate`. See src/workers/db/migrations/0002-crypto.sql.
 *
 * Statements run as the tenant's own `dml` role and see its schema alone, so one text (and one prepared plan) serves every tenant, and
 * a statement for one cannot read another's keys. Those of several tenants share a round trip.
 */
import type postgres from 'postgres';
import { toHex } from '../../cipher/bytes.ts';
import { tenantsPerRoundTrip } from './config.ts';
import type { KeyOrder } from '../../messages/all-to-crypto.key.ts';
import type { Association, Certificate, CryptoTx, KeyFilter, WrappedSigningKey, WrappedWrappingKey } from './crypto-tx.ts';

/** Statements on one connection inside an open transaction. */
export type Sql = postgres.ISql<{}>;
type Rows<Row> = postgres.PendingQuery<(Row & postgres.Row)[]>;

/** The version of the sealed material that this code writes. */
const encodingVersion = 1;

const schemaOf = (tenant: string): string => (tenant === 'p2p' ? 'crypto' : `vnode_crypto_${tenant.toLowerCase()}`);
const distinct = (texts: readonly string[]): string[] => [...new Set(texts)];

// ── Tenants ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/** The roles of those tenants that have their place. */
const findRoles = async (sql: Sql, tenants: readonly string[]): Promise<ReadonlyMap<string, string>> => {
  const rows = await sql<{ schema_name: string; role_name: string }[]>`
    select nspname as schema_name, crypto.role_of(nspname, 'dml') as role_name from pg_catalog.pg_namespace
    where nspname = any(${tenants.map(schemaOf)}::text[])`;
  const roles = new Map(rows.map(({ schema_name, role_name }) => [schema_name, role_name]));
  return new Map(tenants.flatMap((tenant) => {
    const role = roles.get(schemaOf(tenant));
    return role === undefined ? [] : [[tenant, role]];
  }));
};

const createTenants = async (sql: Sql, tenants: readonly string[]): Promise<ReadonlyMap<string, string>> => {
  const found = await findRoles(sql, tenants);
  const missing = tenants.filter((tenant) => !found.has(tenant));
  if (missing.length === 0) return found;
  await sql`select crypto.create_tenant(tenant) from unnest(${missing}::text[]) as t (tenant)`;
  return findRoles(sql, tenants);
};

const enter = (sql: Sql, tenant: string, role: string) =>
  sql`select set_config('search_path', ${schemaOf(tenant)}, true), set_config('role', ${role}, true)`;

const leave = (sql: Sql) => sql`select set_config('role', 'none', true), set_config('search_path', 'pg_catalog', true)`;

/** Runs one statement for each tenant in its schema, as its role; the connection is then nobody's again. */
const inTenants = async <Row>(sql: Sql, roles: ReadonlyMap<string, string>, statementOf: (tenant: string) => Rows<Row>): Promise<{ tenant: string; row: Row }[]> => {
  const found: { tenant: string; row: Row }[] = [];
  const entries = [...roles];
  for (let from = 0; from < entries.length; from += tenantsPerRoundTrip) {
    const some = entries.slice(from, from + tenantsPerRoundTrip).map(([tenant, role]) => ({ tenant, entered: enter(sql, tenant, role), statement: statementOf(tenant) }));
    // All are sent ahead, in this order, on one connection: each statement runs as the role taken on just before it. `execute` sends
    // at once; a promise's own `then` would send later and out of order.
    const sent = [...some.flatMap(({ entered, statement }) => [entered, statement]), leave(sql)].map((query) => query.execute());
    await Promise.all(sent);
    for (const { tenant, statement } of some) for (const row of await statement) found.push({ tenant, row });
  }
  return found;
};

// ── Rows ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

type AssociationRow = { category: Association['category']; id: string; wrapping_alias: string; created_at: Date };
type WrappingKeyRow = { alias: string; generation: number; parent: string; material: Uint8Array; created_at: Date };
type SigningKeyRow = {
  id: string;
  alias: string;
  category: WrappedSigningKey['category'];
  scheme: WrappedSigningKey['scheme'];
  public_key: Uint8Array;
  wrapping_alias: string;
  wrapping_generation: number;
  material: Uint8Array;
  created_at: Date;
};
type CertificateRow = { alias: string; generation: number; key_id: string; host_names: string[]; not_after: Date; pem: string; created_at: Date };

const associationOf = (tenant: string, row: AssociationRow): Association => ({
  tenant,
  category: row.category,
  id: row.id,
  wrappingAlias: row.wrapping_alias,
  createdAt: row.created_at.getTime(),
});

const wrappingKeyOf = (tenant: string, { alias, generation, parent, material, created_at }: WrappingKeyRow): WrappedWrappingKey => ({
  tenant,
  alias,
  generation,
  parent,
  material: new Uint8Array(material),
  createdAt: created_at.getTime(),
});

const signingKeyOf = (tenant: string, row: SigningKeyRow): WrappedSigningKey => ({
  tenant,
  id: row.id,
  alias: row.alias,
  category: row.category,
  scheme: row.scheme,
  publicKey: new Uint8Array(row.public_key),
  wrappingAlias: row.wrapping_alias,
  wrappingGeneration: row.wrapping_generation,
  material: new Uint8Array(row.material),
  createdAt: row.created_at.getTime(),
});

const certificateOf = (row: CertificateRow): Certificate => ({
  alias: row.alias,
  generation: row.generation,
  keyId: row.key_id,
  hostNames: row.host_names,
  notAfter: row.not_after.getTime(),
  pem: row.pem,
  createdAt: row.created_at.getTime(),
});

/** As text: the driver takes an array of dates for a single one. */
const createdTexts = (rows: readonly { readonly createdAt: number }[]): string[] => rows.map(({ createdAt }) => new Date(createdAt).toISOString());

// ── Repositories ─────────────────────────────────────────────────────────────────────────────────────────────────────

const associationsOver = (sql: Sql): CryptoTx['associations'] => ({
  find: async (tenants) => {
    const roles = await findRoles(sql, distinct(tenants));
    const found = await inTenants<AssociationRow>(sql, roles, () => sql`select category, id, wrapping_alias, created_at from hsm_association`);
    return found.map(({ tenant, row }) => associationOf(tenant, row));
  },
  add: async (associations) => {
    const roles = await createTenants(sql, distinct(associations.map(({ tenant }) => tenant)));
    await inTenants(sql, roles, (tenant) => {
      const rows = associations.filter((one) => one.tenant === tenant);
      return sql`
        insert into hsm_association (category, id, wrapping_alias, created_at)
        select category, id, wrapping_alias, created_at::timestamptz
        from unnest(${rows.map(({ category }) => category)}::text[], ${rows.map(({ id }) => id)}::uuid[],
          ${rows.map(({ wrappingAlias }) => wrappingAlias)}::text[], ${createdTexts(rows)}::text[]) as r (category, id, wrapping_alias, created_at)
        on conflict do nothing`;
    });
  },
});

const wrappingKeysOver = (sql: Sql): CryptoTx['wrappingKeys'] => ({
  find: async (tenants) => {
    const roles = await findRoles(sql, distinct(tenants));
    const found = await inTenants<WrappingKeyRow>(sql, roles, () => sql`select alias, generation, parent, material, created_at from wrapping_key`);
    return found.map(({ tenant, row }) => wrappingKeyOf(tenant, row));
  },
  add: async (keys) => {
    const roles = await createTenants(sql, distinct(keys.map(({ tenant }) => tenant)));
    await inTenants(sql, roles, (tenant) => {
      const rows = keys.filter((one) => one.tenant === tenant);
      return sql`
        insert into wrapping_key (alias, generation, parent, encoding_version, material, created_at)
        select alias, generation, parent, ${encodingVersion}, decode(material, 'hex'), created_at::timestamptz
        from unnest(${rows.map(({ alias }) => alias)}::text[], ${rows.map(({ generation }) => generation)}::integer[],
          ${rows.map(({ parent }) => parent)}::text[], ${rows.map(({ material }) => toHex(material))}::text[], ${createdTexts(rows)}::text[])
          as r (alias, generation, parent, material, created_at)
        on conflict do nothing`;
    });
  },
});

const signingKeyColumns = (sql: Sql) => sql`id, alias, category, scheme, public_key, wrapping_alias, wrapping_generation, material, created_at`;

const orderColumns: Readonly<Record<KeyOrder['by'], string>> = { age: 'created_at', id: 'id', alias: 'alias', category: 'category', scheme: 'scheme', masterKeyAlias: 'wrapping_alias' };

const orderOf = (sql: Sql, { by, descending }: KeyOrder) => {
  // Code units, as JavaScript and Corda order them, whatever the database's collation.
  const collation = by === 'age' ? sql`` : sql`collate "C"`;
  return sql`order by ${sql(orderColumns[by])} ${collation} ${descending ? sql`desc` : sql`asc`}, created_at, alias collate "C"`;
};

const timeOf = (timestampMs: number | undefined): Date | null => (timestampMs === undefined ? null : new Date(timestampMs));

const selectKeys = (sql: Sql, { ids, alias, category, scheme, wrappingAlias, createdFrom, createdTo, order = { by: 'age', descending: false }, skip = 0, countMax }: KeyFilter): Rows<SigningKeyRow> =>
  sql`
    select ${signingKeyColumns(sql)} from signing_key
    where (${ids === undefined ? null : [...ids]}::text[] is null or id = any(${ids === undefined ? null : [...ids]}::text[]))
      and (${alias ?? null}::text is null or alias = ${alias ?? null})
      and (${category ?? null}::text is null or category = ${category ?? null})
      and (${scheme ?? null}::text is null or scheme = ${scheme ?? null})
      and (${wrappingAlias ?? null}::text is null or wrapping_alias = ${wrappingAlias ?? null})
      and (${timeOf(createdFrom)}::timestamptz is null or created_at >= ${timeOf(createdFrom)})
      and (${timeOf(createdTo)}::timestamptz is null or created_at <= ${timeOf(createdTo)})
    ${orderOf(sql, order)} limit ${countMax} offset ${skip}`;

const insertSigningKeys = (sql: Sql, rows: readonly WrappedSigningKey[]) => sql`
  insert into signing_key (id, alias, category, scheme, public_key, wrapping_alias, wrapping_generation, encoding_version, material, created_at)
  select id, alias, category, scheme, decode(public_key, 'hex'), wrapping_alias, wrapping_generation, ${encodingVersion}, decode(material, 'hex'), created_at::timestamptz
  from unnest(${rows.map(({ id }) => id)}::text[], ${rows.map(({ alias }) => alias)}::text[], ${rows.map(({ category }) => category)}::text[],
    ${rows.map(({ scheme }) => scheme)}::text[], ${rows.map(({ publicKey }) => toHex(publicKey))}::text[],
    ${rows.map(({ wrappingAlias }) => wrappingAlias)}::text[], ${rows.map(({ wrappingGeneration }) => wrappingGeneration)}::integer[],
    ${rows.map(({ material }) => toHex(material))}::text[], ${createdTexts(rows)}::text[])
    as r (id, alias, category, scheme, public_key, wrapping_alias, wrapping_generation, material, created_at)
  on conflict do nothing`;

const signingKeysOver = (sql: Sql): CryptoTx['signingKeys'] => {
  const columns = signingKeyColumns(sql);
  const read = async (tenants: readonly string[], statementOf: (tenant: string) => Rows<SigningKeyRow>): Promise<WrappedSigningKey[]> => {
    const roles = await findRoles(sql, distinct(tenants));
    const found = await inTenants(sql, roles, statementOf);
    return found.map(({ tenant, row }) => signingKeyOf(tenant, row));
  };
  return {
    findByIds: (refs) =>
      read(refs.map(({ tenant }) => tenant), (tenant) => {
        const ids = refs.flatMap((ref) => (ref.tenant === tenant ? [ref.id] : []));
        return sql`select ${columns} from signing_key where id = any(${ids}::text[])`;
      }),
    findByAliases: (refs) =>
      read(refs.map(({ tenant }) => tenant), (tenant) => {
        const aliases = refs.flatMap((ref) => (ref.tenant === tenant ? [ref.alias] : []));
        return sql`select ${columns} from signing_key where alias = any(${aliases}::text[])`;
      }),
    list: (filter) => read([filter.tenant], () => selectKeys(sql, filter)),
    add: async (keys) => {
      const roles = await findRoles(sql, distinct(keys.map(({ tenant }) => tenant)));
      await inTenants(sql, roles, (tenant) => insertSigningKeys(sql, keys.filter((key) => key.tenant === tenant)));
    },
  };
};

const certificatesOver = (sql: Sql): CryptoTx['certificates'] => ({
  newest: async (alias) => {
    const found = await inTenants<CertificateRow>(sql, await findRoles(sql, ['p2p']), () => sql`
      select alias, generation, key_id, host_names, not_after, pem, created_at from certificate
      where alias = ${alias} order by generation desc limit 1`);
    return found[0] === undefined ? undefined : certificateOf(found[0].row);
  },
  add: async ({ alias, generation, keyId, hostNames, notAfter, pem, createdAt }) => {
    await inTenants(sql, await findRoles(sql, ['p2p']), () => sql`
      insert into certificate (alias, generation, key_id, host_names, not_after, pem, created_at)
      values (${alias}, ${generation}, ${keyId}, ${[...hostNames]}::text[], ${new Date(notAfter)}, ${pem}, ${new Date(createdAt)})
      on conflict do nothing`);
  },
});

export const createPostgresKeys = (sql: Sql): CryptoTx => ({
  associations: associationsOver(sql),
  wrappingKeys: wrappingKeysOver(sql),
  signingKeys: signingKeysOver(sql),
  certificates: certificatesOver(sql),
});
