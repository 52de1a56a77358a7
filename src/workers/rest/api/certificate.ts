/** Certificate chains of the cluster and of virtual nodes, and requests to have keys certified. */
import * as z from 'zod';
import { textOf, concat } from '../../../cipher/bytes.ts';
import { CipherError } from '../../../cipher/cipher-error.ts';
import { decodePem } from '../../../cipher/pem.ts';
import { signatureSpec } from '../../../messages/all-to-crypto.sign.ts';
import { alternativeNamesMax, restToCryptoCsr } from '../../../messages/rest-to-crypto.csr.ts';
import { certificateUsage, restToDbCertificate, type CertificateUsage } from '../../../messages/rest-to-db.certificate.ts';
import type { Refusal } from '../../../messages/grammar/envelope.ts';
import { shortHashText, text, wordOf, type Parameter } from '../parameter.ts';
import { refuse } from '../refusal.ts';
import { findVirtualNode, type RestRoom } from '../room.ts';
import { done, doneSilently, formBody, jsonBody, route, type FormFile, type ValueOfBody } from '../routing/routing.ts';
import { tenantId } from './hsm.ts';
import { keyIdParameter } from './key.ts';
import { protocolVersionRoute } from './protocol-version.ts';

const tag = 'Certificate';
const usage = text(wordOf(certificateUsage, certificateUsage.options));
const alias = text(z.string().regex(/^[-._A-Za-z0-9]{1,255}$/, 'an alias has 1 to 255 letters, digits, ".", "-" and "_"'));

/** The contract says that it may be null, which a path cannot be. */
const holder: Parameter<string> = { ...text(shortHashText), schema: { type: 'string', nullable: true } };

/** The chain as one PEM text: the files in the order in which they were given. */
const chainOf = (files: readonly FormFile[]): string | Refusal => {
  try {
    const pem = files.map(({ pieces }) => textOf(concat(...pieces)).trimEnd()).join('\n') + '\n';
    const blocks = decodePem(pem);
    if (blocks.length > 0 && blocks.every(({ label }) => label === 'CERTIFICATE')) return pem;
  } catch (cause) {
    if (!(cause instanceof CipherError)) throw cause;
  }
  return refuse('REST_PARAMETER_INVALID', "Unable to parse parameter 'certificate': it must hold X.509 certificates in PEM, and nothing else", { parameter: 'certificate' });
};

// ── Chains, of whomever ──────────────────────────────────────────────────────────────────────────────────────────────

const chainBody = formBody({ alias: 'text', certificate: 'files' }, 'certificateBytesMax');

/** Without a holder: the cluster's. */
type Place = { readonly usage: CertificateUsage; readonly holder?: string };

const importChain = async ({ requests, limits }: RestRoom, place: Place, body: ValueOfBody<typeof chainBody>) => {
  const named = alias.read([body.alias]);
  if (named.type === 'unreadable') return refuse('REST_PARAMETER_INVALID', `Unable to parse parameter 'alias': ${named.reason}`, { parameter: 'alias' });
  const pem = chainOf(body.certificate);
  if (typeof pem !== 'string') return pem;
  const outcome = await requests.ask(restToDbCertificate, { key: place.usage, body: { type: 'import', ...place, alias: named.value, pem }, timeoutMs: limits.askTimeoutMs });
  return outcome.type === 'refused' ? outcome : doneSilently;
};

const listChains = async ({ requests, limits }: RestRoom, place: Place) => {
  const outcome = await requests.ask(restToDbCertificate, { key: place.usage, body: { type: 'list', ...place }, timeoutMs: limits.askTimeoutMs });
  return outcome.type === 'refused' ? outcome : done(outcome.value.aliases ?? []);
};

const readChain = async ({ requests, limits }: RestRoom, place: Place & { readonly alias: string }) => {
  const outcome = await requests.ask(restToDbCertificate, { key: place.usage, body: { type: 'get', ...place }, timeoutMs: limits.askTimeoutMs });
  return outcome.type === 'refused' ? outcome : done(outcome.value.pem ?? '');
};

/** 404 where the virtual node is not there. */
const forVirtualNode = async <Value>(room: RestRoom, { usage: used, holdingidentityid }: { readonly usage: CertificateUsage; readonly holdingidentityid: string }, work: (place: Place) => Promise<Value>): Promise<Value | Refusal> => {
  const node = await findVirtualNode(room, holdingidentityid);
  return 'type' in node ? node : work({ usage: used, holder: holdingidentityid });
};

