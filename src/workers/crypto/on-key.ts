/** all-to-crypto.key: assign an HSM and find it, generate a key, find keys. */
import { toBase64url } from '../../cipher/bytes.ts';
import { allToCryptoKey, keysFoundMax, type PublicKeyInfo } from '../../messages/all-to-crypto.key.ts';
import type { Outcome } from '../../messages/grammar/envelope.ts';
import type { BodyOf, ReplyOf } from '../../messages/grammar/wire.ts';
import type { Answering } from '../../shell/worker.ts';
import type { Association, CryptoTx, WrappedSigningKey } from './crypto-tx.ts';
import { obtainAssociations, obtainKeys, type KeyMaking } from './obtain-keys.ts';

type Body = BodyOf<typeof allToCryptoKey>;
type Reply = ReplyOf<typeof allToCryptoKey>;
type Of<Type extends Body['type']> = Extract<Body, { type: Type }>;
type Placed<Type extends Body['type']> = { readonly position: number; readonly body: Of<Type> };
type Answers = Map<number, Outcome<Reply>>;

const infoOf = ({ id, tenant, alias, category, scheme, wrappingAlias, publicKey, createdAt }: WrappedSigningKey): PublicKeyInfo => ({
  id,
  tenant,
  alias,
  category,
  scheme,
  masterKeyAlias: wrappingAlias,
  publicKey: toBase64url(publicKey),
  createdAt,
});

const associationReply = ({ id, category, wrappingAlias }: Association): Reply => ({
  keys: [],
  association: { id, hsmId: 'SOFT', category, masterKeyAlias: wrappingAlias },
});

const assign = async (making: KeyMaking, tx: CryptoTx, asked: readonly Placed<'assign-hsm'>[], answers: Answers, now: number): Promise<void> => {
  if (asked.length === 0) return;
  const associations = await obtainAssociations(making, tx, asked.map(({ body }) => body), now);
  for (const [i, association] of associations.entries()) answers.set(asked[i]!.position, { type: 'done', value: associationReply(association) });
};

const generate = async (making: KeyMaking, tx: CryptoTx, asked: readonly Placed<'generate'>[], answers: Answers, now: number): Promise<void> => {
  if (asked.length === 0) return;
  const outcomes = await obtainKeys(making, tx, asked.map(({ body }) => body), now);
  for (const [i, outcome] of outcomes.entries()) {
    answers.set(asked[i]!.position, outcome.type === 'done' ? { type: 'done', value: { keys: [infoOf(outcome.value)] } } : outcome);
  }
};

const findHsm = async (tx: CryptoTx, { tenant, category }: Of<'find-hsm'>): Promise<Outcome<Reply>> => {
  const association = (await tx.associations.find([tenant])).find((one) => one.category === category);
  if (association !== undefined) return { type: 'done', value: associationReply(association) };
  return { type: 'refused', code: 'CRYPTO_HSM_NOT_FOUND', message: `tenant ${tenant} has no HSM for ${category}` };
};

const findOne = async (tx: CryptoTx, { take, masterKeyAlias, ...filter }: Of<'find'>): Promise<Outcome<Reply>> => {
  const found = await tx.signingKeys.list({ ...filter, wrappingAlias: masterKeyAlias, countMax: take ?? keysFoundMax + 1 });
  if (found.length <= keysFoundMax) return { type: 'done', value: { keys: found.map(infoOf) } };
  return { type: 'refused', code: 'CRYPTO_TOO_MANY_KEYS', message: `tenant ${filter.tenant} has more than ${keysFoundMax} such keys; name ids, an alias or a category, or take fewer` };
};

/**
 * Assignments come before generations, generations before finds: requests of one batch are concurrent, so any order is right,
 * and this one serves a caller who did not wait.
 */
export const createOnKey = (making: KeyMaking): Answering<Body, Reply, CryptoTx> => ({
  wire: allToCryptoKey,
  answer: async (requests, tx, now) => {
    const answers: Answers = new Map();
    const ofType = <Type extends Body['type']>(type: Type): Placed<Type>[] =>
      requests.flatMap(({ body }, position) =>
        // `type` decides the member of the union; the compiler does not follow a generic tag.
        body.type === type ? [{ position, body: body as Of<Type> }] : [],
      );
    await assign(making, tx, ofType('assign-hsm'), answers, now);
    await generate(making, tx, ofType('generate'), answers, now);
    for (const { position, body } of ofType('find-hsm')) answers.set(position, await findHsm(tx, body));
    for (const { position, body } of ofType('find')) answers.set(position, await findOne(tx, body));
    return requests.map((_request, position) => ({ outcome: answers.get(position)! }));
  },
});
