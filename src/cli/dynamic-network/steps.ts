/** Steps that founding a network and joining one share. Each finds what an earlier, interrupted run has done, and goes on. */
import { toBase64url, utf8 } from '../../cipher/bytes.ts';
import { sha256 } from '../../cipher/digest.ts';
import { parseX500, type X500Name } from '../../identity/x500.ts';
import { parseGroupPolicy, type GroupPolicy } from '../../packaging/group-policy.ts';
import type { RestClient, ValueOf } from '../../rest-client/rest-client.ts';
import { until, WaitFailed, WaitTimeout } from '../../rest-client/waits.ts';
import { usageError } from '../arguments.ts';

export type Registration = ValueOf<'GET /membership/{holdingidentityshorthash}'>[number];
type Cpi = ValueOf<'GET /cpi'>['cpis'][number];

export const nameOf = (option: string, text: string): X500Name => {
  const parsed = parseX500(text);
  if (parsed.type === 'name') return parsed.name;
  throw usageError(`--${option} must be an X.500 name such as "O=Alice Corp, L=London, C=GB": ${parsed.reason}`);
};

// ── Packages ─────────────────────────────────────────────────────────────────────────────────────────────────────────

export const policyOf = (text: string): GroupPolicy | undefined => {
  const parsed = parseGroupPolicy(text);
  return parsed.type === 'policy' ? parsed.policy : undefined;
};

/** Each signer under an alias of its own, so that none takes another's place. */
export const trustSigners = async (client: RestClient, signerPems: readonly string[]): Promise<void> => {
  for (const pem of signerPems) {
    const alias = `signer-${toBase64url(sha256(utf8(pem))).slice(0, 16)}`;
    await client.call('PUT /certificate/cluster/{usage}', { path: { usage: 'code-signer' }, form: { alias, certificate: [new Blob([pem])] } });
  }
};

export const findCpi = async (client: RestClient, fits: (cpi: Cpi) => boolean): Promise<Cpi | undefined> => (await client.call('GET /cpi')).cpis.find(fits);

// ── The virtual node ─────────────────────────────────────────────────────────────────────────────────────────────────

export type Setup = { readonly shortHash: string; readonly sessionKeyId: string; readonly tlsAlias: string; readonly sessionCertificate?: string | undefined };

/** Says how the virtual node is reached: the key that it signs handshakes with, and the certificate of its gateway. */
export const setUp = async (client: RestClient, { shortHash, sessionKeyId, tlsAlias, sessionCertificate }: Setup): Promise<void> => {
  const certificate = sessionCertificate === undefined ? {} : { sessionCertificateChainAlias: sessionCertificate };
  await client.call('PUT /network/setup/{holdingidentityshorthash}', {
    path: { holdingidentityshorthash: shortHash },
    json: { p2pTlsCertificateChainAlias: tlsAlias, useClusterLevelTlsCertificateAndKey: true, sessionKeysAndCertificates: [{ sessionKeyId, preferred: true, ...certificate }] },
  });
};

/** In a network with session PKI, once the virtual node has its key. */
export const certificateHint = (shortHash: string, sessionKeyId: string): string =>
  `the network wants a certificate of each session key. Have one issued for ${sessionKeyId} of ${shortHash} (POST /certificate/${shortHash}/${sessionKeyId} makes the request), ` +
  `import its chain (PUT /certificate/vnode/${shortHash}/p2p-session) and run this command again with --session-certificate <alias>`;

/** Where others reach the virtual node. */
export const endpointFields = (url: string): Record<string, string> => ({ 'corda.endpoints.0.connectionURL': url, 'corda.endpoints.0.protocolVersion': '1' });

// ── The registration ─────────────────────────────────────────────────────────────────────────────────────────────────

const refusals: ReadonlySet<string> = new Set(['DECLINED', 'INVALID', 'FAILED']);

/** The one that counts: an approved one, else the latest. */
export const standingOf = async (client: RestClient, shortHash: string): Promise<Registration | undefined> => {
  const all = await client.call('GET /membership/{holdingidentityshorthash}', { path: { holdingidentityshorthash: shortHash } });
  const sentAt = ({ registrationSent }: Registration): number => Date.parse(registrationSent ?? '1970-01-01T00:00:00Z');
  return all.find(({ registrationStatus }) => registrationStatus === 'APPROVED') ?? all.toSorted((one, other) => sentAt(one) - sentAt(other)).at(-1);
};

const endOf = ({ registrationId, registrationStatus, reason }: Registration): string => `the registration ${registrationId} ended ${registrationStatus}: ${reason ?? 'no reason given'}`;

const begin = async (client: RestClient, shortHash: string, context: Readonly<Record<string, string>>): Promise<string> => {
  const path = { holdingidentityshorthash: shortHash };
  return (await client.call('POST /membership/{holdingidentityshorthash}', { path, json: { context } })).registrationId;
};

export type Register = {
  readonly shortHash: string;
  readonly context: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
  /** Whether to ask anew after the network has declined; otherwise its reason is told. What failed is asked anew always. */
  readonly again?: boolean;
  /** Told of each status that the registration comes to. */
  readonly onStatus?: (status: string) => void;
};

/** Registers unless that was done, and waits until the registration is approved or waits for an operator. Throws where it is refused. */
export const register = async (client: RestClient, { shortHash, context, timeoutMs, again = false, onStatus }: Register): Promise<Registration> => {
  const standing = await standingOf(client, shortHash);
  if (standing?.registrationStatus === 'DECLINED' && !again) throw new WaitFailed(`${endOf(standing)}; to ask anew, give --again`);
  const goesOn = standing !== undefined && !refusals.has(standing.registrationStatus);
  const registrationrequestid = goesOn ? standing.registrationId : await begin(client, shortHash, context);
  let last = '';
  const read = async (): Promise<Registration | undefined> => {
    const now = await client.call('GET /membership/{holdingidentityshorthash}/{registrationrequestid}', { path: { holdingidentityshorthash: shortHash, registrationrequestid } });
    const { registrationStatus: status } = now;
    if (status !== last) onStatus?.(status);
    last = status;
    if (refusals.has(status)) throw new WaitFailed(endOf(now));
    return status === 'APPROVED' || status === 'PENDING_MANUAL_APPROVAL' ? now : undefined;
  };
  try {
    return await until(`the registration of ${shortHash}`, read, timeoutMs);
  } catch (error) {
    if (!(error instanceof WaitTimeout)) throw error;
    const hint = last === 'SENT_TO_MGM' || last === 'NEW' ? "the network's manager has not answered; is its cluster up, and reached at the endpoint that the group policy names?" : 'the manager is at work on it.';
    throw new WaitFailed(`the registration ${registrationrequestid} stands at ${last} after ${timeoutMs / 1000} s: ${hint} The same command again goes on waiting`);
  }
};
