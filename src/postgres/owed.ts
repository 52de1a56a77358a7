/**
 * Effects as text: where they go, and behind that their values as they are. A value is JSON text full of quotes: written as a JSON
 * string it would be longer by a tenth, and both sides would read every character of it once more.
 */
import type { OutRecord } from '../messages/grammar/record.ts';

/** A control character: JSON text has it only escaped. Another than the one between cells (`statement.ts`). */
const separator = '\u001e';

type Address = readonly [topic: string, key: string, partition?: number];

/** Values are made by JSON.stringify, so they hold no control character and no half of a surrogate pair; any other text is escaped. */
// oxlint-disable-next-line no-control-regex -- they are what is looked for
const isPlain = ({ value }: OutRecord): boolean => !/[\u0000-\u001f]/.test(value) && value.isWellFormed();

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
