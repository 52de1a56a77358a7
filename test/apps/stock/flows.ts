/**
 * The sample of tables: a warehouse that books what comes and goes, and says what it has.
 *
 * - `tables.ts`: the tables and their migrations;
 * - this file: the flows. Queries are kysely's, typed by the tables; they leave the flow as a tree and are checked, compiled and run by
 *   the cluster's database worker, each once, however often a machine dies.
 */
import * as z from 'zod/mini';
import { FlowPlatformError, parse, startableFlow } from '../../../src/flow-sdk/flow-sdk.ts';
import { tables } from './tables.ts';

export { migrations } from './tables.ts';

const item = z.string().check(z.minLength(1), z.maxLength(100));
const delivery = z.strictObject({ item, pieces: z.int().check(z.positive()), priceCents: z.int().check(z.nonnegative()) });

/** Start it with `{ "item": "tea", "pieces": 12, "priceCents": 450 }`. */
export const receive = startableFlow({
  name: 'com.cordage.samples.ReceiveStock',
  run: async (ctx, input) => {
    const { item: name, pieces, priceCents } = await parse(delivery, input);
    const upsert = tables
      .insertInto('stock')
      .values({ item: name, pieces, price_cents: priceCents })
      .onConflict((conflict) => conflict.column('item').doUpdateSet((eb) => ({ pieces: eb('stock.pieces', '+', pieces), price_cents: priceCents })))
      .returning('pieces');
    const { rows } = await ctx.db.run(upsert);
    await ctx.db.run(tables.insertInto('movement').values({ id: ctx.uuid(), item: name, pieces, moved_at: ctx.now() }));
    return { item: name, pieces: rows[0]?.pieces };
  },
});

const withdrawal = z.strictObject({ item, pieces: z.int().check(z.positive()) });

/** Start it with `{ "item": "tea", "pieces": 2 }`; it takes what is there or nothing. */
export const take = startableFlow({
  name: 'com.cordage.samples.TakeStock',
  run: async (ctx, input) => {
    const { item: name, pieces } = await parse(withdrawal, input);
    const { affected } = await ctx.db.run(
      tables
        .updateTable('stock')
        .set((eb) => ({ pieces: eb('pieces', '-', pieces) }))
        .where('item', '=', name)
        .where('pieces', '>=', pieces),
    );
    if (affected === 0) return { taken: 0, reason: `there are not ${pieces} of ${name}` };
    await ctx.db.run(tables.insertInto('movement').values({ id: ctx.uuid(), item: name, pieces: -pieces, moved_at: ctx.now() }));
    return { taken: pieces };
  },
});

/** Start it with `{}`: each item with its worth and its movements. */
export const report = startableFlow({
  name: 'com.cordage.samples.ReportStock',
  run: async (ctx) => {
    const { rows, more } = await ctx.db.run(
      tables
        .selectFrom('stock')
        .leftJoin('movement', 'movement.item', 'stock.item')
        .select((eb) => ['stock.item', 'stock.pieces', eb('stock.pieces', '*', eb.ref('stock.price_cents')).as('worthCents'), eb.fn.count('movement.id').as('movements')])
        .groupBy(['stock.item', 'stock.pieces', 'stock.price_cents'])
        .orderBy('stock.item'),
    );
    return { rows, more };
  },
});

/** Start it with `{ "item": "tea" }`: a movement of what was never in stock is refused by the tables themselves. */
export const forge = startableFlow({
  name: 'com.cordage.samples.ForgeMovement',
  run: async (ctx, input) => {
    const { item: name } = await parse(z.strictObject({ item }), input);
    try {
      await ctx.db.run(tables.insertInto('movement').values({ id: ctx.uuid(), item: name, pieces: 1, moved_at: ctx.now() }));
      return 'booked';
    } catch (error) {
      if (error instanceof FlowPlatformError && error.code === 'DB_CONSTRAINT_VIOLATED') return 'refused';
      throw error;
    }
  },
});
