/** `cordage network …` as operators type it, and what it said. */
import { expect, vi } from 'vitest';
import { runCommandLine } from '../../src/cli/command-line.ts';
import type { BlackBox } from '../workers/rest/black-box/cluster.ts';

export type Ended = { readonly code: number; readonly out: string; readonly err: string; readonly progress: string };

/** @param folder where the command line keeps what it remembers. */
export const networkCommand = async ({ url, admin }: BlackBox, folder: string, args: readonly string[]): Promise<Ended> => {
  const said = { out: '', err: '', progress: '' };
  const log = vi.spyOn(console, 'log').mockImplementation((text: string) => void (said.out += `${text}\n`));
  const error = vi.spyOn(console, 'error').mockImplementation((text: string) => void (said.err += `${text}\n`));
  const write = vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
    said.progress += String(text);
    return true;
  });
  vi.stubEnv('XDG_CONFIG_HOME', folder).stubEnv('CORDAGE_PASSWORD', admin.password);
  try {
    return { code: await runCommandLine(['network', ...args, '--url', url]), ...said };
  } finally {
    for (const spy of [log, error, write]) spy.mockRestore();
    vi.unstubAllEnvs();
  }
};

/** What a command told programs; it must have ended so. */
export const told = ({ code, out, err }: Ended, expected = 0) => {
  expect(code, err).toBe(expected);
  return JSON.parse(out);
};
