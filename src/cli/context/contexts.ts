/** The clusters that this user speaks to, by name: a file in the user's config folder that nobody else may read. */
import { chmodSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import * as z from 'zod';
import { writeDurably } from '../../host/files.ts';
import { usageError } from '../arguments.ts';

const context = z.object({
  url: z.url({ protocol: /^https?$/ }),
  login: z.string().optional(),
  password: z.string().optional(),
  /** A bearer token, in place of login and password. */
  token: z.string().optional(),
});
export type Context = z.infer<typeof context>;

const contextsFile = z.object({ v: z.literal(1), current: z.string().nullable(), contexts: z.record(z.string(), context) });
export type Contexts = z.infer<typeof contextsFile>;

const namePattern = /^[-._A-Za-z0-9]{1,64}$/;

/** The XDG folder, or the one that the platform has in its place. */
const folder = (): string => {
  const { XDG_CONFIG_HOME, APPDATA } = process.env;
  return join(XDG_CONFIG_HOME ?? (process.platform === 'win32' ? APPDATA : undefined) ?? join(homedir(), '.config'), 'cordage');
};

export const contextsPath = (): string => join(folder(), 'contexts.json');

export const readContexts = (): Contexts => {
  const file = contextsPath();
  if (!existsSync(file)) return { v: 1, current: null, contexts: {} };
  const parsed = contextsFile.safeParse(JSON.parse(readFileSync(file, 'utf8')));
  if (!parsed.success) throw new Error(`${file} is not a list of contexts that this version can read; repair it, or remove it and add the contexts again`);
  return parsed.data;
};

export const writeContexts = (contexts: Contexts): void => {
  const file = contextsPath();
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  writeDurably(file, `${JSON.stringify(contexts, null, 2)}\n`);
  // `writeDurably` makes a file of this mode; one that was there under another keeps none of it.
  chmodSync(file, 0o600);
};

export const checkName = (name: string): string => {
  if (namePattern.test(name)) return name;
  throw usageError(`a context's name has 1 to 64 letters, digits, ".", "-" and "_", unlike "${name}"`);
};

export const contextOf = (name: string): Context => {
  const { contexts } = readContexts();
  const found = Object.hasOwn(contexts, name) ? contexts[name] : undefined;
  if (found === undefined) throw usageError(`there is no context "${name}"; \`cordage context list\` shows those there are`);
  return found;
};

export const parseUrl = (url: string): string => {
  const parsed = context.shape.url.safeParse(url);
  if (!parsed.success) throw usageError(`--url must be an http or https URL, not "${url}"`);
  return url.replace(/\/+$/, '');
};
