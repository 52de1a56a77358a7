/** A dynamic network over REST, step by step as an operator builds it: a manager, its policy, and members that join with it. */
import { randomUUID } from 'node:crypto';
import { expect } from 'vitest';
import { writeCpi } from '../../../../src/packaging/build/containers.ts';
import type { Signer } from '../../../../src/packaging/build-signing-key.ts';
import type { BlackBox } from './cluster.ts';
import type { SessionAuthority } from './session-authority.ts';
import { addNode, openDepots, trust, upload, type Depot } from './depot.ts';

export const mgmPolicy = JSON.stringify({
  fileFormatVersion: 1,
  groupId: 'CREATE_ID',
  registrationProtocol: 'net.corda.membership.impl.registration.dynamic.mgm.MGMRegistrationService',
  synchronisationProtocol: 'net.corda.membership.impl.synchronisation.MgmSynchronisationServiceImpl',
});

export type Context = Record<string, string>;

const tlsAlias = 'p2p-tls-cert';
const scheme = 'CORDA.ECDSA.SECP256R1';

/** A key of this use; gives its id. */
export const makeKey = async ({ call }: BlackBox, tenant: string, category: string, alias: string): Promise<string> => {
  expect((await call('POST', `/hsm/soft/${tenant}/${category}`)).status).toBe(200);
  const made = await call('POST', `/key/${tenant}/alias/${alias}/category/${category}/scheme/${scheme}`);
  expect(made.status, made.text).toBe(200);
  return made.json.id;
};

export const setUp = ({ call }: BlackBox, hash: string, sessionKeyId: string, more: object = {}) =>
  call('PUT', `/network/setup/${hash}`, {
    json: { p2pTlsCertificateChainAlias: tlsAlias, useClusterLevelTlsCertificateAndKey: true, sessionKeysAndCertificates: [{ sessionKeyId, preferred: true, ...more }] },
  });

export const register = (box: BlackBox, hash: string, context: Context) => box.call('POST', `/membership/${hash}`, { json: { memberRegistrationRequest: { context } } });

export type Registration = { readonly registrationId: string; readonly registrationStatus: string; readonly reason: string | null; readonly serial: number | null };

const ended = ['APPROVED', 'DECLINED', 'INVALID', 'FAILED'];

/** How a registration stands once the condition holds; by default, how it ends. */
export const registrationOf = async ({ until }: BlackBox, hash: string, registrationId: string, isSo = (status: string): boolean => ended.includes(status)): Promise<Registration> =>
  (await until('GET', `/membership/${hash}/${registrationId}`, ({ json }) => isSo(json.registrationStatus))).json;

/** Registers and waits for the end. */
export const settled = async (box: BlackBox, hash: string, context: Context): Promise<Registration> => {
  const begun = await register(box, hash, context);
  if (begun.status !== 200) throw new Error(begun.text);
  return registrationOf(box, hash, begun.json.registrationId);
};

export type Mgm = { readonly hash: string; readonly x500Name: string; readonly groupId: string; readonly sessionKeyId: string; readonly context: Context; readonly policy: () => Promise<string> };
export type Joiner = { readonly hash: string; readonly x500Name: string; readonly sessionKeyId: string; readonly ledgerKeyId: string; readonly context: Context };

export type Workshop = { readonly depot: Depot; readonly signer: Signer };
export const openWorkshop = async (): Promise<Workshop> => {
  const depot = (await openDepots())();
  return { depot, signer: depot.signer };
};

const tlsRootsOf = (boxes: readonly BlackBox[]): Promise<string[]> =>
  Promise.all(boxes.map(async ({ until }) => (await until('GET', `/certificate/cluster/p2p-tls/${tlsAlias}`, ({ status }) => status === 200)).json as string));

export type MgmOptions = { readonly signer: Signer; readonly gatewayUrl: string; /** Clusters whose gateways the network trusts. */ readonly clusters?: readonly BlackBox[]; readonly more?: Context; /** Certifies its session key. */ readonly authority?: SessionAuthority };

/** A manager's virtual node with its keys, not registered yet. */
export const prepareMgm = async (box: BlackBox, { signer, gatewayUrl, clusters = [box], more = {} }: MgmOptions): Promise<Mgm> => {
  await trust(box, signer, 'network');
  const { json: uploaded } = await upload(box, await writeCpi({ name: `mgm-${randomUUID()}`, version: '1.0', groupPolicy: mgmPolicy }, signer));
  const x500Name = `O=Mgm ${randomUUID().slice(0, 8)}, L=London, C=GB`;
  const hash = await addNode(box, uploaded.cpiFileChecksum, x500Name);
  const { groupId } = (await box.call('GET', `/virtualnode/${hash}`)).json.holdingIdentity;
  const sessionKeyId = await makeKey(box, hash, 'SESSION_INIT', `${hash}-session`);
  const agreementKeyId = await makeKey(box, hash, 'PRE_AUTH', `${hash}-auth`);
  const roots = await tlsRootsOf(clusters);
  const context: Context = {
    'corda.session.keys.0.id': sessionKeyId,
    'corda.ecdh.key.id': agreementKeyId,
    'corda.group.protocol.registration': 'net.corda.membership.impl.registration.dynamic.member.DynamicMemberRegistrationService',
    'corda.group.protocol.synchronisation': 'net.corda.membership.impl.synchronisation.MemberSynchronisationServiceImpl',
    'corda.group.protocol.p2p.mode': 'Authenticated_Encryption',
    'corda.group.key.session.policy': 'Distinct',
    'corda.group.pki.session': 'NoPKI',
    'corda.group.pki.tls': 'Standard',
    'corda.group.tls.type': 'OneWay',
    'corda.group.tls.version': '1.3',
    'corda.endpoints.0.connectionURL': gatewayUrl,
    'corda.endpoints.0.protocolVersion': '1',
    ...Object.fromEntries(roots.map((root, n) => [`corda.group.trustroot.tls.${n}`, root])),
    ...more,
  };
  return { hash, x500Name, groupId, sessionKeyId, context, policy: async () => (await box.call('GET', `/mgm/${hash}/info`)).json as string };
};

