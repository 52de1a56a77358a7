/**
 * Effects as text: where they go, and behind that their values as they are. A value is JSON text full of quotes: written as a JSON
 * string it would be longer by a tenth, and both sides would read every character of it once more.
 */
import type { OutRecord } from '../messages/grammar/record.ts';
import { separator as cellSeparator } from './statement.ts';

/** A control character: JSON text has it only escaped. Another than the one between cells. */
const separator = '\u001e';

type Address = readonly [topic: string, key: string, partition?: number];

/**
 * Values are made by JSON.stringify, so they hold neither what parts them here or in a column, nor what PostgreSQL takes in no text; any other text is
 * escaped.
 */
const isPlain = ({ value }: OutRecord): boolean => value.isWellFormed() && !value.includes(separator) && !value.includes(cellSeparator) && !value.includes('\u0000');

export const writeOwed = (owed: readonly OutRecord[]): string => {
  if (owed.length === 0) return '[]';
  if (!owed.every(isPlain)) return JSON.stringify(owed);
  const addresses = owed.map(({ topic, key, partition }): Address => (partition === undefined ? [topic, key] : [topic, key, partition]));
  return JSON.stringify(addresses) + owed.map(({ value }) => separator + value).join('');
};

export const readOwed = (text: string): readonly OutRecord[] => {
  if (text === '[]') return [];
  const [first, ...values] = text.split(separator);
  // Written above, in one form or the other.
  if (values.length === 0) return JSON.parse(text) as OutRecord[];
  const addresses = JSON.parse(first!) as Address[];
  return addresses.map(([topic, key, partition], i) => ({ topic, key, value: values[i]!, ...(partition === undefined ? {} : { partition }) }));
};
