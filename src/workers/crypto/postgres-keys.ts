/**
 * Keys in PostgreSQL: `wrapping_key (alias, generation, parent, material)`, `hsm_association (category, id, wrapping_alias)` and
 * `signing_key (id, alias unique, category, scheme, public_key, wrapping key, material)` in each tenant's schema, `crypto` for `p2p` and
 * `vnode_crypto_<id>` for a virtual node; `crypto.certificate`. See src/workers/db/migrations/0002-crypto.sql.
 */
import { toHex } from '../../cipher/bytes.ts';
import type { KeyOrder } from '../../messages/all-to-crypto.key.ts';
import type { CryptoTx, KeyFilter, WrappedSigningKey } from './crypto-tx.ts';
import { rotationOver } from './postgres-rotation.ts';
import { associationOf, certificateOf, createdTexts, signingKeyColumns, signingKeyOf, wrappingKeyOf, type AssociationRow, type CertificateRow, type SigningKeyRow, type WrappingKeyRow } from './postgres-rows.ts';
import { createTenants, distinct, findRoles, inTenants, type Rows, type Sql } from './postgres-tenants.ts';

/** The version of the sealed material that this code writes. */
const encodingVersion = 1;

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
  hold: async (refs) => {
    const rows = await sql<{ held: boolean }[]>`
      select crypto.hold_wrapping_key(tenant, alias, generation) as held
      from unnest(${refs.map(({ tenant }) => tenant)}::text[], ${refs.map(({ alias }) => alias)}::text[], ${refs.map(({ generation }) => generation)}::integer[])
        as r (tenant, alias, generation)`;
    return rows.every(({ held }) => held);
  },
});

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
  rotation: rotationOver(sql),
  certificates: certificatesOver(sql),
});
