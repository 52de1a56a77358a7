/** Joins a dynamic network: from its group policy and an application to a member, on a cluster that need know nothing of the network. */
import { checkChain, readTrusted } from '../../cipher/certificates.ts';
import { holdingIdentityOf } from '../../identity/holding-identity.ts';
import { distinguishedName, type X500Name } from '../../identity/x500.ts';
import type { Signer } from '../../packaging/build/containers.ts';
import type { GroupPolicy } from '../../packaging/group-policy.ts';
import { RestError, type RestClient } from '../../rest-client/rest-client.ts';
import { createVirtualNode, findOrMakeKey, readTlsCertificate, sendCpi } from '../network.ts';
import type { Progress } from '../progress.ts';
import { makeCpi, type Application, type Cpi } from './application.ts';
import { certificateHint, endpointFields, findCpi, policyOf, register, setUp, trustSigners, type Registration } from './steps.ts';

export type JoinPlan = {
  readonly client: RestClient;
  readonly x500Name: X500Name;
  /** Text of the group policy. */
  readonly policy: string;
  /** Where others reach the member: the URL of its cluster's gateway. */
  readonly endpoint: string;
  /** Needed where the virtual node is not there yet. */
  readonly application: Application | undefined;
  readonly signer: () => Promise<Signer>;
  /** PEM; more signers for the cluster to trust, such as the vendor of a bundle. */
  readonly signerPems: readonly string[];
  readonly tlsAlias: string;
  /** Alias of the certificate of its session key, in networks that want one. */
  readonly sessionCertificate: string | undefined;
  readonly isNotary: boolean;
  readonly context: Readonly<Record<string, string>>;
  /** Whether to ask anew after a decline. */
  readonly again: boolean;
  readonly timeoutMs: number;
};


export type DynamicPolicy = Extract<GroupPolicy, { type: 'dynamic' }>;

export class JoinError extends Error {
  readonly code = 'NETWORK_JOIN';
}

/** The subject of this cluster's certificate. Before anything is made: others' gateways would refuse this cluster's, and the registration would wait for an answer that cannot come. */
const checkTls = async ({ client, tlsAlias }: JoinPlan, { p2p }: DynamicPolicy): Promise<string> => {
  const own = await readTlsCertificate(client, tlsAlias);
  const chain = readTrusted([own]);
  const verdict = await checkChain({ chain, trusted: readTrusted(p2p.tlsTrustRoots), now: Date.now() });
  if (verdict.type === 'good') return chain[0]!.subject;
  const why = verdict.type === 'invalid' ? verdict.reason : "none of the network's TLS trust roots has issued it";
  throw new JoinError(
    `the network would not trust this cluster's gateway: its certificate ${tlsAlias} is refused (${why}). Import one of an authority that the group policy names ` +
      '(cordage certificate import p2p-tls <file> --alias …) and name it with --tls-alias; or have the network created with --trust-root for this one',
  );
};

const hasNode = async (client: RestClient, shortHash: string): Promise<boolean> => {
  try {
    await client.call('GET /virtualnode/{holdingidentityshorthash}', { path: { holdingidentityshorthash: shortHash } });
    return true;
  } catch (error) {
    if (error instanceof RestError && error.status === 404) return false;
    throw error;
  }
};

/** Its checksum; uploaded where the cluster has none of its name, version and network. */
const provideCpi = async ({ client, signerPems }: JoinPlan, { groupId }: DynamicPolicy, { cpi, name, version, signerPem }: Cpi): Promise<string> => {
  const there = await findCpi(client, ({ id, groupPolicy }) => id.cpiName === name && id.cpiVersion === version && groupPolicy !== null && policyOf(groupPolicy)?.groupId === groupId);
  if (there !== undefined) return there.cpiFileChecksum;
  await trustSigners(client, [...(signerPem === undefined ? [] : [signerPem]), ...signerPems]);
  const checksum = await sendCpi(client, cpi);
  const uploaded = await findCpi(client, ({ cpiFileChecksum }) => cpiFileChecksum === checksum);
  if (policyOf(uploaded?.groupPolicy ?? '')?.groupId === groupId) return checksum;
  throw new JoinError(`the CPI ${name} ${version} is of another network than the group policy; make one with cordage package cpi, or give --cpb or --project`);
};

