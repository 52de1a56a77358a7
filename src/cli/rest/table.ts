/** Answers for people: lists as tables, objects as lines, texts as they are. */

import { pick, type Columns } from './columns.ts';

type Row = Readonly<Record<string, string>>;

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value);

const cellOf = (value: unknown): string => (value === null || value === undefined ? '' : typeof value === 'string' ? value : JSON.stringify(value));

/** An object inside an object lends its fields: `holdingIdentity.shortHash`. One level, so that a row stays a row. */
const rowOf = (value: unknown): Row => {
  if (!isObject(value)) return { value: cellOf(value) };
  const cells = Object.entries(value).flatMap(([name, field]): [string, string][] =>
    isObject(field) && Object.values(field).every((inner) => !isObject(inner)) && Object.keys(field).length <= 6
      ? Object.entries(field).map(([inner, one]) => [`${name}.${inner}`, cellOf(one)])
      : [[name, cellOf(field)]],
  );
  return Object.fromEntries(cells);
};

const cut = (text: string, widthMax: number): string => (text.length <= widthMax ? text : `${text.slice(0, widthMax - 1)}…`);

const oneLine = (text: string): string => text.replace(/\s+/g, ' ').trim();

/** A column in which nothing stands is left out. */
const table = (rows: readonly Row[], cellCharsMax: number): string => {
  if (rows.length === 0) return '(none)';
  const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))].filter((name) => rows.some((row) => (row[name] ?? '') !== ''));
  const lines = [columns, ...rows.map((row) => columns.map((name) => row[name] ?? ''))].map((cells) => cells.map((cell) => cut(oneLine(cell), cellCharsMax)));
  const widths = columns.map((_, i) => Math.max(...lines.map((cells) => cells[i]!.length)));
  return lines.map((cells) => cells.map((cell, i) => (i === cells.length - 1 ? cell : cell.padEnd(widths[i]!))).join('  ').trimEnd()).join('\n');
};

const fieldsOf = (value: Record<string, unknown>): string => {
  const row = rowOf(value);
  const width = Math.max(0, ...Object.keys(row).map(({ length }) => length));
  return Object.entries(row)
    .filter(([, cell]) => cell !== '')
    .map(([name, cell]) => `${name.padEnd(width)}  ${cell}`)
    .join('\n');
};

/** `cellCharsMax`: cells of tables are cut there. `columns`: what a list shows of each thing; default all of it. */
export const readable = (value: unknown, cellCharsMax: number, columns?: Columns): string => {
  const rowsOf = (list: readonly unknown[]): Row[] => list.map((one) => rowOf(columns === undefined ? one : pick(one, columns)));
  if (value === undefined) return 'done';
  if (Array.isArray(value)) return table(rowsOf(value), cellCharsMax);
  if (!isObject(value)) return typeof value === 'string' ? value.trimEnd() : JSON.stringify(value);
  const fields = Object.values(value);
  // A list in an object that holds nothing else is that list.
  if (fields.length === 1 && Array.isArray(fields[0])) return table(rowsOf(fields[0]), cellCharsMax);
  // A map of objects is a list whose rows have names.
  if (fields.length > 0 && fields.every(isObject)) return table(Object.entries(value).map(([name, field]) => ({ '': name, ...rowOf(field) })), cellCharsMax);
  return fieldsOf(value);
};
