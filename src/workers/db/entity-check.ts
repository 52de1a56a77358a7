/**
 * Checks an entity request before it reaches the database, where one bad value would spoil the whole batch: PostgreSQL
 * refuses NUL and lone surrogates in text, numbers far out of range, and JSON nested deeper than its stack.
 */
import type { EntityOperation } from '../../messages/flow-to-db.entity.ts';
import { entityDepthMax } from './config.ts';
import { readPlace } from './entity-place.ts';

export type CheckedOperation = { readonly type: 'operation'; readonly operation: EntityOperation } | { readonly type: 'invalid'; readonly reason: string };

export type CheckedJson = { readonly type: 'json'; readonly json: string } | { readonly type: 'invalid'; readonly reason: string };

const isStorable = (text: string): boolean => text.isWellFormed() && !text.includes('\u0000');

/** Escapes, large exponents, long runs of digits: what may hide something that the text itself does not show. */
const suspicious = /\\u|[eE][+-]?\d{3}|\d{300}/;

/** Whether it may be nested deeper than the bound, by how many brackets it has. */
const mayBeDeep = (text: string): boolean => {
  // As many characters are as many brackets at most, and each of them is closed.
  if (text.length <= 2 * entityDepthMax) return false;
  let count = 0;
  for (let i = 0; i < text.length && count <= entityDepthMax; i++) {
    const code = text.charCodeAt(i);
    if (code === 0x5b || code === 0x7b) count++;
  }
  return count > entityDepthMax;
};

/** What is wrong with a parsed value; `undefined` when nothing is. Goes no deeper than the bound, so it cannot overflow. */
const faultOf = (value: unknown, depth: number): string | undefined => {
  if (typeof value === 'string') return isStorable(value) ? undefined : 'a string holds NUL or half of a surrogate pair';
  if (typeof value === 'number') return Number.isFinite(value) ? undefined : 'a number is out of range';
  if (typeof value !== 'object' || value === null) return undefined;
  if (depth >= entityDepthMax) return `nested deeper than ${entityDepthMax}`;
  for (const [key, part] of Object.entries(value)) {
    if (!isStorable(key)) return 'a field name holds NUL or half of a surrogate pair';
    const fault = faultOf(part, depth + 1);
    if (fault !== undefined) return fault;
  }
  return undefined;
};

/** The text to store: as written, or as JavaScript writes it again where the text holds something unusual. */
export const checkEntityJson = (text: string): CheckedJson => {
  if (!text.isWellFormed()) return { type: 'invalid', reason: 'the text holds half of a surrogate pair' };
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { type: 'invalid', reason: 'the text is not JSON' };
  }
  const unusual = suspicious.test(text);
  if (!unusual && !mayBeDeep(text)) return { type: 'json', json: text };
  const reason = faultOf(value, 0);
  if (reason !== undefined) return { type: 'invalid', reason };
  return { type: 'json', json: unusual ? JSON.stringify(value) : text };
};

const idFault = (ids: readonly string[]): string | undefined => {
  const bad = ids.find((id) => !isStorable(id));
  return bad === undefined ? undefined : `the id ${JSON.stringify(bad)} holds NUL or half of a surrogate pair`;
};

type Written = Extract<EntityOperation, { type: 'persist' | 'merge' }>;

const checkWritten = (operation: Written): CheckedOperation => {
  const seen = new Set<string>();
  const items = [];
  for (const { id, json } of operation.items) {
    if (seen.has(id)) return { type: 'invalid', reason: `the id ${JSON.stringify(id)} stands twice in one request` };
    seen.add(id);
    const checked = checkEntityJson(json);
    if (checked.type === 'invalid') return { type: 'invalid', reason: `entity ${JSON.stringify(id)}: ${checked.reason}` };
    items.push({ id, json: checked.json });
  }
  const reason = idFault([...seen]);
  return reason === undefined ? { type: 'operation', operation: { ...operation, items } } : { type: 'invalid', reason };
};

const checkQuery = (operation: Extract<EntityOperation, { type: 'query' | 'count' }>): CheckedOperation => {
  const after = operation.type === 'query' ? operation.after : undefined;
  const reason = faultOf(operation.where, 0) ?? faultOf(operation.conditions, 0) ?? idFault(after === undefined ? [] : [after]) ?? placeFault(operation);
  return reason === undefined ? { type: 'operation', operation } : { type: 'invalid', reason: `query: ${reason}` };
};

/** Where a page in order of a field ended is a text of ours that the application hands back. */
const placeFault = (operation: EntityOperation): string | undefined => {
  if (operation.type !== 'query' || operation.orderBy === undefined || operation.after === undefined) return undefined;
  const place = readPlace(operation.after);
  return place === undefined || !isStorable(place.id) || checkEntityJson(place.value).type === 'invalid' ? '`after` is none of a query in this order' : undefined;
};

/** The operation as the repositories take it: storable, with distinct ids. */
export const checkEntityOperation = (operation: EntityOperation): CheckedOperation => {
  switch (operation.type) {
    case 'persist':
    case 'merge':
      return checkWritten(operation);
    case 'remove':
    case 'find': {
      const reason = idFault(operation.ids);
      if (reason !== undefined) return { type: 'invalid', reason };
      return { type: 'operation', operation: { ...operation, ids: [...new Set(operation.ids)] } };
    }
    case 'query':
    case 'count':
      return checkQuery(operation);
  }
};
