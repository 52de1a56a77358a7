/** `ctx.crypto`: signatures by the keys of the virtual node, and what can be said of anyone's. */
import { isFulfilledBy, leavesOf, type CompositeKey } from './composite-key.ts';
import { base64urlOf } from './encoding.ts';
import { FlowPlatformError } from './errors.ts';
import type { ContextHost, DigestAlgorithm, KeyCategory, OwnKey, Signature } from './operations.ts';
import { computed, perform } from './perform.ts';

/**
 * Keys of this virtual node, which never leave the crypto worker.
 *
 * @example
 * ```ts
 * import { startableFlow } from '@cordage/flow-sdk';
 *
 * export const seal = startableFlow({
 *   name: 'com.example.Seal',
 *   run: async (ctx) => {
 *     const text = ctx.json.canonical({ b: [true], a: 1 });
 *     const signature = await ctx.crypto.sign(text);
 *     const mine = await ctx.crypto.myKeys({ publicKeys: [signature.publicKey, 'MCowA'] });
 *     const right = await ctx.crypto.verify(text, signature);
 *     return { text, digest: ctx.crypto.digest('SHA-256', text), specs: ctx.crypto.specs(signature.publicKey), mine: mine.length, right };
 *   },
 * });
 * ```
 */
export type FlowCrypto = {
  /**
   * Signs bytes, or the UTF-8 of a text (150,000 bytes at most). By default with the node's first ledger key, or else its
   * first session key, and with the signature spec of that key's scheme. The answer is text throughout (base64url), so that it
   * can be sent and stored. Errors: CRYPTO_KEY_NOT_FOUND, CRYPTO_REFUSED, OPERATION_INVALID for empty data.
   */
  sign(data: Uint8Array | string, options?: { readonly keyId?: string; readonly spec?: string }): Promise<Signature>;
  /**
   * Whether a signature over these bytes (or the UTF-8 of this text) is right for the public key it names. Whose key that is, is
   * for you to check: compare it with the keys in `ctx.members.find(…)`.
   */
  verify(data: Uint8Array | string, signature: Signature): Promise<boolean>;
  /** Whether these signatures that are right over the data, and those alone, fulfil the composite key. */
  verifyComposite(data: Uint8Array | string, key: CompositeKey, signatures: readonly Signature[]): Promise<boolean>;
  /**
   * Keys of this virtual node: all, those of a category, or those among `publicKeys` (base64url), in order of the public key. `id` is what
   * `sign` takes as `keyId`. Errors: CRYPTO_REFUSED, OPERATION_INVALID.
   */
  myKeys(filter?: { readonly category?: KeyCategory; readonly publicKeys?: readonly string[] }): Promise<readonly OwnKey[]>;
  /** Digest of bytes, or of the UTF-8 of a text, in upper-case hex. Computed here and now: no operation. */
  digest(algorithm: DigestAlgorithm, data: Uint8Array | string): string;
  /** The signature specs that a public key (base64url) can sign by, the default first; none for what is no key known here. */
  specs(publicKey: string): readonly string[];
  /** The spec by which `sign` signs with that key unless told otherwise. */
  defaultSpec(publicKey: string): string | undefined;
};

/** Keys that one operation asks for. */
const keysPerOperation = 20;

const verify = async (host: ContextHost, data: Uint8Array | string, { signature, publicKey, spec }: Signature): Promise<boolean> =>
  (await perform(host, 'crypto.verify', { data: base64urlOf(data), signature, publicKey, spec })).valid;

const verifyComposite = async (host: ContextHost, data: Uint8Array | string, key: CompositeKey, signatures: readonly Signature[]): Promise<boolean> => {
  const leaves = new Set(leavesOf(key));
  const concerned = signatures.filter(({ publicKey }) => leaves.has(publicKey));
  const right = await Promise.all(concerned.map((signature) => verify(host, data, signature)));
  return isFulfilledBy(key, concerned.filter((_, at) => right[at] === true).map(({ publicKey }) => publicKey));
};

const byPublicKey = (one: OwnKey, other: OwnKey): number => (one.publicKey < other.publicKey ? -1 : 1);

type KeyFilter = { readonly category?: KeyCategory; readonly publicKeys?: readonly string[] };

const myKeys = async (host: ContextHost, { category, publicKeys }: KeyFilter): Promise<readonly OwnKey[]> => {
  const ofCategory = category === undefined ? {} : { category };
  if (publicKeys === undefined) return [...(await perform(host, 'crypto.myKeys', ofCategory)).keys].sort(byPublicKey);
  const wanted = [...new Set(publicKeys)];
  const found: OwnKey[] = [];
  for (let at = 0; at < wanted.length; at += keysPerOperation) {
    const { keys } = await perform(host, 'crypto.myKeys', { ...ofCategory, publicKeys: wanted.slice(at, at + keysPerOperation) });
    // The lookup goes by the ids of keys, which are short: the keys themselves decide.
    found.push(...keys.filter(({ publicKey }) => wanted.includes(publicKey)));
  }
  return found.sort(byPublicKey);
};

export const cryptoOf = (host: ContextHost): FlowCrypto => ({
  sign: async (data, options = {}) => {
    const { keyId, spec } = options;
    const params = { data: base64urlOf(data), ...(keyId === undefined ? {} : { keyId }), ...(spec === undefined ? {} : { spec }) };
    if (params.data === '') throw new FlowPlatformError('OPERATION_INVALID', 'there is nothing to sign: the data is empty');
    return await perform(host, 'crypto.sign', params);
  },
  verify: (data, signature) => verify(host, data, signature),
  verifyComposite: (data, key, signatures) => verifyComposite(host, data, key, signatures),
  myKeys: (filter = {}) => myKeys(host, filter),
  digest: (algorithm, data) => computed(() => host.digest(algorithm, base64urlOf(data))),
  specs: (publicKey) => host.specsOf(publicKey),
  defaultSpec: (publicKey) => host.specsOf(publicKey)[0],
});
