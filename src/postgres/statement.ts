/**
 * Statements over many rows take one parameter a column, so that one prepared text serves every number of rows. JSON columns
 * travel as their texts joined by a character that JSON text cannot hold: nothing is escaped on the way, and the server only
 * looks for the character. (Measured against `values` lists of a parameter a cell, padded to a few sizes: those cost both sides
 * twice as much at twenty rows.)
 */
export type Parameter = string | number | null;

/** Rows that one list takes at most: keeps a statement's memory bounded. */
export const rowsMax = 16_384;

/** A control character: JSON text has it only escaped. */
export const separator = '\u001f';

/** SQL of a column of JSON texts, from the parameter `jsonColumn` makes; elements that are `null` become NULL. */
export const jsonArraySql = (parameter: number): string => `string_to_array($${parameter}::text, E'\\x1f', 'null')`;

/** The same where no element is NULL: there the text `null` is JSON's. */
export const jsonTextsSql = (parameter: number): string => `string_to_array($${parameter}::text, E'\\x1f')`;

/** JSON texts as one parameter. */
export const jsonColumn = (texts: readonly string[]): string => texts.join(separator);

/** An array as PostgreSQL writes it, for short texts like keys. Whether anything is to be escaped is asked of all of them at once: hardly ever there is. */
export const textArray = (texts: readonly (string | null)[]): string => {
  const all = texts.join('');
  if (all !== '' && !all.includes('"') && !all.includes('\\') && !texts.includes(null)) return `{"${texts.join('","')}"}`;
  return `{${texts.map((text) => (text === null ? 'NULL' : `"${text.replace(/["\\]/g, '\\$&')}"`)).join(',')}}`;
};

export const numberArray = (numbers: readonly (number | null)[]): string => `{${numbers.map((number) => number ?? 'NULL').join(',')}}`;

/** A schema's name in a statement; names are ours, so anything odd is a programmer's error. */
export const schemaName = (schema: string): string => {
  if (!/^[a-z][a-z0-9_]{0,62}$/.test(schema)) throw new Error(`"${schema}" is not a schema name of ours`);
  return `"${schema}"`;
};
