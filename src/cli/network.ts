/** Builds the two-cluster static network over REST: the same steps that an operator would take by hand with curl. */
import { holdingIdentityOf } from '../identity/holding-identity.ts';
import { parseX500 } from '../identity/x500.ts';
import { textField, until, type RestClient } from './rest-client.ts';

export type MemberPlan = {
  readonly name: string;
  readonly groupId: string;
  readonly client: RestClient;
  readonly gatewayUrl: string;
};

export type PreparedMember = MemberPlan & { readonly shortHash: string; readonly sessionKeyPem: string; readonly ledgerKeyPem: string; readonly tlsCertificatePem: string };

const tlsAlias = 'p2p-tls-cert';
const keyScheme = 'CORDA.ECDSA.SECP256R1';

/** Of the virtual node that this member is or will be. */
export const shortHashOf = ({ name, groupId }: Pick<MemberPlan, 'name' | 'groupId'>): string => {
  const parsed = parseX500(name);
  if (parsed.type === 'invalid') throw new Error(`${name} is not an X.500 name: ${parsed.reason}`);
  return holdingIdentityOf(parsed.name, groupId).shortHash;
};

/** The PEM of a key with the alias that registration looks for; made when it is not there yet. */
const makeKey = async (client: RestClient, shortHash: string, use: string, category: string): Promise<string> => {
  await client.call('POST', `/hsm/soft/${shortHash}/${category}`);
  const alias = `${shortHash}-${use}`;
  const found = Object.keys((await client.call('GET', `/key/${shortHash}?alias=${alias}`)) as object);
  const id = found[0] ?? textField(await client.call('POST', `/key/${shortHash}/alias/${alias}/category/${category}/scheme/${keyScheme}`), 'id');
  return String(await client.call('GET', `/key/${shortHash}/${id}`));
};

/**
 * Makes the member's session and ledger keys and reads the cluster's TLS certificate. Both must exist before the group policy, which
 * names them; the virtual node need not, because its short hash (the key's tenant) follows from its name and group.
 */
export const prepareMember = async (plan: MemberPlan): Promise<PreparedMember> => {
  const { client } = plan;
  const shortHash = shortHashOf(plan);
  const sessionKeyPem = await makeKey(client, shortHash, 'session', 'SESSION_INIT');
  const ledgerKeyPem = await makeKey(client, shortHash, 'ledger', 'LEDGER');
  const tlsCertificatePem = await until('the TLS certificate of the cluster', async () => {
    const aliases = await client.call('GET', '/certificate/cluster/p2p-tls');
    return Array.isArray(aliases) && aliases.includes(tlsAlias) ? client.call('GET', `/certificate/cluster/p2p-tls/${tlsAlias}`) : undefined;
  });
  return { ...plan, shortHash, sessionKeyPem, ledgerKeyPem, tlsCertificatePem: String(tlsCertificatePem) };
};

/** Corda's static group policy, with Cordage's addition: each member's session and ledger keys, so that the network can span clusters. */
export const staticGroupPolicy = (groupId: string, members: readonly PreparedMember[]): string =>
  JSON.stringify(
    {
      fileFormatVersion: 1,
      groupId,
      registrationProtocol: 'net.corda.membership.impl.registration.staticnetwork.StaticMemberRegistrationService',
      synchronisationProtocol: 'net.corda.membership.impl.sync.staticnetwork.StaticMemberSyncService',
      protocolParameters: {
        sessionKeyPolicy: 'Combined',
        staticNetwork: {
          members: members.map(({ name, gatewayUrl, sessionKeyPem, ledgerKeyPem }) => ({
            name,
            memberStatus: 'ACTIVE',
            'endpointUrl-1': gatewayUrl,
            'endpointProtocol-1': 1,
            sessionKeyPem,
            ledgerKeyPem,
          })),
          groupParameters: {},
        },
      },
      p2pParameters: {
        sessionTrustRoots: [],
        tlsTrustRoots: [...new Set(members.map(({ tlsCertificatePem }) => tlsCertificatePem))],
        sessionPki: 'NoPKI',
        tlsPki: 'Standard',
        tlsVersion: '1.3',
        protocolMode: 'Authenticated_Encryption',
        tlsType: 'OneWay',
      },
      cipherSuite: {},
    },
    null,
    2,
  );

