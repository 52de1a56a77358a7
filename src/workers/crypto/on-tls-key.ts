/**
 * gateway-to-crypto.tls-key: the cluster's TLS key and certificate, made once, given to every gateway that asks; or the key of a
 * certificate that an operator imported. A key leaves sealed to the asker's ephemeral key, with the wire's topic as context; our own
 * certificate is told to db once for each generation.
 */
import { deriveId } from '../../identity/derive.ts';
import { fromBase64url, toBase64url } from '../../cipher/bytes.ts';
import { CipherError } from '../../cipher/cipher-error.ts';
import { sealTo } from '../../cipher/sealed.ts';
import { keyIdOf } from '../../cipher/signature.ts';
import { cryptoToDbCertificate } from '../../messages/crypto-to-db.certificate.ts';
import { gatewayToCryptoTlsKey } from '../../messages/gateway-to-crypto.tls-key.ts';
import { encode, type Outcome, type Refusal } from '../../messages/grammar/envelope.ts';
import type { OutRecord } from '../../messages/grammar/record.ts';
import type { BodyOf, ReplyOf } from '../../messages/grammar/wire.ts';
import type { Answered, Answering } from '../../shell/worker.ts';
import { certificateAgeMs, certificateHostsMax, certificateRenewalMs, certificateTurnsMax } from './config.ts';
import { CryptoError } from './crypto-error.ts';
import type { Certificate, CryptoTx, WrappedSigningKey } from './crypto-tx.ts';
import { obtainAssociations, obtainKeys, type KeyMaking } from './obtain-keys.ts';
import { makeCertificate, normalHost } from './tls-certificate.ts';

type Body = BodyOf<typeof gatewayToCryptoTlsKey>;
type Reply = ReplyOf<typeof gatewayToCryptoTlsKey>;
type Asked = Pick<Body, 'ephemeralPublicKey'>;
type Wanted<Type extends Body['wanted']['type']> = Extract<Body['wanted'], { type: Type }>;

const tenant = 'p2p';
const wantedKey = { tenant, category: 'TLS', alias: 'p2p-tls', scheme: 'CORDA.ECDSA.SECP256R1' } as const;
const certificateAlias = 'p2p-tls-cert';

const refused = (code: string, message: string): Refusal => ({ type: 'refused', code, message });

const obtainTlsKey = async (making: KeyMaking, tx: CryptoTx, now: number): Promise<WrappedSigningKey | Refusal> => {
  await obtainAssociations(making, tx, [wantedKey], now);
  const [outcome] = await obtainKeys(making, tx, [wantedKey], now);
  return outcome!.type === 'done' ? outcome!.value : outcome!;
};

const covers = (certificate: Certificate, hosts: readonly string[], now: number): boolean =>
  certificate.notAfter - now > certificateRenewalMs && hosts.every((host) => certificate.hostNames.includes(host));

const makeNext = async (making: KeyMaking, tx: CryptoTx, key: WrappedSigningKey, last: Certificate | undefined, hosts: readonly string[], now: number): Promise<Certificate> => {
  // Names of other gateways of this cluster stay, or two gateways would take the certificate from each other for ever.
  const hostNames = [...new Set([...hosts, ...(last?.hostNames ?? [])])].slice(0, certificateHostsMax);
  const notAfter = now + certificateAgeMs;
  const { publicKey } = key;
  const pem = await making.ring.withPrivateKey(tx, key, (pkcs8) => makeCertificate({ hostNames, publicKey, pkcs8: pkcs8.reveal(), notAfter, now, chance: making.chance }));
  return { alias: certificateAlias, generation: (last?.generation ?? 0) + 1, keyId: key.id, hostNames, notAfter, pem, createdAt: now };
};

type Obtained = { readonly certificate: Certificate; /** True for the one who made it. */ readonly made: boolean };

const obtainCertificate = async (making: KeyMaking, tx: CryptoTx, key: WrappedSigningKey, hosts: readonly string[], now: number): Promise<Obtained> => {
  for (let turn = 0; turn < certificateTurnsMax; turn++) {
    const last = await tx.certificates.newest(certificateAlias);
    if (last !== undefined && covers(last, hosts, now)) return { certificate: last, made: false };
    const next = await makeNext(making, tx, key, last, hosts, now);
    await tx.certificates.add(next);
    const newest = await tx.certificates.newest(certificateAlias);
    if (newest?.pem === next.pem) return { certificate: next, made: true };
  }
  throw new CryptoError('CRYPTO_CONTENDED', 'other workers kept making TLS certificates for other hosts');
};

