/** rest-to-crypto.transfer: a tenant's keys as they lie here, sealed, for a file; and back, where the same root key is. */
import type { Aead } from '../../cipher/aead.ts';
import { fromBase64url, toBase64url } from '../../cipher/bytes.ts';
import { CipherError } from '../../cipher/cipher-error.ts';
import type { Outcome, Refusal } from '../../messages/grammar/envelope.ts';
import type { BodyOf, ReplyOf } from '../../messages/grammar/wire.ts';
import { restToCryptoTransfer, transferredKeysMax, type SealedKeys } from '../../messages/rest-to-crypto.transfer.ts';
import type { Answering } from '../../shell/worker.ts';
import { CryptoError } from './crypto-error.ts';
import type { CryptoTx, WrappedWrappingKey } from './crypto-tx.ts';

type Body = BodyOf<typeof restToCryptoTransfer>;
type Reply = ReplyOf<typeof restToCryptoTransfer>;

/** With a root key of this process; throws CryptoError where none fits. */
export type OpenWrappingKey = (wrapped: WrappedWrappingKey) => Promise<Aead>;

const refused = (code: string, message: string): Refusal => ({ type: 'refused', code, message });

const readKeys = async (tx: CryptoTx, tenant: string): Promise<Outcome<Reply>> => {
  const signing = await tx.signingKeys.list({ tenant, countMax: transferredKeysMax + 1 });
  if (signing.length > transferredKeysMax) return refused('CRYPTO_TOO_MANY_KEYS', `tenant ${tenant} has more than ${transferredKeysMax} keys, and no more are carried together`);
  const keys: SealedKeys = {
    tenant,
    associations: (await tx.associations.find([tenant])).map(({ category, id, wrappingAlias, createdAt }) => ({ category, id, wrappingAlias, createdAt })),
    wrappingKeys: (await tx.wrappingKeys.find([tenant])).map(({ alias, generation, parent, material, createdAt }) => ({ alias, generation, parent, material: toBase64url(material), createdAt })),
    signingKeys: signing.map(({ id, alias, category, scheme, publicKey, wrappingAlias, wrappingGeneration, material, createdAt }) => ({
      id,
      alias,
      category,
      scheme,
      publicKey: toBase64url(publicKey),
      wrappingAlias,
      wrappingGeneration,
      material: toBase64url(material),
      createdAt,
    })),
  };
  return { type: 'done', value: { keys } };
};

const wrappingKeysOf = ({ tenant, wrappingKeys }: SealedKeys): WrappedWrappingKey[] =>
  wrappingKeys.map(({ material, ...key }) => ({ ...key, tenant, material: fromBase64url(material) }));

/** Each wrapping key must open with our root key; what they seal was checked where it was made. */
const rootFault = async (open: OpenWrappingKey, keys: SealedKeys): Promise<Refusal | undefined> => {
  try {
    for (const key of wrappingKeysOf(keys)) (await open(key)).wipe();
    return undefined;
  } catch (error) {
    if (!(error instanceof CryptoError) && !(error instanceof CipherError)) throw error;
    return refused('CRYPTO_ROOT_KEY_WRONG', 'the keys in the file were sealed under another root key: the cluster that imports a virtual node needs the passphrase and salt of the one that exported it (CORDAGE_CRYPTO_PASSPHRASE, CORDAGE_CRYPTO_SALT)');
  }
};

/** Keys that are here and not in the file: a virtual node of this name had a life here. */
const strangerFault = async (tx: CryptoTx, { tenant, signingKeys }: SealedKeys): Promise<Refusal | undefined> => {
  const brought = new Set(signingKeys.map(({ id, alias }) => `${id}/${alias}`));
  const stranger = (await tx.signingKeys.list({ tenant, countMax: transferredKeysMax + 1 })).find(({ id, alias }) => !brought.has(`${id}/${alias}`));
  return stranger === undefined ? undefined : refused('CRYPTO_TENANT_TAKEN', `tenant ${tenant} has keys here that the file does not have (${stranger.alias})`);
};

const keep = async (tx: CryptoTx, keys: SealedKeys): Promise<void> => {
  const { tenant, associations, signingKeys } = keys;
  await tx.wrappingKeys.add(wrappingKeysOf(keys));
  await tx.associations.add(associations.map((one) => ({ ...one, tenant })));
  await tx.signingKeys.add(signingKeys.map(({ publicKey, material, ...key }) => ({ ...key, tenant, publicKey: fromBase64url(publicKey), material: fromBase64url(material) })));
};

const answerOne = async (open: OpenWrappingKey, tx: CryptoTx, body: Body): Promise<Outcome<Reply>> => {
  if (body.type === 'export') return readKeys(tx, body.tenant);
  const fault = (await rootFault(open, body.keys)) ?? (await strangerFault(tx, body.keys));
  if (fault !== undefined) return fault;
  if (body.type === 'import') await keep(tx, body.keys);
  return { type: 'done', value: {} };
};

/** Adding what is there changes nothing, so no answers are kept: they would hold the keys a second time. */
export const createOnTransfer = (open: OpenWrappingKey): Answering<Body, Reply, CryptoTx> => ({
  wire: restToCryptoTransfer,
  storesAnswers: false,
  answer: async (requests, tx) => {
    const answered: { outcome: Outcome<Reply> }[] = [];
    for (const { body } of requests) answered.push({ outcome: await answerOne(open, tx, body) });
    return answered;
  },
});
