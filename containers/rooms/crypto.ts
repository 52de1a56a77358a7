/** crypto: its root key, its answers. */
import { dbToAllCertificate } from '../../src/messages/db-to-all.certificate.ts';
import { createPostgresAnswerStore } from '../../src/postgres/answer-store.ts';
import { createPostgresParkingLot } from '../../src/postgres/parking-lot.ts';
import { createPostgresKeys } from '../../src/workers/crypto/postgres-keys.ts';
import { deriveRootKey } from '../../src/workers/crypto/root-key.ts';
import { createCryptoWorker } from '../../src/workers/crypto/worker.ts';
import type { OpenRoom } from '../open-room.ts';
import { databaseOf, settingOf, type Platform } from '../platform.ts';

export const openCrypto = async (platform: Platform): Promise<OpenRoom> => {
  const { views, clock, log, metrics } = platform;
  const database = databaseOf(platform);
  const certificates = await views.open(dbToAllCertificate);
  const rootKey = await deriveRootKey({ passphrase: settingOf(platform, 'CORDAGE_CRYPTO_PASSPHRASE'), salt: settingOf(platform, 'CORDAGE_CRYPTO_SALT') });
  return {
    worker: createCryptoWorker({ rootKey, certificates, clock, log, metrics }),
    parking: createPostgresParkingLot({ database, schema: 'crypto' }),
    answers: createPostgresAnswerStore({ database, schema: 'crypto', makeTx: createPostgresKeys }),
  };
};
