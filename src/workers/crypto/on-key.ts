/** all-to-crypto.key: assign an HSM, generate a key, find keys. */
import { toBase64url } from '../../cipher/bytes.ts';
import { allToCryptoKey, type PublicKeyInfo } from '../../messages/all-to-crypto.key.ts';
import type { Outcome } from '../../messages/grammar/envelope.ts';
import type { BodyOf, ReplyOf } from '../../messages/grammar/wire.ts';
import type { Answering } from '../../shell/worker.ts';
import { keysFoundMax } from './config.ts';
import type { Association, CryptoTx, WrappedSigningKey } from './crypto-tx.ts';
import { obtainAssociations, obtainKeys, type KeyMaking } from './obtain-keys.ts';

type Body = BodyOf<typeof allToCryptoKey>;
type Reply = ReplyOf<typeof allToCryptoKey>;
type Of<Type extends Body['type']> = Extract<Body, { type: Type }>;
type Placed<Type extends Body['type']> = { readonly position: number; readonly body: Of<Type> };
type Answers = Map<number, Outcome<Reply>>;

const infoOf = ({ id, tenant, alias, category, scheme, publicKey, createdAt }: WrappedSigningKey): PublicKeyInfo => ({
  id,
  tenant,
  alias,
  category,
  scheme,
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

const findOne = async (tx: CryptoTx, { tenant, ids, alias, category }: Of<'find'>): Promise<Outcome<Reply>> => {
  const countMax = keysFoundMax + 1;
  const found =
    ids !== undefined
      ? await tx.signingKeys.findByIds(ids.map((id) => ({ tenant, id })))
      : alias !== undefined
        ? await tx.signingKeys.findByAliases([{ tenant, alias }])
        : await tx.signingKeys.list({ tenant, category, countMax });
  if (found.length > keysFoundMax) {
    return { type: 'refused', code: 'CRYPTO_TOO_MANY_KEYS', message: `tenant ${tenant} has more than ${keysFoundMax} such keys; name ids, an alias or a category` };
  }
  const fitting = found.filter((key) => (alias === undefined || key.alias === alias) && (category === undefined || key.category === category));
  return { type: 'done', value: { keys: fitting.map(infoOf) } };
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
    for (const { position, body } of ofType('find')) answers.set(position, await findOne(tx, body));
    return requests.map((_request, position) => ({ outcome: answers.get(position)! }));
  },
});
