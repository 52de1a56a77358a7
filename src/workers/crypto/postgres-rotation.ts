/** Rotations in PostgreSQL: `crypto.rotation`, `crypto.rotation_part`, and the functions that may change keys; see migrations/0013-key-rotation.sql. */
import { toHex } from '../../cipher/bytes.ts';
import type { Rotation, RotationPart, RotationRepository } from './crypto-tx.ts';
import { signingKeyColumns, signingKeyOf, type SigningKeyRow } from './postgres-rows.ts';
import { findRoles, inTenants, type Sql } from './postgres-tenants.ts';

type RotationRow = { request_id: string; root: string; initiated_at: Date; updated_at: Date; finished_at: Date | null };

const insertParts = (sql: Sql, tenant: string, parts: readonly RotationPart[]) => sql`
  insert into crypto.rotation_part (tenant, name, total, rotated)
  select ${tenant}, name, total, rotated
  from unnest(${parts.map(({ name }) => name)}::text[], ${parts.map(({ total }) => total)}::integer[], ${parts.map(({ rotated }) => rotated)}::integer[]) as r (name, total, rotated)
  on conflict (tenant, name) do update set rotated = excluded.rotated`;

/** Takes the place of a rotation that has ended; whoever begins one at the same time waits here, and comes too late. */
const begin = async (sql: Sql, { tenant, requestId, root, initiatedAt, updatedAt, finishedAt, parts }: Rotation): Promise<boolean> => {
  const finished = finishedAt === undefined ? null : new Date(finishedAt);
  const begun = await sql`
    insert into crypto.rotation as r (tenant, request_id, root, initiated_at, updated_at, finished_at)
    values (${tenant}, ${requestId}, ${root}, ${new Date(initiatedAt)}, ${new Date(updatedAt)}, ${finished})
    on conflict (tenant) do update set request_id = excluded.request_id, root = excluded.root,
      initiated_at = excluded.initiated_at, updated_at = excluded.updated_at, finished_at = excluded.finished_at
    where r.finished_at is not null
    returning 1`;
  if (begun.length === 0) return false;
  await sql`delete from crypto.rotation_part where tenant = ${tenant}`;
  await insertParts(sql, tenant, parts);
  return true;
};

export const rotationOver = (sql: Sql): RotationRepository => ({
  find: async (tenant) => {
    const [row] = await sql<RotationRow[]>`select request_id, root, initiated_at, updated_at, finished_at from crypto.rotation where tenant = ${tenant}`;
    if (row === undefined) return undefined;
    const parts = await sql<RotationPart[]>`select name, total, rotated from crypto.rotation_part where tenant = ${tenant} order by name collate "C"`;
    return {
      tenant,
      requestId: row.request_id,
      root: row.root,
      initiatedAt: row.initiated_at.getTime(),
      updatedAt: row.updated_at.getTime(),
      finishedAt: row.finished_at?.getTime(),
      parts: parts.map(({ name, total, rotated }) => ({ name, total, rotated })),
    };
  },
  begin: (rotation) => begin(sql, rotation),
  openParts: async (tenant, countMax) => {
    const parts = await sql<RotationPart[]>`
      select name, total, rotated from crypto.rotation_part where tenant = ${tenant} and rotated < total order by name collate "C" limit ${countMax}`;
    return parts.map(({ name, total, rotated }) => ({ name, total, rotated }));
  },
  note: async (tenant, parts, updatedAt, finishedAt) => {
    await insertParts(sql, tenant, parts);
    const finished = finishedAt === undefined ? null : new Date(finishedAt);
    await sql`update crypto.rotation set updated_at = ${new Date(updatedAt)}, finished_at = ${finished} where tenant = ${tenant}`;
  },
  tenants: async () => {
    const rows = await sql<{ tenant: string }[]>`
      select upper(substr(nspname, length('vnode_crypto_') + 1)) as tenant from pg_catalog.pg_namespace where nspname ~ '^vnode_crypto_[0-9a-f]{12}$' order by 1`;
    return ['p2p', ...rows.map(({ tenant }) => tenant)];
  },
  rewrapWrappingKeys: async (keys) => {
    await sql`
      select crypto.rewrap_wrapping_key(tenant, alias, generation, parent_before, parent, decode(material, 'hex'))
      from unnest(${keys.map(({ tenant }) => tenant)}::text[], ${keys.map(({ alias }) => alias)}::text[], ${keys.map(({ generation }) => generation)}::integer[],
        ${keys.map(({ parentBefore }) => parentBefore)}::text[], ${keys.map(({ parent }) => parent)}::text[], ${keys.map(({ material }) => toHex(material))}::text[])
        as r (tenant, alias, generation, parent_before, parent, material)`;
  },
  keysBefore: async ({ tenant, alias, generation }, countMax) => {
    const roles = await findRoles(sql, [tenant]);
    const found = await inTenants<SigningKeyRow & { count: string }>(sql, roles, () => sql`
      select ${signingKeyColumns(sql)}, count(*) over () as count from signing_key
      where wrapping_alias = ${alias} and wrapping_generation < ${generation} order by id limit ${countMax}`);
    return { count: Number(found[0]?.row.count ?? 0), first: found.map(({ row }) => signingKeyOf(tenant, row)) };
  },
  rewrapSigningKeys: async (keys) => {
    await sql`
      select crypto.rewrap_signing_key(tenant, id, generation_before, generation, decode(material, 'hex'))
      from unnest(${keys.map(({ tenant }) => tenant)}::text[], ${keys.map(({ id }) => id)}::text[], ${keys.map(({ generationBefore }) => generationBefore)}::integer[],
        ${keys.map(({ wrappingGeneration }) => wrappingGeneration)}::integer[], ${keys.map(({ material }) => toHex(material))}::text[])
        as r (tenant, id, generation_before, generation, material)`;
  },
  dropBefore: async ({ tenant, alias, generation }) => {
    const [row] = await sql<{ dropped: boolean }[]>`select crypto.drop_wrapping_keys(${tenant}, ${alias}, ${generation}) as dropped`;
    return row?.dropped === true;
  },
});
