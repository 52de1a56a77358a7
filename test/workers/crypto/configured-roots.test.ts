import { expect, test } from 'vitest';
import { rootKeysOf } from '../../../containers/rooms/crypto.ts';
import { settingsShape } from '../../../containers/settings.ts';
import { sealConfigSecret } from '../../../src/cipher/config-secret.ts';
import { readSection } from '../../../src/messages/configuration/sections.ts';

const settings = settingsShape.parse({ CORDAGE_CRYPTO_PASSPHRASE: 'passphrase of today', CORDAGE_CRYPTO_SALT: 'salt of today', CORDAGE_CONFIG_PASSPHRASE: 'configuration' });

const hsmWith = async (defaultWrappingKey: string, secretOf = 'configuration') => {
  const encryptedSecret = await sealConfigSecret(secretOf, 'passphrase of tomorrow');
  const read = readSection('corda.crypto', { hsm: { wrappingKeys: [{ alias: 'tomorrow', salt: 'salt of tomorrow', passphrase: { configSecret: { encryptedSecret } } }], defaultWrappingKey } });
  if (read.type === 'invalid') throw new Error(JSON.stringify(read.details));
  return read.value.hsm;
};

test('a root key of the configuration opens what it sealed, and seals once it is the default; that of the environment stays to open', async () => {
  const before = await rootKeysOf({ settings }, await hsmWith('root'));
  const after = await rootKeysOf({ settings }, await hsmWith('tomorrow'));
  expect(before.otherRootKeys.map(({ alias }) => alias)).toEqual([after.rootKey.alias]);
  expect(after.otherRootKeys.map(({ alias }) => alias)).toEqual([before.rootKey.alias]);
  expect(before.rootKey.alias).not.toBe(after.rootKey.alias);
});

test('a passphrase that cannot be opened stops the worker at its start, saying why', async () => {
  await expect(rootKeysOf({ settings }, await hsmWith('root', 'another passphrase'))).rejects.toThrow();
  await expect(rootKeysOf({ settings: { ...settings, CORDAGE_CONFIG_PASSPHRASE: undefined } }, await hsmWith('root'))).rejects.toThrow('CORDAGE_CONFIG_PASSPHRASE');
});
