/** The process kind `migrate`: brings the schema up to date, makes logins, and ends. */
import { applyMigrations } from '../src/workers/db/migrations.ts';
import type { BrokerPowers } from './broker.ts';
import { makeLogins, parseLogins } from './database-logins.ts';
import { openSettledDatabase } from './database.ts';
import { patiently } from './patience.ts';
import type { Closing } from './platform.ts';
import type { Settings } from './settings.ts';

const connectionsMax = 4;

export const startMigrate = async (settings: Settings, powers: BrokerPowers, closing: Closing): Promise<void> => {
  const { log } = powers;
  const logins = parseLogins(settings.CORDAGE_DATABASE_LOGINS ?? '');
  const database = openSettledDatabase(settings, log, { connectionsMax });
  closing.add(() => database.close());
  await patiently('the database', powers, () => applyMigrations(database, log));
  await patiently('the database', powers, () => makeLogins(database, logins));
  log.info('migrate.done', { logins: logins.map(({ user, room }) => ({ user, room })) });
};
