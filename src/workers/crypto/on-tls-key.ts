/**
 * gateway-to-crypto.tls-key and rest-to-crypto.tls-key: the cluster's TLS key and certificate for that room, made once, given to every
 * process of it that asks; or the key of a certificate that an operator imported for that room's usage: what the gateway serves with is
 * never given to rest, nor the other way round. A key leaves sealed to the asker's ephemeral key, with the wire's topic as context;
 * certificates of our own are told to db once for each generation.
 */
import { deriveId } from '../../identity/derive.ts';
import { fromBase64url, toBase64url } from '../../cipher/bytes.ts';
import { CipherError } from '../../cipher/cipher-error.ts';
import { sealTo } from '../../cipher/sealed.ts';
import { keyIdOf } from '../../cipher/signature.ts';
import { cryptoToDbCertificate } from '../../messages/crypto-to-db.certificate.ts';
import type { TlsCertificate, TlsUsage } from '../../messages/db-to-all.certificate.ts';
import { gatewayToCryptoTlsKey } from '../../messages/gateway-to-crypto.tls-key.ts';
import { encode, type Outcome, type Refusal } from '../../messages/grammar/envelope.ts';
import type { OutRecord } from '../../messages/grammar/record.ts';
import type { TlsKeyReply, TlsKeyRequest } from '../../messages/grammar/tls-key.ts';
import type { Wire } from '../../messages/grammar/wire.ts';
import { restToCryptoTlsKey } from '../../messages/rest-to-crypto.tls-key.ts';
import type { View } from '../../shell/view.ts';
import type { Answered, Answering } from '../../shell/worker.ts';
import { certificateAgeMs, certificateHostsMax, certificateRenewalMs, certificateTurnsMax } from './config.ts';
import { CryptoError } from './crypto-error.ts';
import type { Certificate, CryptoTx, WrappedSigningKey } from './crypto-tx.ts';
import { obtainAssociations, obtainKeys, type KeyMaking, type WantedKey } from './obtain-keys.ts';
import { makeCertificate, normalHost } from './tls-certificate.ts';

type Reply = TlsKeyReply;
type Asked = Pick<TlsKeyRequest, 'ephemeralPublicKey'>;
type Wanted<Type extends TlsKeyRequest['wanted']['type']> = Extract<TlsKeyRequest['wanted'], { type: Type }>;

const tenant = 'p2p';
const category = 'TLS';
/** The cluster's own key of a usage has the usage's name as its alias, and its certificate that with `-cert`. */
const wantedKeyOf = (usage: TlsUsage): WantedKey => ({ tenant, category, alias: usage, scheme: 'CORDA.ECDSA.SECP256R1' });

/** What one room's wire serves. */
type Door = {
  readonly making: KeyMaking;
  readonly wire: Wire<TlsKeyRequest, TlsKeyReply>;
  readonly usage: TlsUsage;
  readonly certificates: View<TlsCertificate> | undefined;
};

const refused = (code: string, message: string): Refusal => ({ type: 'refused', code, message });

const obtainTlsKey = async ({ making, usage }: Door, tx: CryptoTx, now: number): Promise<WrappedSigningKey | Refusal> => {
  const wantedKey = wantedKeyOf(usage);
  await obtainAssociations(making, tx, [wantedKey], now);
  const [outcome] = await obtainKeys(making, tx, [wantedKey], now);
  return outcome!.type === 'done' ? outcome!.value : outcome!;
};

const covers = (certificate: Certificate, hosts: readonly string[], now: number): boolean =>
  certificate.notAfter - now > certificateRenewalMs && hosts.every((host) => certificate.hostNames.includes(host));

const makeNext = async ({ making, usage }: Door, tx: CryptoTx, key: WrappedSigningKey, last: Certificate | undefined, hosts: readonly string[], now: number): Promise<Certificate> => {
  // Names of other gateways of this cluster stay, or two gateways would take the certificate from each other for ever.
  const hostNames = [...new Set([...hosts, ...(last?.hostNames ?? [])])].slice(0, certificateHostsMax);
  const notAfter = now + certificateAgeMs;
  const { publicKey } = key;
  const pem = await making.ring.withPrivateKey(tx, key, (pkcs8) => makeCertificate({ hostNames, publicKey, pkcs8: pkcs8.reveal(), notAfter, now, chance: making.chance }));
  return { alias: certificateAliasOf(usage), generation: (last?.generation ?? 0) + 1, keyId: key.id, hostNames, notAfter, pem, createdAt: now };
};

const certificateAliasOf = (usage: TlsUsage): string => `${usage}-cert`;

type Obtained = { readonly certificate: Certificate; /** True for the one who made it. */ readonly made: boolean };

const obtainCertificate = async (door: Door, tx: CryptoTx, key: WrappedSigningKey, hosts: readonly string[], now: number): Promise<Obtained> => {
  for (let turn = 0; turn < certificateTurnsMax; turn++) {
    const last = await tx.certificates.newest(certificateAliasOf(door.usage));
    if (last !== undefined && covers(last, hosts, now)) return { certificate: last, made: false };
    const next = await makeNext(door, tx, key, last, hosts, now);
    await tx.certificates.add(next);
    const newest = await tx.certificates.newest(next.alias);
    if (newest?.pem === next.pem) return { certificate: next, made: true };
  }
  throw new CryptoError('CRYPTO_CONTENDED', 'other workers kept making TLS certificates for other hosts');
};