/** A manager that is registered and can be reached. */
export const openMgm = async (box: BlackBox, options: MgmOptions): Promise<Mgm> => {
  const mgm = await prepareMgm(box, options);
  const registration = await settled(box, mgm.hash, mgm.context);
  if (registration.registrationStatus !== 'APPROVED') throw new Error(JSON.stringify(registration));
  const set = await setUp(box, mgm.hash, mgm.sessionKeyId, await certified(box, mgm, options.authority));
  expect(set.status, set.text).toBe(204);
  return mgm;
};

/** What a setup says of the certificate of a session key. */
export const certified = async (box: BlackBox, { hash, x500Name, sessionKeyId }: Pick<Joiner, 'hash' | 'x500Name' | 'sessionKeyId'>, authority: SessionAuthority | undefined) =>
  authority === undefined ? {} : { sessionCertificateChainAlias: await authority.certify(box, hash, { keyId: sessionKeyId, x500Name }) };

export type JoinOptions = { readonly depot: Depot; readonly policy: string; readonly gatewayUrl: string; readonly x500Name?: string; /** Certifies its session key. */ readonly authority?: SessionAuthority };

/** The network's CPI, made once for each manager and cluster. */
const uploads = new WeakMap<BlackBox, Map<string, string>>();
const cpiOf = async (box: BlackBox, depot: Depot, policy: string): Promise<string> => {
  const known = uploads.get(box) ?? new Map<string, string>();
  uploads.set(box, known);
  const found = known.get(policy);
  if (found !== undefined) return found;
  await trust(box, depot.signer, 'network');
  const { json, text } = await upload(box, await depot.cpi({ groupPolicy: policy, name: `app-${randomUUID()}` }));
  if (json.cpiFileChecksum === undefined || json.cpiFileChecksum === '') throw new Error(text);
  known.set(policy, json.cpiFileChecksum);
  return json.cpiFileChecksum;
};

/** A member's virtual node with its keys and its setup, not registered yet. */
export const prepareJoiner = async (box: BlackBox, { depot, policy, gatewayUrl, authority, x500Name = `O=Member ${randomUUID().slice(0, 8)}, L=London, C=GB` }: JoinOptions): Promise<Joiner> => {
  const hash = await addNode(box, await cpiOf(box, depot, policy), x500Name);
  const sessionKeyId = await makeKey(box, hash, 'SESSION_INIT', `${hash}-session`);
  const ledgerKeyId = await makeKey(box, hash, 'LEDGER', `${hash}-ledger`);
  const set = await setUp(box, hash, sessionKeyId, await certified(box, { hash, x500Name, sessionKeyId }, authority));
  expect(set.status, set.text).toBe(204);
  const context: Context = {
    'corda.session.keys.0.id': sessionKeyId,
    'corda.session.keys.0.signature.spec': 'SHA256withECDSA',
    'corda.ledger.keys.0.id': ledgerKeyId,
    'corda.ledger.keys.0.signature.spec': 'SHA256withECDSA',
    'corda.endpoints.0.connectionURL': gatewayUrl,
    'corda.endpoints.0.protocolVersion': '1',
  };
  return { hash, x500Name, sessionKeyId, ledgerKeyId, context };
};

/** A member. */
export const addMember = async (box: BlackBox, options: JoinOptions, more: Context = {}): Promise<Joiner> => {
  const joiner = await prepareJoiner(box, options);
  const registration = await settled(box, joiner.hash, { ...joiner.context, ...more });
  if (registration.registrationStatus !== 'APPROVED') throw new Error(JSON.stringify(registration));
  return joiner;
};

type Member = { readonly memberContext: Context; readonly mgmContext: Context };

/** Names and statuses as one virtual node sees them. */
export const seenBy = async ({ call }: BlackBox, hash: string, query = ''): Promise<Record<string, string>> => {
  const { json } = await call('GET', `/members/${hash}${query}`);
  return Object.fromEntries((json.members as Member[]).map(({ memberContext, mgmContext }) => [memberContext['corda.name'], mgmContext['corda.status']]));
};
