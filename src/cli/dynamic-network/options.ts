/** What the commands of `cordage network` share in reading their arguments. */
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { openSigningKey } from '../../packaging/build-signing-key.ts';
import type { Signer } from '../../packaging/build/containers.ts';
import { usageError } from '../arguments.ts';
import { createProgress, type Progress } from '../progress.ts';
import { connectionOptions } from '../rest/connection.ts';

export const text = { type: 'string' } as const;
export const texts = { type: 'string', multiple: true, default: [] as string[] } as const;

/** Of founding and of joining. */
export const memberOptions = {
  ...connectionOptions,
  name: text,
  endpoint: text,
  'tls-alias': text,
  'set-context': texts,
  key: { ...text, default: '.cordage/signing-key' },
  timeout: text,
  json: { type: 'boolean', default: false },
} as const;

export const memberOptionsUsage = `  --endpoint       URL of the cluster's gateway, as others reach it: https://gateway.example:8080
  --tls-alias      of the p2p-tls certificate of that gateway (default the one that the cluster made for itself)
  --set-context    <key=value> in the registration, may be repeated, for instance ext.department=trade
  --key            folder of the key that signs CPIs, made on first use (default .cordage/signing-key)
  --timeout        seconds to wait for the registration (default 120)
  --json           the outcome for programs; progress goes to standard error`;

const timeoutSecondsDefault = 120;

export const timeoutMsOf = (given: string | undefined): number => {
  const seconds = given === undefined ? timeoutSecondsDefault : Number(given);
  if (seconds > 0) return seconds * 1000;
  throw usageError(`--timeout is a number of seconds, not "${given}"`);
};

export const needed = (command: string, option: string, given: string | undefined): string => {
  if (given === undefined) throw usageError(`${command} needs --${option}`);
  return given;
};

export const endpointOf = (given: string): string => {
  if (URL.canParse(given) && /^https:\/\/[^/]+:\d{1,5}(?:\/|$)/.test(given)) return given;
  throw usageError(`--endpoint must be an https URL with a host and a port, not "${given}"`);
};

export const contextOf = (pairs: readonly string[]): Record<string, string> =>
  Object.fromEntries(
    pairs.map((pair) => {
      const at = pair.indexOf('=');
      if (at < 1) throw usageError(`--set-context takes <key>=<value>, not "${pair}"`);
      return [pair.slice(0, at), pair.slice(at + 1)];
    }),
  );

export const readTexts = (option: string, paths: readonly string[]): Promise<string[]> =>
  Promise.all(paths.map((path) => readFile(path, 'utf8').catch((cause: Error) => Promise.reject(usageError(`--${option}: ${path} cannot be read: ${cause.message}`)))));

export const signerIn = (folder: string) => (): Promise<Signer> => openSigningKey(resolve(folder));

export const progressOf = (json: boolean): Progress => createProgress((line) => (json ? process.stderr : process.stdout).write(line));
