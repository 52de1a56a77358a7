/** Where a page of entities in order of a field ended: the field's value as JSON text, and the id. The application hands it back. */
import { replyCharsMax } from './config.ts';

export type EntityPlace = { readonly value: string; readonly id: string };

export const writePlace = ({ value, id }: EntityPlace): string => JSON.stringify([value, id]);

const isJson = (text: string): boolean => {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
};

export const readPlace = (text: string): EntityPlace | undefined => {
  if (text.length > replyCharsMax || !isJson(text)) return undefined;
  const place: unknown = JSON.parse(text);
  if (!Array.isArray(place) || place.length !== 2) return undefined;
  const [value, id] = place as [unknown, unknown];
  return typeof value === 'string' && typeof id === 'string' && isJson(value) ? { value, id } : undefined;
};