/** Has the cluster trust what this signer signs. */
export const trustSigner = async (client: RestClient, signerPem: string): Promise<void> => {
  await client.upload('PUT', '/certificate/cluster/code-signer', { alias: 'cordage-start', certificate: new Blob([signerPem]) });
};

/** Uploads the CPI and waits until the cluster has verified it; gives the checksum that virtual nodes are made from. */
export const uploadCpi = async (client: RestClient, cpi: Uint8Array, signerPem: string): Promise<string> => {
  await trustSigner(client, signerPem);
  // A copy, because a Blob part must stand on a plain ArrayBuffer.
  const answer = await client.upload('POST', '/cpi', { upload: new Blob([new Uint8Array(cpi)]) });
  const id = textField(answer, 'id');
  return until('the verification of the CPI', async () => {
    const status = await client.call('GET', `/cpi/status/${id}`);
    return textField(status, 'status') === 'OK' ? textField(status, 'cpiFileChecksum') : undefined;
  });
};

export const createVirtualNode = async ({ client, name }: MemberPlan, cpiFileChecksum: string): Promise<string> => {
  const requestId = textField(await client.call('POST', '/virtualnode', { cpiFileChecksum, x500Name: name }), 'requestId');
  const resource = await until(`the virtual node ${name}`, async () => {
    const status = await client.call('GET', `/virtualnode/status/${requestId}`);
    const word = textField(status, 'status');
    if (word === 'FAILED' || word === 'ABORTED') throw new Error(`the virtual node ${name} was not made: ${JSON.stringify(status)}`);
    return word === 'SUCCEEDED' ? textField(status, 'resourceId') : undefined;
  });
  return resource;
};

type RegistrationStatus = { registrationStatus: string; reason?: string | null };
const refusedStatuses = new Set(['DECLINED', 'INVALID', 'FAILED']);

export const registerMember = async ({ client, name }: MemberPlan, shortHash: string): Promise<void> => {
  await client.call('POST', `/membership/${shortHash}`, { context: { 'corda.key.scheme': keyScheme } });
  await until(`the registration of ${name}`, async () => {
    // The contract's RestRegistrationRequestStatus.
    const statuses = (await client.call('GET', `/membership/${shortHash}`)) as RegistrationStatus[];
    const refused = statuses.find(({ registrationStatus }) => refusedStatuses.has(registrationStatus));
    if (refused !== undefined) throw new Error(`the registration of ${name} ended ${refused.registrationStatus}: ${refused.reason ?? 'no reason given'}`);
    return statuses.some(({ registrationStatus }) => registrationStatus === 'APPROVED') ? true : undefined;
  });
};

export type FlowRun = { readonly status: string; readonly result: unknown };

/** Starts a flow and waits for its end (`wait` is Cordage's addition to Corda's result call). */
export const runFlow = async (
  client: RestClient,
  options: { shortHash: string; clientRequestId: string; flowClassName: string; requestBody: unknown },
): Promise<FlowRun> => {
  const { shortHash, ...start } = options;
  await client.call('POST', `/flow/${shortHash}`, start);
  return until(`the flow ${start.flowClassName}`, async () => {
    const answer = await client.call('GET', `/flow/${shortHash}/${start.clientRequestId}/result?wait=10000`);
    const status = textField(answer, 'flowStatus');
    if (status === 'START_REQUESTED' || status === 'RUNNING') return undefined;
    // The contract's FlowResultResponse.
    const { json, flowError } = answer as { json?: unknown; flowError?: { type: string; message: string } };
    if (status !== 'COMPLETED') throw new Error(`the flow ended ${status}: ${flowError?.type} ${flowError?.message}`);
    return { status, result: json };
  }, 60_000);
};
