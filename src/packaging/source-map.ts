/**
 * Reads where a place of a bundle stands in its author's sources (source maps, ECMA-426, version 3).
 *
 * A map is outside input: it is checked, bounded, and read once into a table of numbers, so that a place is found in microseconds
 * and a large map costs what it weighs.
 */
import * as z from 'zod';
import { packageLimits } from './config.ts';

/** A place in a text: both count from 1, as V8 counts. */
export type Position = { readonly line: number; readonly column: number };

export type SourceMap = {
  /** `src/order.ts:41:7`; `undefined` where the place is nobody's, as what the bundler wrote itself. */
  locate(position: Position): string | undefined;
};

const shape = z.object({
  version: z.literal(3),
  sources: z.array(z.string().max(1_000)).max(packageLimits.sourcesMax),
  mappings: z.string().max(packageLimits.mappingsCharsMax),
});

/** Segments of all lines in order, five numbers each: line and column of the bundle, source, its line and column; from 0. */
const width = 5;

/** `undefined` for what is no source map. */
export const readSourceMap = (text: string): SourceMap | undefined => {
  if (text.length > packageLimits.sourceMapBytesMax) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  const parsed = shape.safeParse(value);
  if (!parsed.success) return undefined;
  const { sources, mappings } = parsed.data;
  const table = tableOf(mappings);
  return table === undefined ? undefined : { locate: (position) => locate(table, sources, position) };
};

const locate = (table: Int32Array, sources: readonly string[], { line, column }: Position): string | undefined => {
  const segment = lastBefore(table, line - 1, column - 1);
  if (segment === undefined) return undefined;
  const [, , source, sourceLine, sourceColumn] = table.subarray(segment * width, (segment + 1) * width);
  const name = source === undefined ? undefined : sources[source];
  return name === undefined ? undefined : `${name}:${sourceLine! + 1}:${sourceColumn! + 1}`;
};

/** The last segment on the line that begins at the column or before. */
const lastBefore = (table: Int32Array, line: number, column: number): number | undefined => {
  let low = 0;
  let high = table.length / width;
  while (low < high) {
    const middle = (low + high) >> 1;
    const at = table[middle * width]!;
    if (at < line || (at === line && table[middle * width + 1]! <= column)) low = middle + 1;
    else high = middle;
  }
  return low > 0 && table[(low - 1) * width] === line ? low - 1 : undefined;
};

// ── The mappings ─────────────────────────────────────────────────────────────────────────────────────────────────────

const digits = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
const digitValues = new Map([...digits].map((digit, value) => [digit.charCodeAt(0), value]));
const [comma, semicolon] = [','.charCodeAt(0), ';'.charCodeAt(0)];

/** `undefined` where they are malformed. A segment of one number ends what the one before it said: its source is -1. */
const tableOf = (mappings: string): Int32Array | undefined => {
  const table: number[] = [];
  // Line of the bundle; column, source, source line, source column: each segment tells the difference to the one before.
  let line = 0;
  const sums = [0, 0, 0, 0, 0];
  for (let at = 0; at < mappings.length; ) {
    const unit = mappings.charCodeAt(at);
    if (unit === comma || unit === semicolon) {
      at += 1;
      if (unit === semicolon) {
        line += 1;
        sums[0] = 0;
      }
      continue;
    }
    const numbers = readSegment(mappings, at);
    if (numbers === undefined) return undefined;
    at = numbers.next;
    numbers.values.forEach((value, i) => (sums[i]! += value));
    const isSource = numbers.values.length > 1;
    table.push(line, sums[0]!, isSource ? sums[1]! : -1, isSource ? sums[2]! : 0, isSource ? sums[3]! : 0);
  }
  return Int32Array.from(table);
};

/** The numbers of one segment: base64 digits of five bits, least first, the sixth says that more follow, the first bit is the sign. */
const readSegment = (mappings: string, from: number): { readonly values: number[]; readonly next: number } | undefined => {
  const values: number[] = [];
  let value = 0;
  let shift = 0;
  let at = from;
  for (; at < mappings.length; at++) {
    const unit = mappings.charCodeAt(at);
    if (unit === comma || unit === semicolon) break;
    const digit = digitValues.get(unit);
    if (digit === undefined || shift > 30) return undefined;
    value += (digit & 31) * 2 ** shift;
    shift += 5;
    if ((digit & 32) !== 0) continue;
    values.push(value % 2 === 1 ? -(value - 1) / 2 : value / 2);
    value = 0;
    shift = 0;
  }
  return shift === 0 && [1, 4, 5].includes(values.length) ? { values, next: at } : undefined;
};
