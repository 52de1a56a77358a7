/** The combined form: PostgreSQL, the broker and all seven rooms, for one machine. Everything it must remember is in one folder. */
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { startEmbeddedPostgres } from '../src/host/embedded-postgres.ts';
import { writeDurably } from '../src/host/files.ts';
import { rooms as roomNames, type Room } from '../src/messages/grammar/wire.ts';
import { applyMigrations } from '../src/workers/db/worker.ts';
import { openBroker, pushToEdge, serveBroker, type BrokerPowers } from './broker.ts';
import { openSettledDatabase } from './database.ts';
import { createStage, serveHealth } from './health.ts';
import { createViews, type Closing, type Platform } from './platform.ts';
import { startRoom, type RunningRoom } from './running-room.ts';
import type { Settings } from './settings.ts';

/** Connections of one combined process: enough for its loops to overlap, few enough to stay small. */
const connectionsMax = 12;

const drawSecrets = () => {
  const draw = (): string => randomBytes(24).toString('base64url');
  return { passphrase: draw(), salt: draw(), linkPassphrase: draw(), linkSalt: draw(), adminPassword: draw(), configPassphrase: draw() };
};
type MadeSecrets = ReturnType<typeof drawSecrets>;

/**
 * Made once and kept beside the data that they protect; whoever wants them apart sets the variables. On the disk before the first
 * key is wrapped: keys whose passphrase is lost are lost.
 */
const withSecrets = (settings: Settings, directory: string): Settings => {
  const file = join(directory, 'secrets.json');
  // Written below; a folder of an earlier version lacks the secrets of later ones.
  const found = existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Partial<MadeSecrets>) : {};
  const made = { ...drawSecrets(), ...found };
  if (Object.keys(found).length < Object.keys(made).length) writeDurably(file, JSON.stringify(made));
  return {
    ...settings,
    CORDAGE_CRYPTO_PASSPHRASE: settings.CORDAGE_CRYPTO_PASSPHRASE ?? made.passphrase,
    CORDAGE_CRYPTO_SALT: settings.CORDAGE_CRYPTO_SALT ?? made.salt,
    // Where the operator has a passphrase of his own, what was sealed before he had it still opens.
    CORDAGE_CRYPTO_PASSPHRASE_BEFORE: settings.CORDAGE_CRYPTO_PASSPHRASE_BEFORE ?? made.passphrase,
    CORDAGE_CRYPTO_SALT_BEFORE: settings.CORDAGE_CRYPTO_SALT_BEFORE ?? made.salt,
    CORDAGE_LINK_PASSPHRASE: settings.CORDAGE_LINK_PASSPHRASE ?? made.linkPassphrase,
    CORDAGE_LINK_SALT: settings.CORDAGE_LINK_SALT ?? made.linkSalt,
    CORDAGE_ADMIN_PASSWORD: settings.CORDAGE_ADMIN_PASSWORD ?? made.adminPassword,
    CORDAGE_CONFIG_PASSPHRASE: settings.CORDAGE_CONFIG_PASSPHRASE ?? made.configPassphrase,
  };
};

const openPlatform = async (settings: Settings, directory: string, powers: BrokerPowers, closing: Closing): Promise<Platform & { readonly busUrl: string | undefined }> => {
  const { log } = powers;
  const [postgres, broker] = await Promise.all([startEmbeddedPostgres({ directory: join(directory, 'postgres'), log }), openBroker(join(directory, 'broker'), powers)]);
  closing.add(() => postgres.stop());
  closing.add(() => broker.close());
  const own = { url: postgres.url, socketDirectory: postgres.socketDirectory, pooler: 'none', tls: {}, connectionsMax } as const;
  const database = openSettledDatabase(settings, log, own);
  closing.add(() => database.close());
  await applyMigrations(database, log);
  const bus = broker.connect();
  closing.add(() => bus.close());
  const views = createViews(bus, log);
  closing.add(() => views.close());
  const server = settings.CORDAGE_BUS_CREDENTIALS === undefined ? undefined : await serveBroker(broker, settings, log);
  if (server !== undefined) closing.add(() => server.close());
  const pusher = await pushToEdge(broker, settings, powers);
  if (pusher !== undefined) closing.add(() => pusher.close());
  return { ...powers, settings: withSecrets(settings, directory), instance: settings.CORDAGE_INSTANCE, bus, views, database, direct: new Map(), ears: new Map(), busUrl: server?.url };
};

/** Rooms that others ask at their own start come first: the gateway needs crypto, rest needs db's users, flow asks db directly. */
const order: readonly (readonly Room[])[] = [['db', 'crypto'], ['flow', 'member', 'link-manager', 'gateway', 'rest']];

export const startCombined = async (settings: Settings, powers: BrokerPowers, closing: Closing): Promise<void> => {
  const directory = settings.CORDAGE_STATE_DIR!;
  mkdirSync(directory, { recursive: true });
  const stages = roomNames.map(createStage);
  const health = await serveHealth(stages, powers.metrics, settings);
  closing.add(() => health.close());
  const { busUrl, ...platform } = await openPlatform(settings, directory, powers, closing);
  const rooms: RunningRoom[] = [];
  closing.add(() => Promise.all(rooms.map((room) => room.stop())));
  for (const together of order) rooms.push(...(await Promise.all(together.map((room) => startRoom(room, platform)))));
  closing.add(async () => stages.forEach((stage) => stage.leaves()));
  for (const stage of stages) stage.runs(rooms.find(({ room }) => room === stage.room)!.running);
  const urlOf = (room: Room): string | undefined => rooms.find((one) => one.room === room)?.url;
  const gatewayPort = new URL(urlOf('gateway')!).port;
  powers.log.info('combined.ready', {
    restUrl: urlOf('rest'),
    gatewayUrl: `https://${settings.CORDAGE_GATEWAY_NAMES.split(',')[0]}:${gatewayPort}`,
    healthUrl: health.url,
    busUrl,
  });
};
