/** Builds a static network over REST: the same steps that an operator would take by hand with curl. */
import { holdingIdentityOf } from '../identity/holding-identity.ts';
import { parseX500 } from '../identity/x500.ts';
import type { RestClient } from '../rest-client/rest-client.ts';
import { until, untilCpiVerified, untilFlowEnded, untilRegistered, untilVirtualNode, WaitFailed } from '../rest-client/waits.ts';

export type MemberPlan = {
  readonly name: string;
  readonly groupId: string;
  readonly client: RestClient;
  readonly gatewayUrl: string;
};

export type PreparedMember = MemberPlan & { readonly shortHash: string; readonly sessionKeyPem: string; readonly ledgerKeyPem: string; readonly tlsCertificatePem: string };

/** Of the certificate that a cluster makes for its gateways by itself. */
export const tlsAlias = 'p2p-tls-cert';
const keyScheme = 'CORDA.ECDSA.SECP256R1';

/** Of the virtual node that this member is or will be. */
export const shortHashOf = ({ name, groupId }: Pick<MemberPlan, 'name' | 'groupId'>): string => {
  const parsed = parseX500(name);
  if (parsed.type === 'invalid') throw new Error(`${name} is not an X.500 name: ${parsed.reason}`);
  return holdingIdentityOf(parsed.name, groupId).shortHash;
};

/** The id of a key with the alias that registration looks for; made when it is not there yet. */
export const findOrMakeKey = async (client: RestClient, shortHash: string, use: string, category: string): Promise<string> => {
  const alias = `${shortHash}-${use}`;
  await client.call('POST /hsm/soft/{tenantid}/{category}', { path: { tenantid: shortHash, category } });
  const [found] = Object.keys(await client.call('GET /key/{tenantid}', { path: { tenantid: shortHash }, query: { alias } }));
  if (found !== undefined) return found;
  const path = { tenantid: shortHash, alias, hsmcategory: category, scheme: keyScheme };
  return (await client.call('POST /key/{tenantid}/alias/{alias}/category/{hsmcategory}/scheme/{scheme}', { path })).id;
};

const makeKey = async (client: RestClient, shortHash: string, use: string, category: string): Promise<string> =>
  client.call('GET /key/{tenantid}/{keyid}', { path: { tenantid: shortHash, keyid: await findOrMakeKey(client, shortHash, use, category) } });

/** The chain of the cluster's gateways, once it is there: a cluster makes one for itself. */
export const readTlsCertificate = (client: RestClient, alias: string = tlsAlias): Promise<string> =>
  until(`the TLS certificate ${alias} of the cluster`, async () => {
    const path = { usage: 'p2p-tls' };
    const aliases = await client.call('GET /certificate/cluster/{usage}', { path });
    return aliases.includes(alias) ? client.call('GET /certificate/cluster/{usage}/{alias}', { path: { ...path, alias } }) : undefined;
  });

/**
 * Makes the member's session and ledger keys and reads the cluster's TLS certificate. Both must exist before the group policy, which
 * names them; the virtual node need not, because its short hash (the key's tenant) follows from its name and group.
 */
export const prepareMember = async (plan: MemberPlan): Promise<PreparedMember> => {
  const { client } = plan;
  const shortHash = shortHashOf(plan);
  const sessionKeyPem = await makeKey(client, shortHash, 'session', 'SESSION_INIT');
  const ledgerKeyPem = await makeKey(client, shortHash, 'ledger', 'LEDGER');
  const tlsCertificatePem = await readTlsCertificate(client);
  return { ...plan, shortHash, sessionKeyPem, ledgerKeyPem, tlsCertificatePem };
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
  await client.call('PUT /certificate/cluster/{usage}', { path: { usage: 'code-signer' }, form: { alias: 'cordage-start', certificate: [new Blob([signerPem])] } });
};

/** Uploads a CPI whose signers the cluster trusts, and waits until it is verified; gives the checksum that virtual nodes are made from. */
export const sendCpi = async (client: RestClient, cpi: Uint8Array): Promise<string> => {
  // A copy, because a Blob part must stand on a plain ArrayBuffer.
  const { id } = await client.call('POST /cpi', { form: { upload: new Blob([new Uint8Array(cpi)]) } });
  return untilCpiVerified(client, id);
};

export const uploadCpi = async (client: RestClient, cpi: Uint8Array, signerPem: string): Promise<string> => {
  await trustSigner(client, signerPem);
  return sendCpi(client, cpi);
};

export const createVirtualNode = async ({ client, name }: Pick<MemberPlan, 'client' | 'name'>, cpiFileChecksum: string): Promise<string> => {
  const { requestId } = await client.call('POST /virtualnode', { json: { cpiFileChecksum, x500Name: name } });
  const { resourceId } = await untilVirtualNode(client, requestId);
  if (resourceId === null) throw new WaitFailed(`the virtual node ${name} was made without a name`);
  return resourceId;
};

export const registerMember = async ({ client }: MemberPlan, shortHash: string): Promise<void> => {
  await client.call('POST /membership/{holdingidentityshorthash}', { path: { holdingidentityshorthash: shortHash }, json: { context: { 'corda.key.scheme': keyScheme } } });
  await untilRegistered(client, shortHash);
};

export type FlowRun = { readonly status: string; readonly result: unknown };

/** Starts a flow and waits for its end (`wait` is Cordage's addition to Corda's result call). */
export const runFlow = async (
  client: RestClient,
  options: { shortHash: string; clientRequestId: string; flowClassName: string; requestBody: unknown },
): Promise<FlowRun> => {
  const { shortHash, ...start } = options;
  await client.call('POST /flow/{holdingidentityshorthash}', { path: { holdingidentityshorthash: shortHash }, json: start });
  const { flowStatus: status, flowError, json } = await untilFlowEnded(client, shortHash, start.clientRequestId);
  if (status !== 'COMPLETED') throw new WaitFailed(`the flow ended ${status}: ${flowError?.type} ${flowError?.message}`);
  return { status, result: json };
};
