/** `ctx.json`: texts of values, and values of texts. */
import { canonicalJson } from '../cipher/canonical-json.ts';
import { FlowPlatformError } from './errors.ts';
import { toJson } from './perform.ts';
import { issuesText } from './standard-schema.ts';
import type { StandardSchema } from './standard-schema.ts';

/**
 * Texts of values, and values of texts.
 *
 * @example
 * ```ts
 * import { FlowPlatformError, startableFlow, type StandardSchema } from '@cordage/flow-sdk';
 *
 * const flag: StandardSchema<boolean> = {
 *   '~standard': { version: 1, vendor: 'example', validate: (value) => (typeof value === 'boolean' ? { value } : { issues: [{ message: 'not a flag' }] }) },
 * };
 *
 * export const reread = startableFlow({
 *   name: 'com.example.Reread',
 *   run: async (ctx) => {
 *     const codeOf = (error: unknown): string => (error instanceof FlowPlatformError ? error.code : 'another error');
 *     let refused = '';
 *     try {
 *       ctx.json.canonical({ when: new Map() });
 *     } catch (error) {
 *       refused = codeOf(error);
 *     }
 *     const read = await ctx.json.parse(ctx.json.format(true), flag);
 *     const wrong = await ctx.json.parse('"true"', flag).catch((error: unknown) => (codeOf(error) === 'DATA_INVALID' ? 'not valid' : 'odd'));
 *     return `${refused}; ${read}; ${wrong}`;
 *   },
 * });
 * ```
 */
export type FlowJson = {
  /** Reads a text with a schema. Errors: DATA_INVALID for what is no JSON or does not satisfy the schema. */
  parse<T>(text: string, schema: StandardSchema<T>): Promise<T>;
  /** The value as JSON text. Errors: VALUE_NOT_JSON. */
  format(value: unknown): string;
  /**
   * The value as canonical JSON (RFC 8785): the same text wherever it is written, whatever the order in which its members were set. What is
   * signed on one side and checked on another is best written so. Errors: VALUE_NOT_JSON, also for dates, maps and other instances.
   */
  canonical(value: unknown): string;
};

const parse = async <T>(text: string, schema: StandardSchema<T>): Promise<T> => {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new FlowPlatformError('DATA_INVALID', 'the text is not JSON');
  }
  const result = await schema['~standard'].validate(value);
  if (result.issues === undefined) return result.value;
  throw new FlowPlatformError('DATA_INVALID', issuesText(result.issues));
};

const canonical = (value: unknown): string => {
  try {
    return canonicalJson(value);
  } catch (error) {
    throw new FlowPlatformError('VALUE_NOT_JSON', error instanceof Error ? error.message : String(error));
  }
};

/** Functions of its own for each flow: what flows share, one could write to for another to find. */
export const createJson = (): FlowJson => ({ parse: (text, schema) => parse(text, schema), format: (value) => toJson(value, 'the value'), canonical: (value) => canonical(value) });
