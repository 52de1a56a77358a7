/** How a virtual node is reached: the session keys it signs with, and the certificates that other clusters ask for. */
import * as z from 'zod';
import { defaultSpec } from '../../../cipher/signature.ts';
import { allToCryptoKey, keyId } from '../../../messages/all-to-crypto.key.ts';
import { restToDbCertificate } from '../../../messages/rest-to-db.certificate.ts';
import type { Refusal } from '../../../messages/grammar/envelope.ts';
import { restToMemberNetwork, sessionKeysMax } from '../../../messages/rest-to-member.network.ts';
import { shortHash } from '../parameter.ts';
import { isRefusal, refuse } from '../refusal.ts';
import { findVirtualNode, type RestRoom } from '../room.ts';
import { doneSilently, jsonBody, route } from '../routing/routing.ts';
import { protocolVersionRoute } from './protocol-version.ts';

const tag = 'Network';

const alias = z.string().min(1).max(255);

const sessionKey = z
  .object({ preferred: z.boolean(), sessionCertificateChainAlias: alias.nullable().optional(), sessionKeyId: z.string().transform((given) => given.toUpperCase()).pipe(keyId) })
  .meta({ id: 'HostedIdentitySessionKeyAndCertificate' });

const setup = z
  .object({
    p2pTlsCertificateChainAlias: alias,
    sessionKeysAndCertificates: z.array(sessionKey).max(sessionKeysMax),
    useClusterLevelTlsCertificateAndKey: z.boolean().nullable().optional(),
  })
  .meta({ id: 'HostedIdentitySetupRequest' });

type Chosen = z.infer<typeof sessionKey>;

const findSessionKey = async ({ requests, limits }: RestRoom, tenant: string, { sessionKeyId }: Chosen) => {
  const outcome = await requests.ask(allToCryptoKey, { key: tenant, body: { type: 'find', tenant, ids: [sessionKeyId] }, timeoutMs: limits.askTimeoutMs });
  if (outcome.type === 'refused') return outcome;
  const key = outcome.value.keys.find(({ id }) => id === sessionKeyId);
  const spec = key === undefined ? undefined : defaultSpec(key.scheme);
  if (key === undefined || key.category !== 'SESSION_INIT' || spec === undefined) {
    return refuse('REST_BODY_INVALID', `${tenant} has no key ${sessionKeyId} of category SESSION_INIT`, { sessionKeyId });
  }
  return { id: key.id, publicKey: key.publicKey, spec };
};

type Chain = { readonly type: 'chain'; readonly pem: string };

const findChain = async ({ requests, limits }: RestRoom, usage: 'p2p-tls' | 'p2p-session', named: string, holder: string | undefined): Promise<Refusal | Chain> => {
  const outcome = await requests.ask(restToDbCertificate, { key: usage, body: { type: 'get', usage, alias: named, ...(holder === undefined ? {} : { holder }) }, timeoutMs: limits.askTimeoutMs });
  if (outcome.type === 'done') return { type: 'chain', pem: outcome.value.pem ?? '' };
  return outcome.code === 'DB_CERTIFICATE_NOT_FOUND' ? refuse('REST_BODY_INVALID', `there is no certificate chain ${named} of usage ${usage}`, { alias: named }) : outcome;
};

type FoundKey = { readonly type: 'key'; readonly preferred: boolean; readonly sessionKey: { readonly id: string; readonly publicKey: string; readonly spec: string }; readonly pem: string | null };

const findSessionKeyAndChain = async (room: RestRoom, tenant: string, chosen: Chosen): Promise<Refusal | FoundKey> => {
  const sessionKey = await findSessionKey(room, tenant, chosen);
  if ('type' in sessionKey) return sessionKey;
  const { preferred, sessionCertificateChainAlias: named } = chosen;
  if (named === undefined || named === null) return { type: 'key', preferred, sessionKey, pem: null };
  const chain = await findChain(room, 'p2p-session', named, tenant);
  return isRefusal(chain) ? chain : { type: 'key', preferred, sessionKey, pem: chain.pem };
};

export const networkRoutes = [
  route({
    method: 'PUT',
    path: '/network/setup/{holdingidentityshorthash}',
    tag,
    summary: 'Sets up how a virtual node is reached: its session keys and the TLS certificate of its gateway',
    pathParameters: { holdingidentityshorthash: shortHash },
    body: jsonBody('request', setup),
    handle: async ({ room, path, body }) => {
      const node = await findVirtualNode(room, path.holdingidentityshorthash);
      if (isRefusal(node)) return node;
      const { shortHash: key } = node.holdingIdentity;
      const preferred = body.sessionKeysAndCertificates.filter((one) => one.preferred);
      if (preferred.length !== 1) return refuse('REST_BODY_INVALID', 'exactly one of sessionKeysAndCertificates must be preferred', { sessionKeysAndCertificates: `${preferred.length} are preferred` });
      const holder = body.useClusterLevelTlsCertificateAndKey === false ? key : undefined;
      const tls = await findChain(room, 'p2p-tls', body.p2pTlsCertificateChainAlias, holder);
      if (isRefusal(tls)) return tls;
      const found = await Promise.all(body.sessionKeysAndCertificates.map((one) => findSessionKeyAndChain(room, key, one)));
      const keys: FoundKey[] = [];
      for (const one of found) {
        if (isRefusal(one)) return one;
        keys.push(one);
      }
      const own = keys.find(({ preferred }) => preferred)!;
      const otherCertificates = keys.flatMap(({ preferred, sessionKey, pem }) => (preferred || pem === null ? [] : [{ publicKey: sessionKey.publicKey, sessionCertificates: pem }]));
      const { requests, limits } = room;
      const outcome = await requests.ask(restToMemberNetwork, {
        key, body: { shortHash: key, sessionKey: own.sessionKey, sessionCertificates: own.pem, otherCertificates, tls: { holder: holder ?? 'cluster', alias: body.p2pTlsCertificateChainAlias, certificates: tls.pem } }, timeoutMs: limits.askTimeoutMs,
      });
      return outcome.type === 'refused' ? outcome : doneSilently;
    },
  }),
  protocolVersionRoute('network', tag),
];
