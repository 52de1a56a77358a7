/** The cluster's schema, in numbered steps that are applied once and never edited afterwards, and who may touch what, which is applied last each time. */
import { listBeside, readTextBeside } from '../../host/files.ts';
import type { Log } from '../../observability/log.ts';
import type { Database } from '../../postgres/database.ts';
import { migrate, type Migration } from '../../postgres/migrate.ts';
import { answerTablesSql, stateTablesSql } from '../../postgres/tables.ts';

const folder = './migrations/';
/** Files of this name are applied after the numbered ones, again and again. */
const repeatablePrefix = 'repeatable-';

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
    .map((name) => ({ name: name.replace(/\.sql$/, ''), sql: readTextBeside(import.meta.url, `${folder}${name}`), repeatable: name.startsWith(repeatablePrefix) })),
];

/** Brings the database up to date. Safe to run from several processes at once, and again. */
export const applyMigrations = (database: Database, log: Log): Promise<void> => migrate({ database, migrations: readMigrations(), log });
