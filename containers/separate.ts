/** One room as a process of its own: the bus over HTTP, PostgreSQL outside. */
import { createHttpBus } from '../src/bus/http-bus.ts';
import { pause } from '../src/host/clock.ts';
import { createHttpExchange } from '../src/host/http-exchange.ts';
import type { Room } from '../src/messages/grammar/wire.ts';
import type { Database } from '../src/postgres/database.ts';
import type { BrokerPowers } from './broker.ts';
import { createStage, serveHealth } from './health.ts';
import { createViews, type Closing } from './platform.ts';
import { startRoom } from './running-room.ts';
import type { Settings } from './settings.ts';

/** Rest and gateway touch no database, so they do not load its code either. */
const databaseFor = async (room: Room, settings: Settings, powers: BrokerPowers, closing: Closing): Promise<Database | undefined> =>
  room === 'rest' || room === 'gateway' ? undefined : (await import('./room-database.ts')).openRoomDatabase(room, settings, powers, closing);

export const startSeparate = async (room: Room, settings: Settings, powers: BrokerPowers, closing: Closing): Promise<void> => {
  const { log, metrics } = powers;
  const stage = createStage(room);
  // First, so that probes are answered from the beginning to the end.
  const health = await serveHealth([stage], metrics, settings);
  closing.add(() => health.close());
  const { CORDAGE_BUS_URL: url, CORDAGE_BUS_USERNAME: username, CORDAGE_BUS_PASSWORD: password, CORDAGE_BUS_SESSION_TIMEOUT_MS: sessionTimeoutMs } = settings;
  const bus = createHttpBus({ url: url!, username: username!, password: password!, sessionTimeoutMs, log, exchange: createHttpExchange() });
  closing.add(() => bus.close());
  const views = createViews(bus, log);
  closing.add(() => views.close());
  const database = await databaseFor(room, settings, powers, closing);
  const running = await startRoom(room, { ...powers, settings, instance: settings.CORDAGE_INSTANCE, bus, views, database, direct: new Map(), ears: new Map() });
  closing.add(() => running.stop());
  closing.add(async () => {
    stage.leaves();
    if (running.url !== undefined) await pause(powers.clock, settings.CORDAGE_DRAIN_MS);
  });
  stage.runs(running.running);
  log.info(`${room}.ready`, { url: running.url, healthUrl: health.url });
};
