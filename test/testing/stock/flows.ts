/** An application with a table of its own. */
import { database, migration, startableFlow } from '../../../src/flow-sdk/flow-sdk.ts';

type Stock = { readonly item: string; readonly pieces: number };
const tables = database<{ stock: Stock }>();

export const migrations = [
  migration('0001-stock', [
    tables.schema
      .createTable('stock')
      .addColumn('item', 'text', (column) => column.primaryKey())
      .addColumn('pieces', 'integer', (column) => column.notNull()),
  ]),
];

export const takeStock = startableFlow({
  name: 'test.TakeStock',
  run: async (ctx) => {
    await ctx.db.run(tables.insertInto('stock').values([{ item: 'tea', pieces: 7 }, { item: 'rice', pieces: 2 }]));
    const { rows } = await ctx.db.run(tables.selectFrom('stock').select(['item', 'pieces']).where('pieces', '>', 5).orderBy('item'));
    return rows;
  },
});
