/**
 * What a warehouse keeps in tables of its own, beside entities: tables for what is counted, summed and joined.
 *
 * The migrations run once in every virtual node's vault, when it is made or gets this version of the application. One that was applied is
 * never edited: a later version appends the next.
 */
import { database, migration } from '../../../src/flow-sdk/flow-sdk.ts';

export type Tables = {
  stock: { item: string; pieces: number; price_cents: number };
  movement: { id: string; item: string; pieces: number; moved_at: number };
};

export const tables = database<Tables>();
const { schema } = tables;

export const migrations = [
  migration('0001-stock', [
    schema
      .createTable('stock')
      .addColumn('item', 'varchar(100)', (column) => column.primaryKey())
      .addColumn('pieces', 'integer', (column) => column.notNull().defaultTo(0)),
    schema
      .createTable('movement')
      .addColumn('id', 'uuid', (column) => column.primaryKey())
      .addColumn('item', 'varchar(100)', (column) => column.notNull().references('stock.item'))
      .addColumn('pieces', 'integer', (column) => column.notNull())
      .addColumn('moved_at', 'bigint', (column) => column.notNull()),
  ]),
  migration('0002-prices', [
    schema.alterTable('stock').addColumn('price_cents', 'integer', (column) => column.notNull().defaultTo(0)),
    schema.createIndex('movement_item').on('movement').columns(['item', 'moved_at desc']),
  ]),
];
