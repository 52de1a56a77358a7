/** all-to-crypto.sign: one look-up for the keys of the whole batch, signatures in parallel. */
import { fromBase64url, toBase64url, type Bytes } from '../../cipher/bytes.ts';
import { CipherError } from '../../cipher/cipher-error.ts';
import { defaultSpec, specsOf } from '../../cipher/signature.ts';
import { allToCryptoSign } from '../../messages/all-to-crypto.sign.ts';
import type { Outcome, Refusal } from '../../messages/grammar/envelope.ts';
import type { BodyOf, ReplyOf } from '../../messages/grammar/wire.ts';
import type { Answering } from '../../shell/worker.ts';
import type { CryptoTx } from './crypto-tx.ts';
import type { KeyRing, ReadyKey } from './key-ring.ts';
import { allEnded } from './lease-cache.ts';

type Body = BodyOf<typeof allToCryptoSign>;
type Reply = ReplyOf<typeof allToCryptoSign>;

const refused = (code: string, message: string): Refusal => ({ type: 'refused', code, message });

const dataOf = (text: string): Bytes | undefined => {
  try {
    return fromBase64url(text);
  } catch (error) {
    if (error instanceof CipherError) return undefined;
    throw error;
  }
};

const signOne = async ({ tenant, keyId, category, spec: asked, data: text }: Body, key: ReadyKey | undefined): Promise<Outcome<Reply>> => {
  const data = dataOf(text);
  if (data === undefined) return refused('CRYPTO_DATA_MALFORMED', 'the data to sign are not base64url without padding');
  if (data.length === 0) return refused('CRYPTO_DATA_EMPTY', 'there is nothing to sign');
  if (key === undefined) return refused('CRYPTO_KEY_NOT_FOUND', `tenant ${tenant} has no key ${keyId}`);
  if (category !== undefined && category !== key.category) {
    return refused('CRYPTO_KEY_CATEGORY', `key ${keyId} of ${tenant} is for ${key.category}, not ${category}`);
  }
  const { scheme, signer } = key;
  const spec = asked ?? defaultSpec(scheme);
  if (signer === undefined || spec === undefined || !specsOf(scheme).includes(spec)) {
    return refused('CRYPTO_SPEC_UNFIT', `key ${keyId} is of ${scheme}, which signs by ${specsOf(scheme).join(', ') || 'no spec: it agrees'}`);
  }
  const signature = await signer.sign(spec, data);
  return { type: 'done', value: { signature: toBase64url(signature), spec, publicKey: toBase64url(key.publicKey) } };
};

export type OnSignOptions = { readonly ring: KeyRing; /** Told of each signature. */ readonly onSigned: (scheme: string) => void };

export const createOnSign = ({ ring, onSigned }: OnSignOptions): Answering<Body, Reply, CryptoTx> => ({
  wire: allToCryptoSign,
  answer: (requests, tx) => {
    const refs = requests.map(({ body }) => ({ tenant: body.tenant, id: body.keyId }));
    return ring.withSigners(tx, refs, (keyOf) =>
      allEnded(
        requests.map(async ({ body }, i) => {
          const key = keyOf(refs[i]!);
          const outcome = await signOne(body, key);
          if (outcome.type === 'done' && key !== undefined) onSigned(key.scheme);
          return { outcome };
        }),
      ),
    );
  },
});
