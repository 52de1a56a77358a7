/** Two combined clusters on this machine and the network across them: what `cordage start`, `cordage dev` and the benchmarks run. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildPackage } from '../packaging/build.ts';
import { openSigningKey } from '../packaging/build-signing-key.ts';
import { shown } from './arguments.ts';
import { startCluster, type ClusterProcess } from './cluster-process.ts';
import { createVirtualNode, prepareMember, registerMember, staticGroupPolicy, uploadCpi, type MemberPlan, type PreparedMember } from './network.ts';
import type { Progress } from './progress.ts';
import { createRestClient, RestError } from '../rest-client/rest-client.ts';
import type { StartState } from './start-state.ts';

export const sampleProject = fileURLToPath(new URL('../../test/apps/ping-pong', import.meta.url));
export const adminLogin = 'admin';

export type Clusters = { readonly processes: readonly ClusterProcess[]; readonly members: readonly MemberPlan[] };

export const startClusters = async (state: StartState, directory: string): Promise<Clusters> => {
  const started = await Promise.allSettled(
    state.clusters.map((plan) => {
      const own = join(directory, plan.name);
      mkdirSync(own, { recursive: true });
      return startCluster({ ...plan, directory: own });
    }),
  );
  const processes = started.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
  const failed = started.find((one) => one.status === 'rejected');
  if (failed !== undefined) {
    await Promise.all(processes.map((one) => one.stop()));
    throw failed.reason;
  }
  const members = state.clusters.map((plan, index) => ({
    name: plan.member,
    groupId: state.groupId,
    client: createRestClient({ url: processes[index]!.restUrl, credentials: { login: adminLogin, password: plan.adminPassword } }),
    gatewayUrl: processes[index]!.gatewayUrl,
  }));
  return { processes, members };
};

/** Asks again what a first, interrupted start may have done already: a conflict then means that it is there. */
const unlessThere = async (work: Promise<unknown>): Promise<void> => {
  try {
    await work;
  } catch (error) {
    if (!(error instanceof RestError && error.status === 409)) throw error;
  }
};

type BuiltCpi = { readonly cpi: Uint8Array; readonly signerPem: string; readonly name: string };

/** The network's group policy, for whoever builds more CPIs for it. */
export const policyFileOf = (directory: string): string => join(directory, 'group-policy.json');

const buildCpi = async (directory: string, groupPolicy: string, project: string): Promise<BuiltCpi> => {
  const signer = await openSigningKey(join(directory, 'signing-key'));
  const { cpi, name } = await buildPackage({ project, groupPolicy, signer });
  if (cpi === undefined) throw new Error('the package builder made no CPI although it was given a group policy');
  writeFileSync(policyFileOf(directory), groupPolicy);
  writeFileSync(join(directory, 'app.cpi'), cpi);
  return { cpi, signerPem: signer.certificateChainPem, name };
};

/** The checksum of the application's CPI at this cluster, uploading it where it is not there yet. */
const provideCpi = async (member: MemberPlan, built: BuiltCpi): Promise<string> => {
  try {
    return await uploadCpi(member.client, built.cpi, built.signerPem);
  } catch (error) {
    if (!(error instanceof RestError && error.status === 409)) throw error;
    const { cpis } = await member.client.call('GET /cpi');
    const there = cpis.find(({ id }) => id.cpiName === built.name);
    if (there === undefined) throw error;
    return there.cpiFileChecksum;
  }
};

/** Idempotent: an interrupted build is begun again and finds what is there. */
export const buildNetwork = async (progress: Progress, members: readonly MemberPlan[], state: StartState, directory: string, project = sampleProject): Promise<void> => {
  const prepared: PreparedMember[] = await progress.step('Session keys and TLS certificates', () => Promise.all(members.map(prepareMember)));
  const policy = staticGroupPolicy(state.groupId, prepared);
  const built = await progress.step(
    `${project === sampleProject ? 'Sample application' : 'Application'} (${shown(project)}) built and signed`,
    () => buildCpi(directory, policy, project),
    ({ cpi }) => `${cpi.length} bytes, ${shown(join(directory, 'app.cpi'))}`,
  );
  const checksums = await progress.step('CPI uploaded to both clusters and verified', () => Promise.all(prepared.map((member) => provideCpi(member, built))));
  await progress.step(
    'Virtual nodes',
    () => Promise.all(prepared.map((member, index) => unlessThere(createVirtualNode(member, checksums[index]!)))),
    () => prepared.map(({ name, shortHash }) => `${name.slice(3, name.indexOf(','))} ${shortHash}`).join(', '),
  );
  await progress.step('Both registered in the network', () => Promise.all(prepared.map((member) => unlessThere(registerMember(member, member.shortHash)))));
};

/** Resolves when the user asks for the end, or with a sentence when a cluster has ended by itself. */
export const untilStopped = async ({ processes }: Clusters): Promise<string | undefined> => {
  const stopped = new Promise<undefined>((done) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => done(undefined));
  });
  return Promise.race([stopped, ...processes.map(({ name, gone, logFile }) => gone.then((how) => `cluster ${name} ended by itself (${how}); see ${logFile}`))]);
};

export const stopClusters = (progress: Progress, { processes }: Clusters): Promise<unknown> =>
  progress.step('Both clusters stopped', () => Promise.all(processes.map((one) => one.stop())));
