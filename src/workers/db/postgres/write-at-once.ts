/** The statement of persists and merges with their answers; see migrations/0015-write-at-once.sql. */
import { jsonArraySql, jsonColumn, jsonTextsSql, textArray, type Parameter } from '../../../postgres/statement.ts';
import type { JointStatement } from '../../../postgres/joint.ts';
import type { EntityRow, EntityWrite } from '../db-tx.ts';
import { vaultSchemaOf } from './vault.ts';

const none = [null, null, null];

const columnsOf = (rows: readonly EntityRow[]): readonly Parameter[] =>
  rows.length === 0 ? none : [textArray(rows.map(({ entity }) => entity)), textArray(rows.map(({ id }) => id)), jsonColumn(rows.map(({ json }) => json))];

const parametersOf = ({ shortHash, persisted, merged, now }: EntityWrite): readonly Parameter[] => [
  vaultSchemaOf(shortHash), ...columnsOf(persisted), ...columnsOf(merged), new Date(now).toISOString(),
];

/** The writes without their answers, as part of a statement that saves states of the same database. */
export const writeJointly: JointStatement<EntityWrite> = {
  textFrom: (at) => `db.write_entities($${at}, $${at + 1}::text[], $${at + 2}::text[], ${jsonTextsSql(at + 3)}, $${at + 4}::text[], $${at + 5}::text[], ${jsonTextsSql(at + 6)}, $${at + 7}::timestamptz)`,
  parametersOf,
};

/** For a store of answers (`AtOnce` in postgres/answer-store.ts), whose parameters follow those here. */
export const writeAtOnce = {
  text: `select db.write_at_once($1, $2::text[], $3::text[], ${jsonTextsSql(4)}, $5::text[], $6::text[], ${jsonTextsSql(7)}, $8::timestamptz,
    $9::text[], ${jsonArraySql(10)}, ${jsonArraySql(11)}, $12::text[]) as done`,
  parametersOf,
};
