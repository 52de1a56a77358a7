/** The network of `cordage start`: its manager and Alice on the first cluster, Bob on the second. */
import { writeFileSync } from 'node:fs';
import { join as joinPath } from 'node:path';
import { buildPackage, wrapCpb, type BuiltPackage } from '../../packaging/build.ts';
import { openSigningKey, type Signer } from '../../packaging/build-signing-key.ts';
import { until } from '../../rest-client/waits.ts';
import { shown } from '../arguments.ts';
import { readTlsCertificate, tlsAlias, type MemberPlan } from '../network.ts';
import { silentProgress, type Progress } from '../progress.ts';
import { policyFileOf, sampleProject } from '../two-clusters.ts';
import { found, type Founded } from './found.ts';
import { join } from './join.ts';
import { nameOf } from './steps.ts';

const managerName = 'O=Network, L=London, C=GB';
const timeoutMs = 60_000;

const foundOn = async (members: readonly MemberPlan[], signer: Signer): Promise<Founded> => {
  const { client, gatewayUrl: endpoint } = members[0]!;
  const trustRoots = await Promise.all(members.map((member) => readTlsCertificate(member.client)));
  return found(silentProgress, { client, endpoint, x500Name: nameOf('name', managerName), signer: async () => signer, tlsAlias, trustRoots, context: {}, timeoutMs });
};

const writeCpi = async (directory: string, policy: string, { cpb }: BuiltPackage, signer: Signer): Promise<Uint8Array> => {
  const { cpi } = await wrapCpb({ cpb, groupPolicy: policy, signer });
  writeFileSync(policyFileOf(directory), policy);
  writeFileSync(joinPath(directory, 'app.cpi'), cpi);
  return cpi;
};

const joinAs = async ({ client, name, gatewayUrl: endpoint }: MemberPlan, policy: string, cpi: Uint8Array, signer: Signer): Promise<string> => {
  const application = { type: 'made', cpi, signerPem: signer.certificateChainPem } as const;
  const { shortHash } = await join(silentProgress, {
    client, policy, endpoint, application, tlsAlias, timeoutMs, x500Name: nameOf('name', name),
    signer: async () => signer, signerPems: [], sessionCertificate: undefined, isNotary: false, again: false, context: {},
  });
  return shortHash;
};

/** A member knows of another once the manager's list has come to its cluster. */
const untilAllSeen = (members: readonly MemberPlan[], hashes: readonly string[]): Promise<unknown> =>
  Promise.all(
    members.map(({ client, name }, n) =>
      until(`the member list at ${name}`, async () => {
        const { members: seen } = await client.call('GET /members/{holdingidentityshorthash}', { path: { holdingidentityshorthash: hashes[n]! } });
        return seen.length > members.length ? seen : undefined;
      }),
    ),
  );

/** Idempotent: what an interrupted run has made is found. */
export const buildNetwork = async (progress: Progress, members: readonly MemberPlan[], directory: string): Promise<{ readonly groupId: string; readonly manager: string }> => {
  const signer = await openSigningKey(joinPath(directory, 'signing-key'));
  const [{ shortHash: manager, groupId, policy }, built] = await Promise.all([
    progress.step('A network founded on the first cluster', () => foundOn(members, signer), ({ shortHash }) => `manager ${shortHash}, ${shown(policyFileOf(directory))}`),
    progress.step(`Sample application (${shown(sampleProject)}) built and signed`, () => buildPackage({ project: sampleProject, signer }), ({ cpb }) => `${cpb.length} bytes`),
  ]);
  const cpi = await writeCpi(directory, policy, built, signer);
  const hashes = await progress.step(
    'Alice joined on the first cluster, Bob on the second, each with the group policy alone',
    () => Promise.all(members.map((member) => joinAs(member, policy, cpi, signer))),
    (made) => made.join(', '),
  );
  await progress.step('Both clusters know the whole network', () => untilAllSeen(members, hashes));
  return { groupId, manager };
};
