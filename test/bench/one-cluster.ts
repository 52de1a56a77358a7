/** One combined cluster as a user starts it, with two virtual nodes that run the application of the benchmarks. */
import { randomBytes, randomUUID } from 'node:crypto';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pid } from 'node:process';
import { fileURLToPath } from 'node:url';
import { startCluster, type ClusterProcess } from '../../src/cli/cluster-process.ts';
import { createVirtualNode, prepareMember, registerMember, staticGroupPolicy, uploadCpi } from '../../src/cli/network.ts';
import { freePort } from '../../src/cli/ports.ts';
import { createRestClient } from '../../src/rest-client/rest-client.ts';
import { adminLogin } from '../../src/cli/two-clusters.ts';
import { openSigningKey } from '../../src/packaging/build-signing-key.ts';
import { buildPackage } from '../../src/packaging/build.ts';
import { openHttpLoad, type Answer } from './http-load.ts';
import { cpuMs, processesBelow, sumOf } from './processes.ts';
import type { Scratch } from './scratch.ts';

export const alice = 'CN=Alice, O=Alice Corp, L=London, C=GB';
/** Alice's counterparty. Names in canonical form. */
export const bob = 'CN=Bob, O=Bob Corp, L=Paris, C=FR';
const project = fileURLToPath(new URL('./app', import.meta.url));

export type OneCluster = {
  readonly groupId: string;
  /** Of Alice. */
  readonly shortHash: string;
  readonly adminPassword: string;
  readonly process: ClusterProcess;
  /** The state folder of the cluster. */
  readonly directory: string;
};

type Options = { readonly directory: string; readonly restPort: number; readonly gatewayPort: number; readonly adminPassword: string };

const begin = ({ closing }: Scratch, options: Options): Promise<ClusterProcess> => {
  const started = startCluster({ name: 'alice', ...options });
  // Before it is ready too: an interruption during the start must end it.
  closing.add(() => started.then((one) => one.stop(), () => {}));
  return started;
};

export const startOneCluster = async (scratch: Scratch): Promise<OneCluster & { restart(): Promise<OneCluster> }> => {
  const directory = join(scratch.directory, 'alice');
  mkdirSync(directory);
  // Two processes that look for ports at the same time find different ones.
  const first = 20_000 + 20 * (pid % 500);
  const restPort = await freePort(first);
  const options = { directory, restPort, gatewayPort: await freePort(first, [restPort]), adminPassword: randomBytes(12).toString('base64url') };
  const process = await begin(scratch, options);
  const groupId = randomUUID();
  const shortHash = await install(process, groupId, scratch.directory, options.adminPassword);
  const cluster = { groupId, shortHash, adminPassword: options.adminPassword, directory };
  return { ...cluster, process, restart: async () => ({ ...cluster, process: await begin(scratch, options) }) };
};

/** The steps that an operator takes: keys, package, virtual nodes, registrations. Gives Alice's short hash. */
const install = async (process: ClusterProcess, groupId: string, directory: string, adminPassword: string): Promise<string> => {
  const client = createRestClient({ url: process.restUrl, credentials: { login: adminLogin, password: adminPassword } });
  const prepared = await Promise.all([alice, bob].map((name) => prepareMember({ name, groupId, client, gatewayUrl: process.gatewayUrl })));
  const signer = await openSigningKey(join(directory, 'signing-key'));
  const { cpi } = await buildPackage({ project, groupPolicy: staticGroupPolicy(groupId, prepared), signer });
  const checksum = await uploadCpi(client, cpi!, signer.certificateChainPem);
  for (const member of prepared) {
    await createVirtualNode(member, checksum);
    await registerMember(member, member.shortHash);
  }
  return prepared[0]!.shortHash;
};

/** The cluster's own PostgreSQL, by what the server writes into its folder (fourth line of postmaster.pid: the port). */
export const databaseUrlOf = ({ directory }: OneCluster): string => {
  const password = readFileSync(join(directory, 'postgres', 'password'), 'utf8').trim();
  const port = readFileSync(join(directory, 'postgres', 'data', 'postmaster.pid'), 'utf8').split('\n')[3];
  return `postgres://cordage:${encodeURIComponent(password)}@127.0.0.1:${port}/postgres`;
};

/** Processor time so far of the cluster's processes, in milliseconds. */
export const clusterCpuMs = ({ process: { pid } }: OneCluster): Record<string, number> => {
  const { own, sandbox, PostgreSQL } = processesBelow(pid);
  return { cluster: sumOf(own, cpuMs), sandbox: sumOf(sandbox, cpuMs), PostgreSQL: sumOf(PostgreSQL, cpuMs) };
};

export type Flows = {
  start(flowClassName: string, clientRequestId: string, requestBody?: unknown): Promise<void>;
  /** Waits for COMPLETED; gives the result. */
  complete(clientRequestId: string): Promise<unknown>;
  /** Starts and waits for COMPLETED in one call. */
  run(flowClassName: string, clientRequestId: string, requestBody?: unknown): Promise<void>;
  close(): Promise<void>;
};

/** An ordinary REST client, authenticated, on keep-alive connections. */
export const openFlows = ({ process: { restUrl }, shortHash, adminPassword }: OneCluster, connections: number): Flows => {
  const http = openHttpLoad(restUrl, connections);
  const headers = { authorization: `Basic ${btoa(`${adminLogin}:${adminPassword}`)}`, 'content-type': 'application/json', accept: 'application/json' };
  const base = `/api/v5_2/flow/${shortHash}`;
  const post = (path: string, flowClassName: string, clientRequestId: string, requestBody: unknown): Promise<Answer> =>
    http.ask({ method: 'POST', path, headers, body: JSON.stringify({ clientRequestId, flowClassName, requestBody }) });
  return {
    start: async (flowClassName, clientRequestId, requestBody = {}) => {
      const { status, text } = await post(base, flowClassName, clientRequestId, requestBody);
      if (status !== 202) throw new Error(`the start of ${clientRequestId} answered ${status}: ${text}`);
    },
    run: async (flowClassName, clientRequestId, requestBody = {}) => {
      const { status, text } = await post(`${base}?wait=30000`, flowClassName, clientRequestId, requestBody);
      if (status !== 200 || !text.includes('"COMPLETED"')) throw new Error(`the flow ${clientRequestId} answered ${status}: ${text}`);
    },
    complete: async (clientRequestId) => {
      const { status, text } = await http.ask({ method: 'GET', path: `${base}/${clientRequestId}/result?wait=30000`, headers });
      // The contract's FlowResultResponse.
      const answer = status === 200 ? (JSON.parse(text) as { flowStatus: string; json: unknown }) : undefined;
      if (answer?.flowStatus !== 'COMPLETED') throw new Error(`the result of ${clientRequestId} answered ${status}: ${text}`);
      return answer.json;
    },
    close: () => http.close(),
  };
};
