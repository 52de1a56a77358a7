/** One room as a process of its own: the bus over HTTP, PostgreSQL outside. */
import { createHttpBus } from '../src/bus/http-bus.ts';
import type { Room } from '../src/messages/grammar/wire.ts';
import { openDatabase, type Database } from '../src/postgres/database.ts';
import { waitForMigrations } from '../src/postgres/migrate.ts';
import { applyMigrations, readMigrations } from '../src/workers/db/worker.ts';
import type { BrokerPowers } from './broker.ts';
import { serveHealth } from './health.ts';
import { createViews, type Closing } from './platform.ts';
import { startRoom } from './running-room.ts';
import type { Settings } from './settings.ts';

/** Connections of one process: a room's loops are few. */
const connectionsMax = 6;

/** The db room owns the schema and brings it up to date; the others wait until it is there. */
const openRoomDatabase = async (room: Room, settings: Settings, { clock, log }: BrokerPowers, closing: Closing): Promise<Database | undefined> => {
  if (room === 'rest' || room === 'gateway') return undefined;
  const database = openDatabase({ url: settings.DATABASE_URL!, connectionsMax, log });
  closing.add(() => database.close());
  if (room === 'db') await applyMigrations(database, log);
  else await waitForMigrations({ database, migrations: readMigrations(), log, clock });
  return database;
};

export const startSeparate = async (room: Room, settings: Settings, powers: BrokerPowers, closing: Closing): Promise<void> => {
  const { log, metrics } = powers;
  const bus = createHttpBus({ url: settings.CORDAGE_BUS_URL!, username: settings.CORDAGE_BUS_USERNAME!, password: settings.CORDAGE_BUS_PASSWORD!, log });
  closing.add(() => bus.close());
  const views = createViews(bus, log);
  closing.add(() => views.close());
  const database = await openRoomDatabase(room, settings, powers, closing);
  const running = await startRoom(room, { ...powers, settings, instance: settings.CORDAGE_INSTANCE, bus, views, database });
  closing.add(() => running.stop());
  const health = await serveHealth([running], metrics, settings);
  closing.add(() => health.close());
  log.info(`${room}.ready`, { url: running.url, healthUrl: health.url });
};
