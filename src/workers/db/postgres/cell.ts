/**
 * Cells of rows as JSON values that lose nothing: whole numbers while JavaScript counts them exactly, decimals as text, times in ISO
 * 8601. The server's own text is read, since the client's reading of times depends on the machine's zone.
 */

/** A value that JSON cannot carry exactly; the query says how it wants it. */
export class UnreadableCell extends Error {
  constructor(column: string, text: string) {
    super(`the column ${column} holds ${text.slice(0, 50)}, which JavaScript cannot count exactly; cast it to text in the query`);
    this.name = 'UnreadableCell';
  }
}

/** JSON, as the wire carries it. */
type Json = string | number | boolean | null | Json[] | { [key: string]: Json };

/** Numbers of types, from pg_type. */
const types = { bool: 16, int8: 20, int2: 21, int4: 23, json: 114, float4: 700, float8: 701, timestamp: 1114, timestamptz: 1184, jsonb: 3802 } as const;

const decoder = new TextDecoder();

const exact = (column: string, text: string): number => {
  const value = Number(text);
  if (!Number.isSafeInteger(value)) throw new UnreadableCell(column, text);
  return value;
};

/** `infinity` and years beyond JavaScript's stay as the server writes them. */
const instantOf = (text: string): string => {
  const time = new Date(text.replace(/([+-]\d\d)$/, '$1:00'));
  return Number.isNaN(time.getTime()) ? text : time.toISOString();
};

export const cellOf = (column: string, type: number, bytes: Uint8Array | null): Json => {
  if (bytes === null) return null;
  const text = decoder.decode(bytes);
  switch (type) {
    case types.bool:
      return text === 't';
    case types.int2:
    case types.int4:
      return Number(text);
    case types.int8:
      return exact(column, text);
    case types.float4:
    case types.float8:
      // JSON has no infinity and no NaN; their names stay.
      return Number.isFinite(Number(text)) ? Number(text) : text;
    case types.json:
    case types.jsonb:
      // The server stores valid JSON only.
      return JSON.parse(text) as Json;
    case types.timestamp:
      return text.replace(' ', 'T');
    case types.timestamptz:
      return instantOf(text);
    default:
      return text;
  }
};
