/**
 * Statements in tenants' schemas: each runs as the tenant's own `dml` role and sees its schema alone, so one text (and one prepared plan)
 * serves every tenant, and a statement for one cannot read another's keys. Those of several tenants share a round trip.
 */
import type postgres from 'postgres';
import { tenantsPerRoundTrip } from './config.ts';

/** Statements on one connection inside an open transaction. */
export type Sql = postgres.ISql<{}>;
export type Rows<Row> = postgres.PendingQuery<(Row & postgres.Row)[]>;

export const schemaOf = (tenant: string): string => (tenant === 'p2p' ? 'crypto' : `vnode_crypto_${tenant.toLowerCase()}`);
export const distinct = (texts: readonly string[]): string[] => [...new Set(texts)];

/** The roles of those tenants that have their place. */
export const findRoles = async (sql: Sql, tenants: readonly string[]): Promise<ReadonlyMap<string, string>> => {
  const rows = await sql<{ schema_name: string; role_name: string }[]>`
    select nspname as schema_name, crypto.role_of(nspname, 'dml') as role_name from pg_catalog.pg_namespace
    where nspname = any(${tenants.map(schemaOf)}::text[])`;
  const roles = new Map(rows.map(({ schema_name, role_name }) => [schema_name, role_name]));
  return new Map(tenants.flatMap((tenant) => {
    const role = roles.get(schemaOf(tenant));
    return role === undefined ? [] : [[tenant, role]];
  }));
};

export const createTenants = async (sql: Sql, tenants: readonly string[]): Promise<ReadonlyMap<string, string>> => {
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
export const inTenants = async <Row>(sql: Sql, roles: ReadonlyMap<string, string>, statementOf: (tenant: string) => Rows<Row>): Promise<{ tenant: string; row: Row }[]> => {
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
