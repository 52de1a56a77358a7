/** rest-to-db.certificate and crypto-to-db.certificate: certificate chains of the cluster and of virtual nodes, by usage and alias. */
import { cryptoToDbCertificate } from '../../messages/crypto-to-db.certificate.ts';
import { tlsUsage } from '../../messages/db-to-all.certificate.ts';
import type { Outcome, Refusal } from '../../messages/grammar/envelope.ts';
import type { BodyOf, ReplyOf } from '../../messages/grammar/wire.ts';
import { restToDbCertificate } from '../../messages/rest-to-db.certificate.ts';
import type { Answered, Answering } from '../../shell/worker.ts';
import { checkFitness, readCertificateChain } from './certificate-chain.ts';
import type { DbTx } from './db-tx.ts';
import { certificateRecord } from './publication.ts';
import { boundedReply } from './reply.ts';

type Body = BodyOf<typeof restToDbCertificate>;
type Reply = ReplyOf<typeof restToDbCertificate>;

const invalid = (message: string): Refusal => ({ type: 'refused', code: 'DB_CERTIFICATE_INVALID', message });

/** What PostgreSQL can keep as text and a path of REST can carry. */
const isAlias = (alias: string): boolean => /^[^\p{Cc}\p{Cs}/\\]{1,255}$/u.test(alias);

export const importChain = async (tx: DbTx, { usage, holder = 'cluster', alias, pem }: Extract<Body, { type: 'import' }>, now: number): Promise<Answered<Reply>> => {
  if (!isAlias(alias)) return { outcome: invalid('the alias holds a control character or a slash') };
  const chain = await readCertificateChain(pem);
  if (chain.type === 'invalid') return { outcome: invalid(`the certificate chain "${alias}" cannot be read: ${chain.reason}`) };
  const unfit = checkFitness(chain.certificates, usage, now);
  if (unfit !== undefined) return { outcome: invalid(`the certificate chain "${alias}" is not one for ${usage}: ${unfit}`) };
  await tx.certificates.put({ usage, holder, alias, pem }, now);
  const tls = tlsUsage.safeParse(usage);
  const effects = tls.success ? [certificateRecord({ usage: tls.data, holder, alias, pem, publicKey: chain.publicKey })] : [];
  return { outcome: { type: 'done', value: {} }, effects };
};

const get = async (tx: DbTx, { usage, holder = 'cluster', alias }: Extract<Body, { type: 'get' }>): Promise<Outcome<Reply>> => {
  const pem = isAlias(alias) ? await tx.certificates.find({ usage, holder, alias }) : undefined;
  if (pem !== undefined) return { type: 'done', value: { pem } };
  return { type: 'refused', code: 'DB_CERTIFICATE_NOT_FOUND', message: `there is no certificate "${alias}" for ${usage} of ${holder === 'cluster' ? 'the cluster' : `virtual node ${holder}`}` };
};

const answerOne = async (tx: DbTx, body: Body, now: number): Promise<Answered<Reply>> => {
  switch (body.type) {
    case 'import':
      return importChain(tx, body, now);
    case 'list': {
      const certificates = await tx.certificates.list(body);
      return { outcome: boundedReply({ aliases: certificates.map(({ alias }) => alias) }) };
    }
    case 'get':
      return { outcome: await get(tx, body) };
  }
};

/** Importing twice is importing once, so no answers are kept. */
export const onRestCertificate: Answering<Body, Reply, DbTx> = {
  wire: restToDbCertificate,
  storesAnswers: false,
  answer: async (requests, tx, now) => {
    const answered: Answered<Reply>[] = [];
    for (const { body } of requests) answered.push(await answerOne(tx, body, now));
    return answered;
  },
};

/** Crypto vouches for what it made; nobody waits for an answer. */
export const onCryptoCertificate: Answering<BodyOf<typeof cryptoToDbCertificate>, object, DbTx> = {
  wire: cryptoToDbCertificate,
  storesAnswers: false,
  answer: async (requests, tx, now) => {
    const answered: Answered<object>[] = [];
    for (const { body } of requests) {
      const imported = await importChain(tx, { type: 'import', ...body }, now);
      // A certificate of our own that cannot be read is a fault of ours: it is parked with its reason.
      if (imported.outcome.type === 'refused') throw new Error(`crypto sent a bad certificate: ${imported.outcome.message}`);
      answered.push(imported);
    }
    return answered;
  },
};
