/** crypto: its root key, its answers. */
import { dbToAllCertificate } from '../../src/messages/db-to-all.certificate.ts';
import { openConfigSecret } from '../../src/cipher/config-secret.ts';
import type { SectionValues } from '../../src/messages/configuration/sections.ts';
import { createPostgresAnswerStore } from '../../src/postgres/answer-store.ts';
import { createPostgresParkingLot } from '../../src/postgres/parking-lot.ts';
import { createPostgresKeys } from '../../src/workers/crypto/postgres-keys.ts';
import { deriveRootKey, type RootKey } from '../../src/workers/crypto/root-key.ts';
import { createCryptoWorker, type CryptoDeps } from '../../src/workers/crypto/worker.ts';
import { openConfig } from '../live-config.ts';
import type { OpenRoom } from '../open-room.ts';
import { databaseOf, settingOf, type Platform } from '../platform.ts';

type Hsm = SectionValues['corda.crypto']['hsm'];

/** Root keys of the configuration, by alias; their passphrases are secrets in it. */
const configuredRoots = async ({ wrappingKeys }: Hsm, passphrase: string | undefined): Promise<ReadonlyMap<string, RootKey>> => {
  const roots = new Map<string, RootKey>();
  for (const { alias, salt, passphrase: secret } of wrappingKeys) {
    if (passphrase === undefined) throw new Error('corda.crypto has root wrapping keys: set CORDAGE_CONFIG_PASSPHRASE, which opens their passphrases');
    roots.set(alias, await deriveRootKey({ passphrase: await openConfigSecret(passphrase, secret.configSecret.encryptedSecret), salt }));
  }
  return roots;
};

/** The root key of today, and those that only open. */
export const rootKeysOf = async (platform: Pick<Platform, 'settings'>, hsm: Hsm): Promise<Pick<CryptoDeps, 'rootKey'> & Required<Pick<CryptoDeps, 'otherRootKeys'>>> => {
  const salt = settingOf(platform, 'CORDAGE_CRYPTO_SALT');
  const { CORDAGE_CRYPTO_PASSPHRASE_BEFORE: before, CORDAGE_CRYPTO_SALT_BEFORE: saltBefore = salt } = platform.settings;
  const [rootKey, ...otherRootKeys] = await Promise.all([
    deriveRootKey({ passphrase: settingOf(platform, 'CORDAGE_CRYPTO_PASSPHRASE'), salt }),
    ...(before === undefined ? [] : [deriveRootKey({ passphrase: before, salt: saltBefore })]),
  ]);
  const configured = await configuredRoots(hsm, platform.settings.CORDAGE_CONFIG_PASSPHRASE);
  const chosen = configured.get(hsm.defaultWrappingKey) ?? rootKey!;
  return { rootKey: chosen, otherRootKeys: [rootKey!, ...otherRootKeys, ...configured.values()].filter((one) => one !== chosen) };
};

export const openCrypto = async (platform: Platform): Promise<OpenRoom> => {
  const { views, clock, log, metrics } = platform;
  const database = databaseOf(platform);
  const certificates = await views.open(dbToAllCertificate);
  const config = await openConfig(platform);
  const { rootKey, otherRootKeys } = await rootKeysOf(platform, config.get('corda.crypto').hsm);
  return {
    worker: createCryptoWorker({ rootKey, otherRootKeys, certificates, config, clock, log, metrics }),
    parking: createPostgresParkingLot({ database, schema: 'crypto' }),
    answers: createPostgresAnswerStore({ database, schema: 'crypto', makeTx: createPostgresKeys }),
  };
};
