/** The next version of the depot: one more column, and a flow that reads it. */
import { database, migration, startableFlow } from '../../../../../../src/flow-sdk/flow-sdk.ts';
import { migrations as before } from '../depot/flows.ts';

export { count, idle, keep, sign } from '../depot/flows.ts';

const tables = database<{ piece: { id: string; label: string; shelf: number } }>();

export const migrations = [...before, migration('0002-shelf', [tables.schema.alterTable('piece').addColumn('shelf', 'integer', (column) => column.notNull().defaultTo(7))])];

export const shelves = startableFlow({
  name: 'com.example.Shelves',
  run: async (ctx) => (await ctx.db.run(tables.selectFrom('piece').select('shelf'))).rows.map(({ shelf }) => shelf),
});
