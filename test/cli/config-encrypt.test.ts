import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, test } from 'vitest';
import { openConfigSecret } from '../../src/cipher/config-secret.ts';

const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
const directory = mkdtempSync(join(tmpdir(), 'cordage-encrypt-'));
afterAll(() => rmSync(directory, { recursive: true }));

const encrypt = (args: readonly string[], input: string, passphrase?: string) => {
  const { CORDAGE_CONFIG_PASSPHRASE: _, ...environment } = process.env;
  return spawnSync(process.execPath, [main, 'config', 'encrypt', ...args], { input, encoding: 'utf8', env: { ...environment, ...(passphrase === undefined ? {} : { CORDAGE_CONFIG_PASSPHRASE: passphrase }) } });
};

test('a secret becomes what the configuration takes, by the passphrase of the environment or of a state folder', async () => {
  const { stdout } = encrypt([], 'geheim\n', 'passphrase');
  const { configSecret } = JSON.parse(stdout) as { configSecret: { encryptedSecret: string } };
  expect(await openConfigSecret('passphrase', configSecret.encryptedSecret)).toBe('geheim');
  writeFileSync(join(directory, 'secrets.json'), JSON.stringify({ configPassphrase: 'passphrase of the folder' }));
  const folder = JSON.parse(encrypt(['--state-dir', directory], 'geheim').stdout) as { configSecret: { encryptedSecret: string } };
  expect(await openConfigSecret('passphrase of the folder', folder.configSecret.encryptedSecret)).toBe('geheim');
});

test('without a passphrase or a secret it says what it lacks', () => {
  const nothing = encrypt([], 'geheim');
  expect([nothing.status, nothing.stderr]).toEqual([2, expect.stringContaining('CORDAGE_CONFIG_PASSPHRASE')]);
  expect(encrypt([], '', 'passphrase').status).toBe(2);
});
