/**
 * Arrays of the common types, as postgres.js knows them by their type numbers. It could ask the server for these on each new
 * connection, but if the connection dies just then, the library lets an unhandled rejection out, which ends the process.
 *
 * One dimension only. Elements come back as the scalar would: bigint as text.
 */
import { fromHex, toHex } from '../cipher/bytes.ts';

type Element = { readonly write: (value: unknown) => string; readonly read: (text: string) => unknown };

const plain: Element = { write: String, read: (text) => text };
const numeric: Element = { write: String, read: Number };
const truth: Element = { write: (value) => (value === true ? 't' : 'f'), read: (text) => text === 't' };
const time: Element = { write: (value) => (value instanceof Date ? value.toISOString() : String(value)), read: (text) => new Date(text) };
const json: Element = { write: (value) => JSON.stringify(value), read: (text) => JSON.parse(text) as unknown };
const bytes: Element = {
  write: (value) => (value instanceof Uint8Array ? `\\x${toHex(value)}` : String(value)),
  read: (text) => fromHex(text.slice(2)),
};

/** Type numbers of arrays, from pg_type. */
const elements: readonly (readonly [string, number, Element])[] = [
  ['boolArray', 1000, truth],
  ['byteaArray', 1001, bytes],
  ['int4Array', 1007, numeric],
  ['textArray', 1009, plain],
  ['varcharArray', 1015, plain],
  ['int8Array', 1016, plain],
  ['float8Array', 1022, numeric],
  ['timestamptzArray', 1185, time],
  ['uuidArray', 2951, plain],
  ['jsonArray', 199, json],
  ['jsonbArray', 3807, json],
];

export const writeArray = (values: unknown, write: Element['write'] = String): string => {
  // Written already, by a caller who knows how.
  if (typeof values === 'string') return values;
  if (!Array.isArray(values)) throw new TypeError('a parameter of an array type is neither an array nor text');
  const cells = values.map((value: unknown) => {
    if (value === null) return 'NULL';
    if (value === undefined || Array.isArray(value)) throw new TypeError('an array parameter holds undefined or another array');
    return `"${write(value).replace(/\\/g, '\\\\').replace(/"/g, '\\"')}"`;
  });
  return `{${cells.join(',')}}`;
};

/** `{a,"b \"c\"",NULL}` */
export const readArray = (text: string, read: Element['read'] = (cell) => cell): unknown[] => {
  if (!text.startsWith('{') || text.startsWith('{{')) throw new Error(`not an array of one dimension: ${text.slice(0, 50)}`);
  const cells: unknown[] = [];
  const pattern = /"((?:[^"\\]|\\[^])*)"|([^,{}"]+)/g;
  for (const [, quoted, bare] of text.matchAll(pattern)) {
    if (quoted !== undefined) cells.push(read(quoted.replace(/\\([^])/g, '$1')));
    else cells.push(bare === 'NULL' ? null : read(bare!));
  }
  return cells;
};

export const arrayTypes = Object.fromEntries(
  elements.map(([name, number, { write, read }]) => [
    name,
    { to: number, from: [number], serialize: (values: unknown) => writeArray(values, write), parse: (text: string) => readArray(text, read) },
  ]),
);
