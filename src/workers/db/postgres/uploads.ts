/** CPI uploads in PostgreSQL: `config.upload`, `config.upload_chunk`; see migrations/0003-config.sql. */
import type { Refusal } from '../../../messages/grammar/envelope.ts';
import type { Upload, UploadEnd, UploadRepository } from '../db-tx.ts';
import type { TransactionSql as Sql } from '../../../postgres/database.ts';

type UploadRow = { id: string; chunk_count: number; force: boolean; full_checksum: string | null; replaced_checksum: string | null; refusal: Refusal | null };

const endOf = ({ full_checksum, replaced_checksum, refusal }: UploadRow): UploadEnd | undefined => {
  if (refusal !== null) return { type: 'refused', refusal };
  return full_checksum === null ? undefined : { type: 'stored', fullChecksum: full_checksum, replaced: replaced_checksum };
};

const uploadOf = (row: UploadRow): Upload => ({ id: row.id, count: row.chunk_count, force: row.force, end: endOf(row) });

const joined = (parts: readonly Uint8Array[]): Uint8Array => {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
};

export const createPostgresUploads = (sql: Sql): UploadRepository => ({
  find: async (id) => {
    const rows = await sql<UploadRow[]>`select * from config.upload where id = ${id}`;
    return rows[0] === undefined ? undefined : uploadOf(rows[0]);
  },
  countOpen: async () => {
    const rows = await sql<{ count: number }[]>`select count(*)::int as count from config.upload where ended_at is null`;
    return rows[0]!.count;
  },
  begin: async ({ id, count, force }, now) => {
    await sql`insert into config.upload (id, chunk_count, force, touched_at) values (${id}, ${count}, ${force}, ${new Date(now)}) on conflict do nothing`;
  },
  addChunk: async (id, index, bytes, now) => {
    await sql`insert into config.upload_chunk (upload_id, index, bytes) values (${id}, ${index}, ${bytes}) on conflict do nothing`;
    await sql`update config.upload set touched_at = ${new Date(now)} where id = ${id}`;
    const rows = await sql<{ chunks: number; bytes: number }[]>`
      select count(*)::int as chunks, coalesce(sum(length(bytes)), 0)::int as bytes from config.upload_chunk where upload_id = ${id}`;
    return rows[0]!;
  },
  assemble: async (id) => {
    const rows = await sql<{ bytes: Uint8Array }[]>`select bytes from config.upload_chunk where upload_id = ${id} order by index`;
    return joined(rows.map(({ bytes }) => bytes));
  },
  finish: async (id, end, now) => {
    const { fullChecksum, replaced } = end.type === 'stored' ? end : { fullChecksum: null, replaced: null };
    const refusal = end.type === 'refused' ? JSON.stringify(end.refusal) : null;
    await sql`
      update config.upload set ended_at = ${new Date(now)}, full_checksum = ${fullChecksum}, replaced_checksum = ${replaced}, refusal = ${refusal}::text::json
      where id = ${id}`;
    await sql`delete from config.upload_chunk where upload_id = ${id}`;
  },
  forget: async (idleBefore, endedBefore) => {
    const gone = await sql`
      delete from config.upload where (ended_at is null and touched_at < ${new Date(idleBefore)}) or ended_at < ${new Date(endedBefore)}`;
    return gone.count;
  },
});
