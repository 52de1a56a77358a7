/** An application for tests of virtual nodes: what it keeps must be there after an upgrade, and gone after a deletion. */
import * as z from 'zod/mini';
import { database, migration, parse, startableFlow } from '../../../../../../src/flow-sdk/flow-sdk.ts';

export type Tables = { piece: { id: string; label: string } };
const tables = database<Tables>();

export const migrations = [
  migration('0001-piece', [
    tables.schema
      .createTable('piece')
      .addColumn('id', 'varchar(100)', (column) => column.primaryKey())
      .addColumn('label', 'text', (column) => column.notNull().defaultTo("it's new; $1")),
  ]),
];

const named = z.strictObject({ id: z.string() });

/** Keeps an entity and a row of that id. */
export const keep = startableFlow({
  name: 'com.example.Keep',
  run: async (ctx, input) => {
    const { id } = await parse(named, input);
    await ctx.db.run(tables.insertInto('piece').values({ id, label: 'kept' }));
    return ctx.uuid();
  },
});

export const count = startableFlow({
  name: 'com.example.Count',
  run: async (ctx) => (await ctx.db.run(tables.selectFrom('piece').select('id'))).rows.length,
});

/** Signs with the key of that id, and says which key that was. */
export const sign = startableFlow({
  name: 'com.example.Sign',
  run: async (ctx, input) => {
    const signature = await ctx.crypto.sign('a text', { keyId: (await parse(named, input)).id });
    return (await ctx.crypto.verify('a text', signature)) ? signature.publicKey : 'wrong';
  },
});

/** Runs until somebody ends it. */
export const idle = startableFlow({
  name: 'com.example.Idle',
  run: async (ctx) => {
    for (;;) await ctx.sleep(3_600_000);
  },
});