const certificateRecord = ({ alias, generation, pem }: Certificate): OutRecord =>
  encode(cryptoToDbCertificate, {
    key: 'p2p-tls',
    // The certificate is part of the id: one that was rolled back never passes for the one that was kept.
    id: deriveId('certificate', alias, String(generation), pem),
    body: { usage: 'p2p-tls', alias, pem },
  });

const sealKey = async (making: KeyMaking, tx: CryptoTx, key: WrappedSigningKey, ephemeralPublicKey: string): Promise<Outcome<Reply>> => {
  try {
    const reader = fromBase64url(ephemeralPublicKey);
    const sealed = await making.ring.withPrivateKey(tx, key, (pkcs8) => sealTo(reader, pkcs8.reveal(), gatewayToCryptoTlsKey.topic, making.chance));
    return { type: 'done', value: { sealed } };
  } catch (error) {
    if (!(error instanceof CipherError)) throw error;
    return refused('CRYPTO_EPHEMERAL_KEY', `the ephemeral public key is not one: ${error.message}`);
  }
};

const answerOwn = async (making: KeyMaking, tx: CryptoTx, key: WrappedSigningKey, { ephemeralPublicKey, hostNames }: Asked & Wanted<'own'>, now: number): Promise<Answered<Reply>> => {
  const hosts = hostNames.map(normalHost);
  const foreign = hostNames[hosts.indexOf(undefined)];
  if (foreign !== undefined) return { outcome: refused('CRYPTO_HOST_NAME', `"${foreign}" is neither a host name nor an IP address`) };
  // Checked above: none is undefined.
  const { certificate, made } = await obtainCertificate(making, tx, key, hosts as string[], now);
  const outcome = await sealKey(making, tx, key, ephemeralPublicKey);
  return {
    outcome: outcome.type === 'done' ? { type: 'done', value: { ...outcome.value, certificateChainPem: certificate.pem } } : outcome,
    effects: made ? [certificateRecord(certificate)] : [],
  };
};

/** Only keys that were made for TLS leave, whatever public key is named. */
const answerOfCertificate = async (making: KeyMaking, tx: CryptoTx, { ephemeralPublicKey, publicKey }: Asked & Wanted<'of-certificate'>): Promise<Outcome<Reply>> => {
  const spki = fromBase64url(publicKey);
  const [key] = await tx.signingKeys.findByIds([{ tenant, id: keyIdOf(spki) }]);
  if (key === undefined || key.category !== wantedKey.category || toBase64url(key.publicKey) !== publicKey) {
    return refused('CRYPTO_KEY_NOT_FOUND', `no key of tenant ${tenant} in category ${wantedKey.category} has this public key; make it with POST /key/${tenant}/alias/<alias>/category/TLS/scheme/<scheme>, and have its CSR signed`);
  }
  return await sealKey(making, tx, key, ephemeralPublicKey);
};

export const createOnTlsKey = (making: KeyMaking): Answering<Body, Reply, CryptoTx> => ({
  wire: gatewayToCryptoTlsKey,
  answer: async (requests, tx, now) => {
    const isOwnWanted = requests.some(({ body }) => body.wanted.type === 'own');
    const own = isOwnWanted ? await obtainTlsKey(making, tx, now) : undefined;
    const answers: Answered<Reply>[] = [];
    // One after another: each may have to add its names to the certificate of the one before.
    for (const { body } of requests) {
      const { ephemeralPublicKey, wanted } = body;
      if (wanted.type === 'of-certificate') answers.push({ outcome: await answerOfCertificate(making, tx, { ephemeralPublicKey, ...wanted }) });
      // Obtained above, since one is wanted.
      else if ('type' in own!) answers.push({ outcome: own });
      else answers.push(await answerOwn(making, tx, own!, { ephemeralPublicKey, ...wanted }, now));
    }
    return answers;
  },
});
