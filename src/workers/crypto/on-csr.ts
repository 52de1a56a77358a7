/** rest-to-crypto.csr: a certificate signing request of a tenant's key, signed like anything else. */
import { defaultSpec, specsOf } from '../../cipher/signature.ts';
import { parseX500, readX500, type X500Attribute } from '../../identity/x500.ts';
import type { Outcome, Refusal } from '../../messages/grammar/envelope.ts';
import type { BodyOf, ReplyOf } from '../../messages/grammar/wire.ts';
import { restToCryptoCsr } from '../../messages/rest-to-crypto.csr.ts';
import type { Answering } from '../../shell/worker.ts';
import type { Category, CryptoTx } from './crypto-tx.ts';
import type { KeyRing, ReadyKey } from './key-ring.ts';
import { allEnded } from './lease-cache.ts';
import { makeSigningRequest } from './signing-request.ts';
import { normalHost } from './tls-certificate.ts';

type Body = BodyOf<typeof restToCryptoCsr>;
type Reply = ReplyOf<typeof restToCryptoCsr>;

const refused = (code: string, message: string): Refusal => ({ type: 'refused', code, message });

/** A TLS certificate names a machine, whose name need not be a member's. */
const readName = (text: string, category: Category) => {
  if (category === 'TLS') {
    const read = readX500(text);
    return read.type === 'attributes' && Object.keys(read.attributes).length === 0 ? { type: 'invalid' as const, reason: 'it is empty' } : read;
  }
  return parseX500(text);
};

/** A wildcard stands for the first label alone (RFC 6125, 6.4.3). */
const hostOf = (text: string): string | undefined => {
  if (!text.startsWith('*.')) return normalHost(text);
  const rest = normalHost(text.slice(2));
  return rest === undefined || rest.includes(':') || /^[\d.]+$/.test(rest) ? undefined : `*.${rest}`;
};

type Named = { readonly attributes: Readonly<Partial<Record<X500Attribute, string>>>; readonly hosts: readonly string[] };

const readNames = ({ x500Name, alternativeNames }: Body, category: Category): Named | Refusal => {
  const name = readName(x500Name, category);
  if (name.type === 'invalid') return refused('CRYPTO_X500_NAME', `"${x500Name}" is no X.500 name for a key of ${category}: ${name.reason}`);
  const hosts = alternativeNames.map(hostOf);
  const foreign = alternativeNames[hosts.indexOf(undefined)];
  if (foreign !== undefined) return refused('CRYPTO_HOST_NAME', `"${foreign}" is neither a host name nor an IP address`);
  // Checked above: none is undefined.
  return { attributes: name.attributes, hosts: [...new Set(hosts as string[])] };
};

const answerOne = async (body: Body, key: ReadyKey | undefined): Promise<Outcome<Reply>> => {
  const { tenant, keyId, spec: asked } = body;
  if (key === undefined) return refused('CRYPTO_KEY_NOT_FOUND', `tenant ${tenant} has no key ${keyId}`);
  const { scheme, category, publicKey, signer } = key;
  const spec = asked ?? defaultSpec(scheme);
  if (signer === undefined || spec === undefined || !specsOf(scheme).includes(spec)) {
    return refused('CRYPTO_SPEC_UNFIT', `key ${keyId} is of ${scheme}, which signs by ${specsOf(scheme).join(', ') || 'no spec: it agrees'}`);
  }
  const named = readNames(body, category);
  if ('type' in named) return named;
  const pem = await makeSigningRequest({ ...named, category, publicKey, spec, sign: (data) => signer.sign(spec, data) });
  return { type: 'done', value: { pem } };
};

export const createOnCsr = ({ ring }: { readonly ring: KeyRing }): Answering<Body, Reply, CryptoTx> => ({
  wire: restToCryptoCsr,
  storesAnswers: false,
  answer: (requests, tx) => {
    const refs = requests.map(({ body }) => ({ tenant: body.tenant, id: body.keyId }));
    return ring.withSigners(tx, refs, async (keyOf) => {
      const outcomes = await allEnded(requests.map(({ body }, i) => answerOne(body, keyOf(refs[i]!))));
      return outcomes.map((outcome) => ({ outcome }));
    });
  },
});
