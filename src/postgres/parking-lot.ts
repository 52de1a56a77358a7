/** The parking lot in PostgreSQL (table: `tables.ts`). Key, value and reason came from outside and are kept as JSON strings. */
import type { ParkedRecord, ParkingLot } from '../shell/store.ts';
import type { PostgresStoreOptions } from './state-store.ts';
import { jsonArraySql, jsonColumn, numberArray, schemaName, textArray, type Parameter } from './statement.ts';

type Row = { id: string; topic: string; partition: number; offset: string; key: string; value: string; reason: string; parked_at: string };

/** Records in one statement; each may be a megabyte. */
const recordsPerParkMax = 16;

// Written below from a string.
const textOf = (json: string): string => JSON.parse(json) as string;

const parkedOf = ({ id, topic, partition, offset, key, value, reason, parked_at }: Row): ParkedRecord => ({
  id,
  topic,
  partition,
  offset: Number(offset),
  key: textOf(key),
  value: textOf(value),
  reason: textOf(reason),
  parkedAt: Number(parked_at),
});

/** In the order of the table's columns. */
const columnsOf = (records: readonly ParkedRecord[]): Parameter[] => {
  const texts = (name: 'key' | 'value' | 'reason'): string => jsonColumn(records.map((record) => JSON.stringify(record[name])));
  return [
    textArray(records.map(({ id }) => id)),
    textArray(records.map(({ topic }) => topic)),
    numberArray(records.map(({ partition }) => partition)),
    numberArray(records.map(({ offset }) => offset)),
    texts('key'),
    texts('value'),
    texts('reason'),
    numberArray(records.map(({ parkedAt }) => parkedAt)),
  ];
};

export const createPostgresParkingLot = ({ database, schema: schemaText }: PostgresStoreOptions): ParkingLot => {
  const schema = schemaName(schemaText);
  const columns = 'id, topic, partition, "offset", key, value, reason, parked_at';
  const query = async (text: string, parameters: Parameter[]): Promise<readonly ParkedRecord[]> => {
    // The columns are those of Row in every statement that returns any.
    const rows = (await database.byKey(text, parameters)) as readonly Row[];
    return rows.map(parkedOf);
  };
  const parkSome = async (records: readonly ParkedRecord[]): Promise<void> => {
    await query(
      `insert into ${schema}.parked (${columns})
       select * from unnest($1::text[], $2::text[], $3::integer[], $4::bigint[], ${jsonArraySql(5)}, ${jsonArraySql(6)}, ${jsonArraySql(7)}, $8::bigint[])
       on conflict (id) do nothing`,
      columnsOf(records),
    );
  };
  return {
    park: async (records) => {
      for (let from = 0; from < records.length; from += recordsPerParkMax) await parkSome(records.slice(from, from + recordsPerParkMax));
    },
    list: (countMax) => query(`select ${columns} from ${schema}.parked order by parked_at desc limit $1`, [countMax]),
    find: (ids) => query(`select ${columns} from ${schema}.parked where id = any($1::text[])`, [textArray(ids)]),
    take: (ids) => query(`delete from ${schema}.parked where id = any($1::text[]) returning ${columns}`, [textArray(ids)]),
  };
};
