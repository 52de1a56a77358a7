/** crypto: its root key, its answers. */
import { dbToAllCertificate } from '../../src/messages/db-to-all.certificate.ts';
import { createPostgresAnswerStore } from '../../src/postgres/answer-store.ts';
import { createPostgresParkingLot } from '../../src/postgres/parking-lot.ts';
import { createPostgresKeys } from '../../src/workers/crypto/postgres-keys.ts';
import { deriveRootKey } from '../../src/workers/crypto/root-key.ts';
import { createCryptoWorker, type CryptoDeps } from '../../src/workers/crypto/worker.ts';
import type { OpenRoom } from '../open-room.ts';
import { databaseOf, settingOf, type Platform } from '../platform.ts';

/** The root key of today, and one that only opens. */
const rootKeysOf = async (platform: Platform): Promise<Pick<CryptoDeps, 'rootKey'> & Required<Pick<CryptoDeps, 'otherRootKeys'>>> => {
  const salt = settingOf(platform, 'CORDAGE_CRYPTO_SALT');
  const { CORDAGE_CRYPTO_PASSPHRASE_BEFORE: before, CORDAGE_CRYPTO_SALT_BEFORE: saltBefore = salt } = platform.settings;
  const [rootKey, ...otherRootKeys] = await Promise.all([
    deriveRootKey({ passphrase: settingOf(platform, 'CORDAGE_CRYPTO_PASSPHRASE'), salt }),
    ...(before === undefined ? [] : [deriveRootKey({ passphrase: before, salt: saltBefore })]),
  ]);
  return { rootKey, otherRootKeys };
};

export const openCrypto = async (platform: Platform): Promise<OpenRoom> => {
  const { views, clock, log, metrics } = platform;
  const database = databaseOf(platform);
  const certificates = await views.open(dbToAllCertificate);
  const { rootKey, otherRootKeys } = await rootKeysOf(platform);
  return {
    worker: createCryptoWorker({ rootKey, otherRootKeys, certificates, clock, log, metrics }),
    parking: createPostgresParkingLot({ database, schema: 'crypto' }),
    answers: createPostgresAnswerStore({ database, schema: 'crypto', makeTx: createPostgresKeys }),
  };
};
