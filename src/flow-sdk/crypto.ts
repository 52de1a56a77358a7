/** `ctx.crypto`: signatures by the keys of the virtual node, and what can be said of anyone's. */
import { base64urlOf } from './encoding.ts';
import { FlowPlatformError } from './errors.ts';
import type { ContextHost, Signature } from './operations.ts';
import { perform } from './perform.ts';

/** Keys of this virtual node, which never leave the crypto worker. */
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
};

export const cryptoOf = (host: ContextHost): FlowCrypto => ({
  sign: async (data, options = {}) => {
    const { keyId, spec } = options;
    const params = { data: base64urlOf(data), ...(keyId === undefined ? {} : { keyId }), ...(spec === undefined ? {} : { spec }) };
    if (params.data === '') throw new FlowPlatformError('OPERATION_INVALID', 'there is nothing to sign: the data is empty');
    return await perform(host, 'crypto.sign', params);
  },
  verify: async (data, { signature, publicKey, spec }) => {
    const answer = await perform(host, 'crypto.verify', { data: base64urlOf(data), signature, publicKey, spec });
    return answer.valid;
  },
});
