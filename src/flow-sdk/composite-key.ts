/**
 * Composite keys: a tree of public keys with weights and thresholds, as Corda has them. "Two of these three", "the chair, or three
 * members of the board". Pure values; `ctx.crypto.verifyComposite` checks signatures against one.
 */
import { canonicalJson } from '../cipher/canonical-json.ts';
import { FlowPlatformError } from './errors.ts';

/** A node: it is fulfilled when the weights of its fulfilled children reach the threshold. */
export type CompositeKey = { readonly threshold: number; readonly children: readonly CompositeChild[] };
export type CompositeChild = {
  readonly weight: number;
  /** SubjectPublicKeyInfo in base64url, or a node. */
  readonly key: string | CompositeKey;
};

/** Nesting of nodes, and keys of one tree. */
const depthMax = 10;
const keysMax = 100;
/** Weights and thresholds are Java's positive integers. */
const weightMax = 2 ** 31 - 1;

const fail = (reason: string): never => {
  throw new FlowPlatformError('DATA_INVALID', `the composite key is none: ${reason}`);
};

const isWeight = (value: unknown): value is number => typeof value === 'number' && Number.isInteger(value) && value > 0 && value <= weightMax;

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value);

const textOf = (key: string | CompositeKey): string => canonicalJson(key);

/** In order of their texts, so that one key has one spelling. */
const byText = (one: CompositeChild, other: CompositeChild): number => (textOf(one.key) < textOf(other.key) ? -1 : 1);

const readChild = (value: unknown, depth: number, seen: Set<string>): CompositeChild => {
  if (!isObject(value)) return fail('a child has a weight and a key');
  const { weight, key, ...more } = value;
  if (!isWeight(weight) || Object.keys(more).length > 0) return fail('a child has a weight, a positive integer, and a key');
  if (typeof key !== 'string') return { weight, key: readNode(key, depth + 1, seen) };
  if (!/^[A-Za-z0-9_-]{1,2000}$/.test(key)) return fail('a key is a SubjectPublicKeyInfo in base64url');
  if (seen.has(key)) return fail('a key stands in it twice');
  seen.add(key);
  return seen.size > keysMax ? fail(`more than ${keysMax} keys`) : { weight, key };
};

const readNode = (value: unknown, depth: number, seen: Set<string>): CompositeKey => {
  if (depth > depthMax) return fail(`nodes nested deeper than ${depthMax}`);
  if (!isObject(value)) return fail('a node has a threshold and children');
  const { threshold, children, ...more } = value;
  if (!isWeight(threshold) || !Array.isArray(children) || Object.keys(more).length > 0) return fail('a node has a threshold, a positive integer, and children');
  if (children.length === 0 || children.length > keysMax) return fail(`a node has 1 to ${keysMax} children`);
  const read = (children as unknown[]).map((child) => readChild(child, depth, seen)).sort(byText);
  const total = read.reduce((sum, { weight }) => sum + weight, 0);
  if (threshold > total) return fail(`a threshold of ${threshold} over weights of ${total} in all can never be reached`);
  return { threshold, children: read };
};

/**
 * Makes a composite key; children are put into their one order. Each key may stand in it once: else one signature would count twice.
 *
 * @throws FlowPlatformError with code DATA_INVALID for a tree that is none.
 *
 * @example
 * ```ts
 * import { compositeKey, encodeCompositeKey, decodeCompositeKey, isFulfilledBy, startableFlow } from '@cordage/flow-sdk';
 *
 * export const agreeTogether = startableFlow({
 *   name: 'com.example.AgreeTogether',
 *   run: async (ctx) => {
 *     const mine = await ctx.crypto.sign('the plan');
 *     const bob = (await ctx.members.find('CN=Bob, O=Bob, L=Paris, C=FR'))?.sessionKeys[0]?.publicKey ?? '';
 *     const either = compositeKey(1, [mine.publicKey, bob]);
 *     const both = compositeKey(2, [mine.publicKey, { weight: 1, key: bob }]);
 *     return {
 *       either: await ctx.crypto.verifyComposite('the plan', either, [mine]),
 *       both: await ctx.crypto.verifyComposite('the plan', both, [mine]),
 *       forged: await ctx.crypto.verifyComposite('another plan', either, [mine]),
 *       keys: isFulfilledBy(both, [bob, mine.publicKey]),
 *       same: encodeCompositeKey(decodeCompositeKey(encodeCompositeKey(both))) === encodeCompositeKey(both),
 *     };
 *   },
 * });
 * ```
 */
export const compositeKey = (threshold: number, children: readonly (string | CompositeChild)[]): CompositeKey =>
  readNode({ threshold, children: children.map((child) => (typeof child === 'string' ? { weight: 1, key: child } : child)) }, 1, new Set());

/**
 * The one text of a composite key: canonical JSON (RFC 8785) of `{ "children": [{ "key": …, "weight": n }], "threshold": n }`, children in the
 * order of their keys' canonical texts. Its digest names the key.
 *
 * @example
 * ```ts
 * import { compositeKey, encodeCompositeKey, startableFlow } from '@cordage/flow-sdk';
 *
 * export const spellKey = startableFlow({
 *   name: 'com.example.SpellKey',
 *   run: async () => encodeCompositeKey(compositeKey(2, ['MCowB', { weight: 2, key: 'MCowA' }])),
 * });
 * ```
 */
export const encodeCompositeKey = (key: CompositeKey): string => canonicalJson(readNode(key, 1, new Set()));

/**
 * Reads such a text.
 *
 * @throws FlowPlatformError with code DATA_INVALID for what is no composite key, or not in its one spelling.
 *
 * @example
 * ```ts
 * import { decodeCompositeKey, startableFlow } from '@cordage/flow-sdk';
 *
 * export const readKey = startableFlow({
 *   name: 'com.example.ReadKey',
 *   run: async () => decodeCompositeKey('{"children":[{"key":"MCowA","weight":1}],"threshold":1}').threshold,
 * });
 * ```
 */
export const decodeCompositeKey = (text: string): CompositeKey => {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return fail('it is not JSON');
  }
  const key = readNode(value, 1, new Set());
  return canonicalJson(key) === text ? key : fail('it is not in its one spelling');
};

/** The public keys of a tree. */
export const leavesOf = ({ children }: CompositeKey): readonly string[] => children.flatMap(({ key }) => (typeof key === 'string' ? [key] : leavesOf(key)));

const fulfils = ({ threshold, children }: CompositeKey, keys: ReadonlySet<string>): boolean => {
  const reached = children.filter(({ key }) => (typeof key === 'string' ? keys.has(key) : fulfils(key, keys))).reduce((sum, { weight }) => sum + weight, 0);
  return reached >= threshold;
};

/**
 * Whether signatures by these public keys fulfil the composite key.
 *
 * @example
 * ```ts
 * import { compositeKey, isFulfilledBy, startableFlow } from '@cordage/flow-sdk';
 *
 * export const chairOrBoard = startableFlow({
 *   name: 'com.example.ChairOrBoard',
 *   run: async () => {
 *     const board = compositeKey(2, ['Ada', 'Bob', 'Cleo']);
 *     const decides = compositeKey(1, ['Chair', { weight: 1, key: board }]);
 *     return [isFulfilledBy(decides, ['Chair']), isFulfilledBy(decides, ['Ada']), isFulfilledBy(decides, ['Ada', 'Cleo'])];
 *   },
 * });
 * ```
 */
export const isFulfilledBy = (key: CompositeKey, publicKeys: Iterable<string>): boolean => fulfils(readNode(key, 1, new Set()), new Set(publicKeys));
