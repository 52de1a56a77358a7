import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readArray, writeArray } from '../../src/postgres/arrays.ts';
import { textArray } from '../../src/postgres/statement.ts';
import { startTestServer, type TestServer } from './server.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.stop());

/** PostgreSQL's text holds no NUL and no half of a surrogate pair. */
const sound = fc.string({ unit: 'binary' }).filter((text) => text.isWellFormed() && !text.includes('\0'));

describe('arrays', () => {
  test('any texts come back from the server as they went', async () => {
    const { sql } = server.database;
    await fc.assert(
      fc.asyncProperty(fc.array(fc.oneof(sound, fc.constantFrom('NULL', 'null', '{}', '"', '\\', ',', '', ' x '))), async (texts) => {
        const [row] = await sql<{ same: string[] }[]>`select ${texts}::text[] as same`;
        expect(row!.same).toEqual(texts);
        expect(await sql.unsafe('select $1::text[] as same', [textArray(texts)])).toMatchObject([{ same: texts }]);
      }),
      { numRuns: 60 },
    );
  });

  test('what is written reads back', () => {
    fc.assert(
      fc.property(fc.array(fc.option(sound)), (texts) => {
        expect(readArray(writeArray(texts))).toEqual(texts);
      }),
    );
  });

  test('arrays of every common type keep their values', async () => {
    const { sql } = server.database;
    const id = '01234567-89ab-cdef-0123-456789abcdef';
    const time = new Date('2026-11-22T10:00:00.123Z');
    // The library takes arrays of booleans, dates and bytes for scalars when it sends them; they are read all the same.
    const [row] = await sql`select ${[1, -2]}::int[] as ints, ${['9007199254740993']}::bigint[] as bigs, ${[id]}::uuid[] as ids, array[true, false] as truths,
      array['\\x00ff'::bytea] as bytes, ${[1.5]}::float8[] as floats, array[${time}::timestamptz] as times`;
    expect(row).toMatchObject({ ints: [1, -2], bigs: ['9007199254740993'], ids: [id], truths: [true, false], bytes: [new Uint8Array([0, 255])], floats: [1.5], times: [time] });
  });

  test('an empty array and an array with nulls', async () => {
    const [row] = await server.database.sql`select ${[]}::text[] as none, ${['a', null]}::text[] as some`;
    expect(row).toMatchObject({ none: [], some: ['a', null] });
    const lists = [[], [null], ['a', null], [null, '']];
    for (const texts of lists) expect(await server.database.sql.unsafe('select $1::text[] as same', [textArray(texts)])).toMatchObject([{ same: texts }]);
  });
});
