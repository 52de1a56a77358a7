/** Bounds what an entity answer carries: it must fit into one record. */
import { entityReplyCharsMax } from './config.ts';

export type Item = { readonly id: string; readonly json: string };

/** The longest escape of one character inside a JSON string, `\u0000`. */
const escapeCharsMax = 6;

/** Length of an item inside an answer, where its text is escaped once more. */
const charsOf = ({ id, json }: Item): number => JSON.stringify(id).length + JSON.stringify(json).length + `{"id":,"json":},`.length;

export const fitsReply = (items: readonly Item[]): boolean => {
  const plain = items.reduce((sum, { id, json }) => sum + id.length + json.length, 0);
  // Most answers are small: those need not be written out to know that they fit.
  if ((plain + items.length * 20) * escapeCharsMax <= entityReplyCharsMax) return true;
  return items.reduce((sum, item) => sum + charsOf(item), 0) <= entityReplyCharsMax;
};

/** The first items that fit into one answer. */
export const itemsThatFit = (items: readonly Item[]): readonly Item[] => {
  if (fitsReply(items)) return items;
  let chars = 0;
  const end = items.findIndex((item) => (chars += charsOf(item)) > entityReplyCharsMax);
  return end < 0 ? items : items.slice(0, end);
};