const provideNode = async (progress: Progress, plan: JoinPlan, policy: DynamicPolicy, shortHash: string): Promise<void> => {
  const { client, x500Name, application, signer } = plan;
  if (await hasNode(client, shortHash)) return;
  if (application === undefined) throw new JoinError(`the cluster has no virtual node ${x500Name} in this network yet: give its application by --project, --cpb or --cpi`);
  const made = await progress.step('CPI of the application', () => makeCpi(application, plan.policy, signer), ({ name, version, cpi }) => `${name} ${version}, ${cpi.length} bytes`);
  const checksum = await progress.step('Signers trusted, CPI uploaded and verified', () => provideCpi(plan, policy, made), (uploaded) => uploaded);
  await progress.step('Virtual node', () => createVirtualNode({ client, name: x500Name }, checksum), (hash) => hash);
};

/** A notary signs with a notary key, others with a ledger key. */
const provideKeys = async ({ client, isNotary }: JoinPlan, shortHash: string): Promise<{ readonly sessionKeyId: string; readonly fields: Record<string, string> }> => {
  const second = isNotary ? 'notary' : 'ledger';
  const [sessionKeyId, secondKeyId] = await Promise.all([findOrMakeKey(client, shortHash, 'session', 'SESSION_INIT'), findOrMakeKey(client, shortHash, second, isNotary ? 'NOTARY' : 'LEDGER')]);
  const spec = 'SHA256withECDSA';
  return {
    sessionKeyId,
    fields: {
      'corda.session.keys.0.id': sessionKeyId,
      'corda.session.keys.0.signature.spec': spec,
      [`corda.${second}.keys.0.id`]: secondKeyId,
      [`corda.${second}.keys.0.signature.spec`]: spec,
    },
  };
};

export const dynamicPolicyOf = (text: string, where: string): DynamicPolicy => {
  const policy = policyOf(text);
  if (policy?.type === 'dynamic') return policy;
  throw new JoinError(`${where} is not the group policy of a dynamic network, as cordage network create writes it`);
};

/** Of the manager whose network the policy describes. */
export const managerHashOf = ({ groupId, mgmInfo }: DynamicPolicy, nameOf: (text: string) => X500Name): string => holdingIdentityOf(nameOf(mgmInfo['corda.name'] ?? ''), groupId).shortHash;

export const join = async (progress: Progress, plan: JoinPlan): Promise<{ readonly shortHash: string; readonly registration: Registration }> => {
  const { client, x500Name, endpoint, tlsAlias, sessionCertificate, context, again, timeoutMs } = plan;
  const policy = dynamicPolicyOf(plan.policy, 'the policy');
  const { shortHash } = holdingIdentityOf(x500Name, policy.groupId);
  const subject = await progress.step("The network trusts this cluster's gateway", () => checkTls(plan, policy));
  await provideNode(progress, plan, policy, shortHash);
  const { sessionKeyId, fields } = await progress.step('Keys', () => provideKeys(plan, shortHash));
  if (policy.p2p.sessionPki === 'Standard' && sessionCertificate === undefined) throw new JoinError(certificateHint(shortHash, sessionKeyId));
  await progress.step('Can be reached', () => setUp(client, { shortHash, sessionKeyId, tlsAlias, sessionCertificate }));
  if (policy.p2p.tlsType === 'Mutual') progress.say(`    its manager hears this cluster once its operator has allowed the certificate: cordage network allow '${distinguishedName(subject) ?? subject}'`);
  const registration = await progress.step(
    'Registered',
    () => register(client, { shortHash, context: { ...fields, ...endpointFields(endpoint), ...context }, timeoutMs, again, onStatus: (status) => progress.say(`    ${status}`) }),
    ({ registrationStatus }) => registrationStatus,
  );
  return { shortHash, registration };
};
