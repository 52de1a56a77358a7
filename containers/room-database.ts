/** The database of a room in a process of its own. */
import type { Room } from '../src/messages/grammar/wire.ts';
import type { Database } from '../src/postgres/database.ts';
import { waitForMigrations } from '../src/postgres/migrate.ts';
import { applyMigrations, readMigrations } from '../src/workers/db/migrations.ts';
import type { BrokerPowers } from './broker.ts';
import { makeLogins, parseLogins } from './database-logins.ts';
import { openSettledDatabase } from './database.ts';
import { patiently } from './patience.ts';
import type { Closing } from './platform.ts';
import type { Settings } from './settings.ts';

/** The db room brings the schema up to date, unless a process of kind `migrate` does; the others wait until it is there. */
export const openRoomDatabase = async (room: Room, settings: Settings, powers: BrokerPowers, closing: Closing): Promise<Database> => {
  const { clock, log } = powers;
  const logins = parseLogins(settings.CORDAGE_DATABASE_LOGINS ?? '');
  const database = openSettledDatabase(settings, log);
  closing.add(() => database.close());
  if (room === 'db' && settings.CORDAGE_MIGRATE === 'apply') {
    await patiently('the database', powers, () => applyMigrations(database, log));
    await patiently('the database', powers, () => makeLogins(database, logins));
  } else await waitForMigrations({ database, migrations: readMigrations(), log, clock });
  return database;
};
