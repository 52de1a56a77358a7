/** `cordage config encrypt`: a secret as it may stand in the configuration. Nothing is sent anywhere. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { text as readAll } from 'node:stream/consumers';
import { parseArgs } from 'node:util';
import * as z from 'zod';
import { sealConfigSecret } from '../cipher/config-secret.ts';
import { usageError } from './arguments.ts';

export const configEncryptUsage = `cordage config encrypt [--state-dir <folder>]

  Reads a secret from standard input, less one line break at its end, and writes it as a section of the configuration takes it:
  {"configSecret":{"encryptedSecret":"…"}}. The passphrase is that of the cluster, CORDAGE_CONFIG_PASSPHRASE.
  --state-dir      of a combined cluster, which made its passphrase by itself`;

const secretsFile = z.object({ configPassphrase: z.string().min(8) });

const passphraseOf = (directory: string | undefined): string => {
  const given = process.env['CORDAGE_CONFIG_PASSPHRASE'];
  if (directory === undefined) {
    if (given === undefined || given.length < 8) throw usageError('config encrypt needs CORDAGE_CONFIG_PASSPHRASE (8 characters at least), or --state-dir of a combined cluster');
    return given;
  }
  const path = join(directory, 'secrets.json');
  const parsed = secretsFile.safeParse(JSON.parse(readFileSync(path, 'utf8')));
  if (!parsed.success) throw usageError(`${path} holds no passphrase of the configuration: start this cluster once with this version`);
  return parsed.data.configPassphrase;
};

export const configEncrypt = async (args: readonly string[]): Promise<number> => {
  const { values } = parseArgs({ args: [...args], options: { 'state-dir': { type: 'string' } } });
  const passphrase = passphraseOf(values['state-dir']);
  const secret = (await readAll(process.stdin)).replace(/\r?\n$/, '');
  if (secret === '') throw usageError('config encrypt reads the secret from standard input, and there was none');
  console.log(JSON.stringify({ configSecret: { encryptedSecret: await sealConfigSecret(passphrase, secret) } }));
  return 0;
};
