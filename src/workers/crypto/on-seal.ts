/** member-to-crypto.seal: seals to a public key, and opens with a tenant's key that agrees. What was opened is kept nowhere. */
import { fromBase64url, toBase64url, type Chance } from '../../cipher/bytes.ts';
import { CipherError } from '../../cipher/cipher-error.ts';
import { agreeingSchemes, openWithKey, sealToKey } from '../../cipher/sealed-to-key.ts';
import type { Outcome, Refusal } from '../../messages/grammar/envelope.ts';
import type { BodyOf, ReplyOf } from '../../messages/grammar/wire.ts';
import { memberToCryptoSeal } from '../../messages/member-to-crypto.seal.ts';
import type { Answering } from '../../shell/worker.ts';
import type { CryptoTx, WrappedSigningKey } from './crypto-tx.ts';
import type { KeyRing } from './key-ring.ts';
import { allEnded } from './lease-cache.ts';

type Body = BodyOf<typeof memberToCryptoSeal>;
type Reply = ReplyOf<typeof memberToCryptoSeal>;
type Seal = Extract<Body, { type: 'seal' }>;
type Open = Extract<Body, { type: 'open' }>;

export type OnSealOptions = { readonly ring: KeyRing; readonly chance: Chance };

const refused = (code: string, message: string): Refusal => ({ type: 'refused', code, message });

/** A cipher's complaint about what was asked is the asker's refusal. */
const refusing = async <Value>(code: string, what: string, work: () => Promise<Value>): Promise<Value | Refusal> => {
  try {
    return await work();
  } catch (error) {
    if (error instanceof CipherError) return refused(code, `${what}: ${error.message}`);
    throw error;
  }
};

const sealOne = ({ chance }: OnSealOptions, { publicKey, plaintext, info, aad }: Seal): Promise<Outcome<Reply>> =>
  refusing('CRYPTO_PUBLIC_KEY', 'nothing can be sealed to this public key', async () => {
    const sealed = await sealToKey(fromBase64url(publicKey), fromBase64url(plaintext), { info, aad: fromBase64url(aad) }, chance);
    return { type: 'done' as const, value: { type: 'sealed' as const, sealed } };
  });

const openOne = async ({ ring }: OnSealOptions, tx: CryptoTx, { tenant, keyId, category, info, aad, sealed }: Open, key: WrappedSigningKey | undefined): Promise<Outcome<Reply>> => {
  if (key === undefined) return refused('CRYPTO_KEY_NOT_FOUND', `tenant ${tenant} has no key ${keyId}`);
  if (category !== key.category) return refused('CRYPTO_KEY_CATEGORY', `key ${keyId} of ${tenant} is for ${key.category}, not ${category}`);
  if (!agreeingSchemes.some((scheme) => scheme === key.scheme)) {
    return refused('CRYPTO_SCHEME_UNFIT', `key ${keyId} is of ${key.scheme}, which does not agree; make one of ${agreeingSchemes.join(', ')}`);
  }
  return refusing('CRYPTO_NOT_OPENED', `the text was not sealed to key ${keyId} of ${tenant} in this context`, () =>
    ring.withPrivateKey(tx, key, async (pkcs8) => {
      const plaintext = await openWithKey({ publicKey: key.publicKey, privateKey: pkcs8.reveal() }, sealed, { info, aad: fromBase64url(aad) });
      return { type: 'done' as const, value: { type: 'opened' as const, plaintext: toBase64url(plaintext) } };
    }),
  );
};

export const createOnSeal = (options: OnSealOptions): Answering<Body, Reply, CryptoTx> => ({
  wire: memberToCryptoSeal,
  storesAnswers: false,
  answer: async (requests, tx) => {
    const opens = requests.flatMap(({ body }) => (body.type === 'open' ? [{ tenant: body.tenant, id: body.keyId }] : []));
    const found = opens.length === 0 ? [] : await tx.signingKeys.findByIds(opens);
    const keyOf = ({ tenant, keyId }: Open): WrappedSigningKey | undefined => found.find((key) => key.tenant === tenant && key.id === keyId);
    const outcomes = await allEnded(requests.map(({ body }) => (body.type === 'seal' ? sealOne(options, body) : openOne(options, tx, body, keyOf(body)))));
    return outcomes.map((outcome) => ({ outcome }));
  },
});
