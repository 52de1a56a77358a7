/** The database of a room in a process of its own. */
import type { Room } from '../src/messages/grammar/wire.ts';
import { openDatabase, type Database } from '../src/postgres/database.ts';
import { waitForMigrations } from '../src/postgres/migrate.ts';
import { applyMigrations, readMigrations } from '../src/workers/db/migrations.ts';
import type { BrokerPowers } from './broker.ts';
import type { Closing } from './platform.ts';
import type { Settings } from './settings.ts';

/** Connections of one process: a room's loops are few. */
const connectionsMax = 6;

/** The db room owns the schema and brings it up to date; the others wait until it is there. */
export const openRoomDatabase = async (room: Room, settings: Settings, { clock, log }: BrokerPowers, closing: Closing): Promise<Database> => {
  const database = openDatabase({ url: settings.DATABASE_URL!, connectionsMax, log });
  closing.add(() => database.close());
  if (room === 'db') await applyMigrations(database, log);
  else await waitForMigrations({ database, migrations: readMigrations(), log, clock });
  return database;
};
