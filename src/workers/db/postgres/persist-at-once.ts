/** The statement of new entities with their answers; see migrations/0015-persist-at-once.sql. */
import { jsonArraySql, jsonColumn, textArray, type Parameter } from '../../../postgres/statement.ts';
import type { EntityWrite } from '../db-tx.ts';
import { vaultSchemaOf } from './vault.ts';

/** For a store of answers (`AtOnce` in postgres/answer-store.ts), whose parameters follow those here. */
export const persistAtOnce = {
  text: `select db.persist_at_once($1, $2::text[], $3::text[], ${jsonArraySql(4)}, $5::timestamptz, $6::text[], ${jsonArraySql(7)}, ${jsonArraySql(8)}, $9::text[]) as done`,
  parametersOf: ({ shortHash, rows, now }: EntityWrite): readonly Parameter[] => [
    vaultSchemaOf(shortHash),
    textArray(rows.map(({ entity }) => entity)),
    textArray(rows.map(({ id }) => id)),
    jsonColumn(rows.map(({ json }) => json)),
    new Date(now).toISOString(),
  ],
};
