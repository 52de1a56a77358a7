/** Founds a dynamic network: its manager's CPI, virtual node, keys and registration, up to the group policy that members join with. */
import { checkChain, readTrusted } from '../../cipher/certificates.ts';
import type { X500Name } from '../../identity/x500.ts';
import { writeCpi, type Signer } from '../../packaging/build/containers.ts';
import type { RestClient } from '../../rest-client/rest-client.ts';
import { createVirtualNode, findOrMakeKey, readTlsCertificate, sendCpi } from '../network.ts';
import type { Progress } from '../progress.ts';
import { certificateHint, endpointFields, findCpi, policyOf, register, setUp, trustSigners } from './steps.ts';

export type FoundPlan = {
  readonly client: RestClient;
  readonly x500Name: X500Name;
  /** Where members reach the manager: the URL of its cluster's gateway. */
  readonly endpoint: string;
  readonly signer: () => Promise<Signer>;
  readonly tlsAlias: string;
  /** Alias of the certificate of its session key, in networks that want one. */
  readonly sessionCertificate?: string | undefined;
  /** PEM; whoever issues the certificates of the network's gateways. Without any the manager's own certificate is trusted alone. */
  readonly trustRoots: readonly string[];
  /** More fields of the registration's context, or others than these here. */
  readonly context: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
};

export class FoundError extends Error {
  readonly code = 'NETWORK_CREATE';
}

export type Founded = { readonly shortHash: string; readonly groupId: string; readonly policy: string };

const managerCpi = { name: 'cordage-network-manager', version: '1.0' };

const managerPolicy = JSON.stringify({
  fileFormatVersion: 1,
  groupId: 'CREATE_ID',
  registrationProtocol: 'net.corda.membership.impl.registration.dynamic.mgm.MGMRegistrationService',
  synchronisationProtocol: 'net.corda.membership.impl.synchronisation.MgmSynchronisationServiceImpl',
});

const rules: Readonly<Record<string, string>> = {
  'corda.group.protocol.registration': 'net.corda.membership.impl.registration.dynamic.member.DynamicMemberRegistrationService',
  'corda.group.protocol.synchronisation': 'net.corda.membership.impl.synchronisation.MemberSynchronisationServiceImpl',
  'corda.group.protocol.p2p.mode': 'Authenticated_Encryption',
  'corda.group.key.session.policy': 'Distinct',
  'corda.group.pki.session': 'NoPKI',
  'corda.group.pki.tls': 'Standard',
  'corda.group.tls.type': 'OneWay',
  'corda.group.tls.version': '1.3',
};

export const isManagerPolicy = (text: string | null): boolean => text !== null && policyOf(text)?.type === 'mgm';

/** One CPI serves all managers of a cluster: each virtual node made of it begins a group of its own. */
const provideCpi = async ({ client, signer }: FoundPlan): Promise<string> => {
  const there = await findCpi(client, ({ groupPolicy, cpks }) => cpks.length === 0 && groupPolicy !== null && policyOf(groupPolicy)?.groupId === 'CREATE_ID');
  if (there !== undefined) return there.cpiFileChecksum;
  const own = await signer();
  await trustSigners(client, [own.certificateChainPem]);
  return sendCpi(client, await writeCpi({ ...managerCpi, groupPolicy: managerPolicy }, own));
};

const provideNode = async ({ client, x500Name }: FoundPlan, cpiFileChecksum: string): Promise<{ shortHash: string; groupId: string }> => {
  const find = async () => {
    const { virtualNodes } = await client.call('GET /virtualnode');
    const cpi = await findCpi(client, (one) => one.cpiFileChecksum === cpiFileChecksum);
    return virtualNodes.find(({ holdingIdentity, cpiIdentifier }) => holdingIdentity.x500Name === x500Name && cpiIdentifier.cpiName === cpi?.id.cpiName)?.holdingIdentity;
  };
  const there = await find();
  if (there !== undefined) return there;
  const holdingidentityshorthash = await createVirtualNode({ client, name: x500Name }, cpiFileChecksum);
  return (await client.call('GET /virtualnode/{holdingidentityshorthash}', { path: { holdingidentityshorthash } })).holdingIdentity;
};

/** The manager's own gateway must be trusted too. */
const rootsWith = async (own: string, given: readonly string[]): Promise<readonly string[]> => {
  const verdict = await checkChain({ chain: readTrusted([own]), trusted: readTrusted(given), now: Date.now() });
  return verdict.type === 'good' ? given : [...given, own];
};

export const found = async (progress: Progress, plan: FoundPlan): Promise<Founded> => {
  const { client, endpoint, tlsAlias, trustRoots, sessionCertificate, context, timeoutMs } = plan;
  const checksum = await progress.step('CPI of the manager', () => provideCpi(plan), (made) => made);
  const { shortHash, groupId } = await progress.step('Virtual node of the manager', () => provideNode(plan, checksum), (node) => `${node.shortHash}, group ${node.groupId}`);
  const [sessionKeyId, agreementKeyId, tlsRoots] = await progress.step('Keys, and the certificate of its gateway', () =>
    Promise.all([
      findOrMakeKey(client, shortHash, 'session', 'SESSION_INIT'),
      findOrMakeKey(client, shortHash, 'auth', 'PRE_AUTH'),
      readTlsCertificate(client, tlsAlias).then((own) => rootsWith(own, trustRoots)),
    ]),
  );
  const whole: Readonly<Record<string, string>> = {
    'corda.session.keys.0.id': sessionKeyId,
    'corda.ecdh.key.id': agreementKeyId,
    ...rules,
    ...endpointFields(endpoint),
    ...Object.fromEntries(tlsRoots.map((root, n) => [`corda.group.trustroot.tls.${n}`, root])),
    ...context,
  };
  if (whole['corda.group.pki.session'] === 'Standard' && sessionCertificate === undefined) throw new FoundError(certificateHint(shortHash, sessionKeyId));
  await progress.step('Registered', () => register(client, { shortHash, context: whole, timeoutMs }));
  await progress.step('Can be reached', () => setUp(client, { shortHash, sessionKeyId, tlsAlias, sessionCertificate }));
  const policy = await client.call('GET /mgm/{holdingidentityshorthash}/info', { path: { holdingidentityshorthash: shortHash } });
  return { shortHash, groupId, policy };
};
