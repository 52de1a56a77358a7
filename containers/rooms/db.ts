/** db: the snapshot it publishes first, its answers. */
import { createPostgresAnswerStore } from '../../src/postgres/answer-store.ts';
import { createPostgresParkingLot } from '../../src/postgres/parking-lot.ts';
import { createDbWorker, createPostgresDbTx, createVaults, ensureBootstrapAdmin, writeAtOnce, writeJointly, publishSnapshot } from '../../src/workers/db/worker.ts';
import { readTlsMaterial } from '../database.ts';
import type { OpenRoom } from '../open-room.ts';
import { patiently } from '../patience.ts';
import { databaseOf, settingOf, type Platform } from '../platform.ts';

export const openDb = async (platform: Platform): Promise<OpenRoom> => {
  const { bus, clock, log } = platform;
  const database = databaseOf(platform);
  const passphrase = platform.settings.CORDAGE_CONFIG_PASSPHRASE;
  const vaults = createVaults({ database, passphrase, tls: readTlsMaterial(platform.settings), clock, log });
  await Promise.all([
    patiently('the database and the bus', platform, () => publishSnapshot({ database, bus, log })),
    patiently('the database and the bus', platform, () =>
      ensureBootstrapAdmin({ database, bus, clock, log, login: 'admin', password: settingOf(platform, 'CORDAGE_ADMIN_PASSWORD') }),
    ),
  ]);
  return {
    worker: createDbWorker({ configPassphrase: passphrase, vaults, log }),
    parking: createPostgresParkingLot({ database, schema: 'db' }),
    answers: createPostgresAnswerStore({ database, schema: 'db', makeTx: (sql) => createPostgresDbTx(sql, vaults), atOnce: writeAtOnce, jointly: writeJointly }),
  };
};
