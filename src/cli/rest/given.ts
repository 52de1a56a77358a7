/** From what was typed to what an operation takes: texts become the types of its document, file names become files. */
import { openAsBlob } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { text as textOfStream } from 'node:stream/consumers';
import { usageError } from '../arguments.ts';
import type { Operation, Option, Shape } from './operations.ts';

export type Typed = { readonly positionals: readonly string[]; readonly values: Readonly<Record<string, string | boolean | readonly string[] | undefined>> };

export type Given = {
  readonly path: Readonly<Record<string, string>>;
  readonly query: Readonly<Record<string, string | readonly string[]>>;
  readonly json?: unknown;
  readonly form?: Readonly<Record<string, string | Blob | readonly Blob[]>>;
};

/** `@file` stands for what is in the file, `-` for standard input. */
const contentOf = async (given: string): Promise<string> => {
  if (given === '-') return textOfStream(process.stdin);
  if (!given.startsWith('@')) return given;
  return readFile(given.slice(1), 'utf8').catch((cause: Error) => Promise.reject(usageError(`${given.slice(1)} cannot be read: ${cause.message}`)));
};

const jsonOf = (flag: string, content: string): unknown => {
  try {
    return JSON.parse(content);
  } catch {
    throw usageError(`--${flag} must be JSON, @<file> with JSON, or - for standard input`);
  }
};

/** JSON where it is JSON, else the text as it stands. */
const jsonOrText = (content: string): unknown => {
  try {
    return JSON.parse(content);
  } catch {
    return content;
  }
};

const numberOf = (flag: string, given: string): number => {
  if (given.trim() !== '' && Number.isFinite(Number(given))) return Number(given);
  throw usageError(`--${flag} must be a number, not "${given}"`);
};

const booleanOf = (flag: string, given: string): boolean => {
  if (given === 'true' || given === 'false') return given === 'true';
  throw usageError(`--${flag} must be true or false, not "${given}"`);
};

const pairOf = (flag: string, given: string): [string, string] => {
  const at = given.indexOf('=');
  if (at < 1) throw usageError(`--${flag} takes <key>=<value>, not "${given}"`);
  return [given.slice(0, at), given.slice(at + 1)];
};

const isMap = ({ type, properties }: Shape): boolean => type === 'object' && properties === undefined;

/** Flags of lists and maps may be repeated. */
export const isRepeated = ({ place, shape }: Option): boolean => shape.type === 'array' || (place === 'json' && isMap(shape));

const valueOf = async ({ flag, shape }: Option, given: readonly string[]): Promise<unknown> => {
  const [first = ''] = given;
  const whole = /^[@[{-]/.test(first) && given.length === 1;
  switch (shape.type) {
    case 'integer':
    case 'number':
      return numberOf(flag, first);
    case 'boolean':
      return booleanOf(flag, first);
    case 'string':
      return first.startsWith('@') ? contentOf(first) : first;
    case 'array':
      if (whole && shape.items?.type !== 'string') return jsonOf(flag, await contentOf(first));
      return given.map((one) => (shape.items?.type === 'string' ? one : jsonOf(flag, one)));
    case 'object':
      if (whole || !isMap(shape)) return jsonOf(flag, await contentOf(first));
      return Object.fromEntries(given.map((one) => pairOf(flag, one)));
    default:
      return jsonOrText(await contentOf(first));
  }
};

const fileOf = async (path: string): Promise<Blob> => openAsBlob(path).catch((cause: Error) => Promise.reject(usageError(`${path} cannot be read: ${cause.message}`)));

const fieldOf = async ({ shape }: Option, given: readonly string[]): Promise<string | Blob | readonly Blob[]> => {
  if (shape.type === 'array') return Promise.all(given.map(fileOf));
  return shape.format === 'binary' ? fileOf(given[0]!) : given[0]!;
};

const textsOf = (values: Typed['values'], { flag }: Option): readonly string[] | undefined => {
  const given = values[flag];
  if (given === undefined || typeof given === 'boolean') return undefined;
  return typeof given === 'string' ? [given] : given;
};

/** A form with one file takes it as its last word: `cordage cpi upload app.cpi`. */
export const fileArgumentOf = ({ options }: Operation): Option | undefined => {
  const files = options.filter(({ place, shape }) => place === 'form' && (shape.format === 'binary' || shape.type === 'array'));
  return files.length === 1 ? files[0] : undefined;
};

const withFileArguments = (operation: Operation, { positionals, values }: Typed): Typed => {
  const file = fileArgumentOf(operation);
  const words = positionals.slice(operation.positionals.length);
  if (file === undefined || words.length === 0) return { positionals, values };
  return { positionals: positionals.slice(0, operation.positionals.length), values: { ...values, [file.flag]: [...(textsOf(values, file) ?? []), ...words] } };
};

const checkWords = ({ positionals: wanted, noun, verb }: Operation, { positionals }: Typed): void => {
  if (positionals.length === wanted.length) return;
  throw usageError(`${noun} ${verb} takes ${wanted.length === 0 ? 'no words' : wanted.map((name) => `<${name}>`).join(' ')}, and was given ${positionals.length === 0 ? 'none' : positionals.join(' ')}`);
};

export const readGiven = async (operation: Operation, given: Typed): Promise<Given> => {
  const typed = withFileArguments(operation, given);
  checkWords(operation, typed);
  const { body } = typed.values;
  const query: Record<string, string | readonly string[]> = {};
  const json: Record<string, unknown> = {};
  const form: Record<string, string | Blob | readonly Blob[]> = {};
  for (const option of operation.options) {
    const texts = textsOf(typed.values, option);
    if (texts === undefined) {
      if (option.required && !(option.place === 'json' && body !== undefined)) throw usageError(`${operation.noun} ${operation.verb} needs --${option.flag}`);
      continue;
    }
    if (option.place === 'query') query[option.name] = option.shape.type === 'array' ? texts : texts[0]!;
    else if (option.place === 'form') form[option.name] = await fieldOf(option, texts);
    else json[option.name] = await valueOf(option, texts);
  }
  const whole = typeof body === 'string' ? jsonOf('body', await contentOf(body)) : {};
  return {
    path: Object.fromEntries(operation.positionals.map((name, i) => [name, typed.positionals[i]!])),
    query,
    // A body that is no object is sent as it is; flags add to an object.
    ...(operation.takesJson ? { json: typeof whole === 'object' && whole !== null && !Array.isArray(whole) ? { ...whole, ...json } : whole } : {}),
    ...(Object.keys(form).length === 0 ? {} : { form }),
  };
};