const certificateRecord = (usage: TlsUsage, { alias, generation, pem }: Certificate): OutRecord =>
  encode(cryptoToDbCertificate, {
    key: usage,
    // The certificate is part of the id: one that was rolled back never passes for the one that was kept.
    id: deriveId('certificate', alias, String(generation), pem),
    body: { usage, alias, pem },
  });

const sealKey = async ({ making, wire }: Door, tx: CryptoTx, key: WrappedSigningKey, ephemeralPublicKey: string): Promise<Outcome<Reply>> => {
  try {
    const reader = fromBase64url(ephemeralPublicKey);
    const sealed = await making.ring.withPrivateKey(tx, key, (pkcs8) => sealTo(reader, pkcs8.reveal(), wire.topic, making.chance));
    return { type: 'done', value: { sealed } };
  } catch (error) {
    if (!(error instanceof CipherError)) throw error;
    return refused('CRYPTO_EPHEMERAL_KEY', `the ephemeral public key is not one: ${error.message}`);
  }
};

const answerOwn = async (door: Door, tx: CryptoTx, key: WrappedSigningKey, { ephemeralPublicKey, hostNames }: Asked & Wanted<'own'>, now: number): Promise<Answered<Reply>> => {
  const hosts = hostNames.map(normalHost);
  const foreign = hostNames[hosts.indexOf(undefined)];
  if (foreign !== undefined) return { outcome: refused('CRYPTO_HOST_NAME', `"${foreign}" is neither a host name nor an IP address`) };
  // Checked above: none is undefined.
  const { certificate, made } = await obtainCertificate(door, tx, key, hosts as string[], now);
  const outcome = await sealKey(door, tx, key, ephemeralPublicKey);
  return {
    outcome: outcome.type === 'done' ? { type: 'done', value: { ...outcome.value, certificateChainPem: certificate.pem } } : outcome,
    effects: made ? [certificateRecord(door.usage, certificate)] : [],
  };
};

/** The tenants in whose name a certificate of this usage and key was imported. One that has just been may not be in the view yet. */
const tenantsOf = async ({ certificates, usage }: Door, publicKey: string): Promise<readonly string[]> => {
  if (certificates === undefined) return [];
  const find = (): string[] =>
    [...certificates.entries()].flatMap(([, one]) => (one.usage === usage && one.publicKey === publicKey ? [one.holder === 'cluster' ? tenant : one.holder] : []));
  const found = find();
  if (found.length > 0) return found;
  await certificates.refresh();
  return find();
};

/** Only keys that were made for TLS leave, and only to the room for whose usage their certificate was imported. */
const answerOfCertificate = async (door: Door, tx: CryptoTx, { ephemeralPublicKey, publicKey }: Asked & Wanted<'of-certificate'>): Promise<Outcome<Reply>> => {
  const id = keyIdOf(fromBase64url(publicKey));
  const refs = (await tenantsOf(door, publicKey)).map((one) => ({ tenant: one, id }));
  const key = (await tx.signingKeys.findByIds(refs)).find((one) => one.category === category && toBase64url(one.publicKey) === publicKey);
  if (key !== undefined) return sealKey(door, tx, key, ephemeralPublicKey);
  return refused(
    'CRYPTO_KEY_NOT_FOUND',
    `no ${door.usage} certificate was imported whose key is one of ours in category ${category}; make it with POST /key/${tenant}/alias/<alias>/category/TLS/scheme/<scheme>, and have its CSR signed`,
  );
};

const createOnRoomTlsKey = (door: Door): Answering<TlsKeyRequest, Reply, CryptoTx> => ({
  wire: door.wire,
  answer: async (requests, tx, now) => {
    const isOwnWanted = requests.some(({ body }) => body.wanted.type === 'own');
    const own = isOwnWanted ? await obtainTlsKey(door, tx, now) : undefined;
    const answers: Answered<Reply>[] = [];
    // One after another: each may have to add its names to the certificate of the one before.
    for (const { body } of requests) {
      const { ephemeralPublicKey, wanted } = body;
      if (wanted.type === 'of-certificate') answers.push({ outcome: await answerOfCertificate(door, tx, { ephemeralPublicKey, ...wanted }) });
      // Obtained above, since one is wanted.
      else if ('type' in own!) answers.push({ outcome: own });
      else answers.push(await answerOwn(door, tx, own!, { ephemeralPublicKey, ...wanted }, now));
    }
    return answers;
  },
});

/** `certificates`: without them the keys of imported certificates stay here. */
export const createOnTlsKey = (making: KeyMaking, certificates: View<TlsCertificate> | undefined): Answering<TlsKeyRequest, Reply, CryptoTx>[] => [
  createOnRoomTlsKey({ making, certificates, wire: gatewayToCryptoTlsKey, usage: 'p2p-tls' }),
  createOnRoomTlsKey({ making, certificates, wire: restToCryptoTlsKey, usage: 'rest-tls' }),
];