// ── Signing requests ─────────────────────────────────────────────────────────────────────────────────────────────────

const signingRequest = z
  .object({ contextMap: z.record(z.string(), z.string()).nullable().optional(), subjectAlternativeNames: z.array(z.string().min(1).max(253)).max(alternativeNamesMax).nullable().optional(), x500Name: z.string().min(1).max(600) })
  .meta({ id: 'GenerateCsrWrapperRequest' });

/** What Corda's context of a signing request may name. */
const specKey = 'signatureSpec';

export const certificateRoutes = [
  route({
    method: 'POST',
    path: '/certificate/{tenantid}/{keyid}',
    pathInV1: '/certificates/{tenantid}/{keyid}',
    tag,
    summary: 'Makes a certificate signing request (PKCS#10) of a key, in PEM',
    pathParameters: { tenantid: tenantId, keyid: keyIdParameter },
    body: jsonBody('request', signingRequest),
    reply: z.string(),
    handle: async ({ room, path, body }) => {
      const { requests, limits } = room;
      const { tenantid: tenant, keyid } = path;
      const named = body.contextMap?.[specKey];
      const spec = signatureSpec.optional().safeParse(named);
      if (!spec.success) return refuse('REST_BODY_INVALID', `There is no signature spec ${named}`, { [specKey]: `one of ${signatureSpec.options.join(', ')}` });
      const asked = { tenant, keyId: keyid, x500Name: body.x500Name, alternativeNames: body.subjectAlternativeNames ?? [], spec: spec.data };
      const outcome = await requests.ask(restToCryptoCsr, { key: tenant, body: asked, timeoutMs: limits.askTimeoutMs });
      return outcome.type === 'refused' ? outcome : done(outcome.value.pem);
    },
  }),
  route({
    method: 'PUT',
    path: '/certificate/cluster/{usage}',
    pathInV1: '/certificates/cluster/{usage}',
    tag,
    summary: 'Imports a certificate chain of the cluster',
    pathParameters: { usage },
    body: chainBody,
    handle: async ({ room, path, body }) => importChain(room, path, body),
  }),
  route({
    method: 'GET',
    path: '/certificate/cluster/{usage}',
    pathInV1: '/certificates/cluster/{usage}',
    tag,
    summary: 'Lists the aliases of certificate chains of the cluster',
    pathParameters: { usage },
    reply: z.array(z.string()),
    handle: async ({ room, path }) => listChains(room, path),
  }),
  route({
    method: 'GET',
    path: '/certificate/cluster/{usage}/{alias}',
    pathInV1: '/certificates/cluster/{usage}/{alias}',
    tag,
    summary: 'Reads a certificate chain of the cluster, in PEM',
    pathParameters: { usage, alias },
    reply: z.string(),
    handle: async ({ room, path }) => readChain(room, path),
  }),
  route({
    method: 'PUT',
    path: '/certificate/vnode/{holdingidentityid}/{usage}',
    pathInV1: '/certificates/vnode/{holdingidentityid}/{usage}',
    tag,
    summary: 'Imports a certificate chain of a virtual node',
    pathParameters: { usage, holdingidentityid: holder },
    body: chainBody,
    handle: async ({ room, path, body }) => forVirtualNode(room, path, (place) => importChain(room, place, body)),
  }),
  route({
    method: 'GET',
    path: '/certificate/vnode/{holdingidentityid}/{usage}',
    pathInV1: '/certificates/vnode/{holdingidentityid}/{usage}',
    tag,
    summary: 'Lists the aliases of certificate chains of a virtual node',
    pathParameters: { usage, holdingidentityid: holder },
    reply: z.array(z.string()),
    handle: async ({ room, path }) => forVirtualNode(room, path, (place) => listChains(room, place)),
  }),
  route({
    method: 'GET',
    path: '/certificate/vnode/{holdingidentityid}/{usage}/{alias}',
    pathInV1: '/certificates/vnode/{holdingidentityid}/{usage}/{alias}',
    tag,
    summary: 'Reads a certificate chain of a virtual node, in PEM',
    pathParameters: { usage, holdingidentityid: holder, alias },
    reply: z.string(),
    handle: async ({ room, path }) => forVirtualNode(room, path, (place) => readChain(room, { ...place, alias: path.alias })),
  }),
  protocolVersionRoute('certificate', tag, 'certificates'),
];
