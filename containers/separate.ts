/** One room as a process of its own: the bus over HTTP, PostgreSQL outside. */
import { createHttpBus } from '../src/bus/http-bus.ts';
import type { Room } from '../src/messages/grammar/wire.ts';
import type { Database } from '../src/postgres/database.ts';
import type { BrokerPowers } from './broker.ts';
import { serveHealth } from './health.ts';
import { createViews, type Closing } from './platform.ts';
import { startRoom } from './running-room.ts';
import type { Settings } from './settings.ts';

/** Rest and gateway touch no database, so they do not load its code either. */
const databaseFor = async (room: Room, settings: Settings, powers: BrokerPowers, closing: Closing): Promise<Database | undefined> =>
  room === 'rest' || room === 'gateway' ? undefined : (await import('./room-database.ts')).openRoomDatabase(room, settings, powers, closing);

export const startSeparate = async (room: Room, settings: Settings, powers: BrokerPowers, closing: Closing): Promise<void> => {
  const { log, metrics } = powers;
  const bus = createHttpBus({ url: settings.CORDAGE_BUS_URL!, username: settings.CORDAGE_BUS_USERNAME!, password: settings.CORDAGE_BUS_PASSWORD!, log });
  closing.add(() => bus.close());
  const views = createViews(bus, log);
  closing.add(() => views.close());
  const database = await databaseFor(room, settings, powers, closing);
  const running = await startRoom(room, { ...powers, settings, instance: settings.CORDAGE_INSTANCE, bus, views, database });
  closing.add(() => running.stop());
  const health = await serveHealth([running], metrics, settings);
  closing.add(() => health.close());
  log.info(`${room}.ready`, { url: running.url, healthUrl: health.url });
};
