/** The depot, in two versions and as its group's members have it: made once a file, uploaded to the file's cluster. */
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildPackage, wrapCpb } from '../../../../src/packaging/build.ts';
import { openSigningKey, type Signer } from '../../../../src/packaging/build-signing-key.ts';
import { staticPolicy } from '../../db/packages.ts';
import type { Answer, BlackBox } from './cluster.ts';

export type Depot = {
  readonly signer: Signer;
  readonly groupId: string;
  /** A CPI of one of the two applications, for this group. */
  cpi(options?: { readonly next?: boolean; readonly name?: string; readonly version?: string; readonly groupPolicy?: string; readonly signer?: Signer }): Promise<Uint8Array>;
};

const projectOf = (next: boolean): string => fileURLToPath(new URL(next ? './apps/depot-next' : './apps/depot', import.meta.url));

export const newSigner = async (): Promise<Signer> => {
  const directory = mkdtempSync(join(tmpdir(), 'cordage-signer-'));
  try {
    return await openSigningKey(directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
};

const openGroup = (signer: Signer, cpbs: readonly [Uint8Array, Uint8Array], groupId: string): Depot => ({
  signer,
  groupId,
  cpi: async ({ next = false, groupPolicy = staticPolicy(groupId), signer: other = signer, ...named } = {}) =>
    (await wrapCpb({ cpb: cpbs[next ? 1 : 0], groupPolicy, signer: other, ...named })).cpi,
});

/** Opens groups, each of its own id and so with CPIs of its own. */
export const openDepots = async (): Promise<(groupId?: string) => Depot> => {
  const signer = await newSigner();
  const [first, next] = await Promise.all([false, true].map(async (isNext) => (await buildPackage({ project: projectOf(isNext), signer })).cpb));
  return (groupId = randomUUID()) => openGroup(signer, [first!, next!], groupId);
};

export const trust = async ({ call }: BlackBox, { certificateChainPem }: Signer, alias: string): Promise<void> => {
  const { status, text } = await call('PUT', '/certificate/cluster/code-signer', { form: { alias, certificate: new Blob([certificateChainPem]) } });
  if (status !== 204) throw new Error(text);
};

/** Uploads and waits for the verdict. */
export const upload = async ({ call, until }: BlackBox, cpi: Uint8Array, path = '/cpi'): Promise<Answer> => {
  const sent = await call('POST', path, { form: { upload: new Blob([new Uint8Array(cpi)]) } });
  if (sent.status !== 200) return sent;
  return until('GET', `/cpi/status/${sent.json.id}`, ({ status, json }) => status !== 200 || json.status === 'OK');
};

/** A virtual node, and nothing more; gives its short hash. */
export const addNode = async ({ call, until }: BlackBox, cpiFileChecksum: string, x500Name: string): Promise<string> => {
  const { status, json, text } = await call('POST', '/virtualnode', { json: { cpiFileChecksum, x500Name } });
  if (status !== 202) throw new Error(text);
  const ended = await endOf({ until }, json.requestId);
  if (ended.status !== 'SUCCEEDED') throw new Error(JSON.stringify(ended));
  return ended.resourceId!;
};

type Operation = { readonly status: string; readonly resourceId: string | null; readonly errorReason: string | null; readonly operation: string };

/** How an operation on a virtual node ended. */
export const endOf = async ({ until }: Pick<BlackBox, 'until'>, requestId: string): Promise<Operation> =>
  (await until('GET', `/virtualnode/status/${requestId}`, ({ json }) => !['ACCEPTED', 'IN_PROGRESS'].includes(json.status))).json as Operation;

/** Runs a flow to its end and gives its status. */
export const runFlow = async ({ call, until }: BlackBox, hash: string, flow: string, requestBody: unknown = {}): Promise<{ flowStatus: string; flowResult: string | null }> => {
  const clientRequestId = randomUUID();
  const started = await call('POST', `/flow/${hash}`, { json: { clientRequestId, flowClassName: `com.example.${flow}`, requestBody } });
  if (started.status !== 202) throw new Error(started.text);
  return (await until('GET', `/flow/${hash}/${clientRequestId}`, ({ json }) => !['START_REQUESTED', 'RUNNING'].includes(json.flowStatus))).json;
};

/** Starts the flow that ends never, and waits until it runs. */
export const startIdle = async ({ call, until }: BlackBox, hash: string): Promise<string> => {
  const clientRequestId = randomUUID();
  await call('POST', `/flow/${hash}`, { json: { clientRequestId, flowClassName: 'com.example.Idle', requestBody: {} } });
  await until('GET', `/flow/${hash}/${clientRequestId}`, ({ json }) => json.flowStatus === 'RUNNING');
  return clientRequestId;
};
