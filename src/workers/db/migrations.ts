/** The cluster's schema, in numbered steps that are applied once and never edited afterwards. */
import { listBeside, readTextBeside } from '../../host/files.ts';
import type { Log } from '../../observability/log.ts';
import type { Database } from '../../postgres/database.ts';
import { migrate } from '../../postgres/migrate.ts';
import { answerTablesSql, stateTablesSql } from '../../postgres/tables.ts';

export type Migration = { readonly name: string; readonly sql: string };

const folder = './migrations/';

/** The shell's tables of each room that keeps its state in the cluster's database. */
const roomTables = (): Migration => ({
  name: '0001-rooms',
  sql: [...['flow', 'link_manager', 'member'].map(stateTablesSql), ...['db', 'crypto'].map(answerTablesSql)].join('\n'),
});

/** In order of their numbers. */
export const readMigrations = (): readonly Migration[] => [
  roomTables(),
  ...listBeside(import.meta.url, folder)
    .filter((name) => name.endsWith('.sql'))
    .map((name) => ({ name: name.replace(/\.sql$/, ''), sql: readTextBeside(import.meta.url, `${folder}${name}`) })),
];

/** Brings the database up to date. Safe to run from several processes at once, and again. */
export const applyMigrations = (database: Database, log: Log): Promise<void> => migrate({ database, migrations: readMigrations(), log });
