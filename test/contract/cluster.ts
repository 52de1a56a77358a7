/** A combined cluster for the contract testers: with an application and a member, so that generated requests find something. */
import { randomUUID } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { startCluster, type ClusterProcess } from '../../src/cli/cluster-process.ts';
import { createVirtualNode, prepareMember, registerMember, staticGroupPolicy, uploadCpi } from '../../src/cli/network.ts';
import { buildPackage } from '../../src/packaging/build.ts';
import { openSigningKey } from '../../src/packaging/build-signing-key.ts';
import { createRestClient } from '../../src/rest-client/rest-client.ts';

export const admin = { login: 'admin', password: 'contract-password' };
export const alice = 'CN=Alice, O=Alice Corp, L=London, C=GB';
export const bob = 'CN=Bob, O=Bob Corp, L=Paris, C=FR';
export const sampleApp = new URL('../apps/ping-pong', import.meta.url).pathname;

export type ContractCluster = { readonly process: ClusterProcess; readonly shortHash: string; readonly cpiFileChecksum: string };

/** A cluster as it is when it was started for the first time. */
export const openFreshCluster = (directory: string): Promise<ClusterProcess> => {
  mkdirSync(directory, { recursive: true });
  return startCluster({ name: 'contract', directory, restPort: 0, gatewayPort: 0, adminPassword: admin.password, environment: { CORDAGE_FLOW_SANDBOXES: '1' } });
};

export const openContractCluster = async (directory: string): Promise<ContractCluster> => {
  const process = await openFreshCluster(directory);
  const client = createRestClient({ url: process.restUrl, credentials: admin });
  const groupId = randomUUID();
  const members = [alice, bob].map((name) => ({ name, groupId, client, gatewayUrl: process.gatewayUrl }));
  const prepared = [];
  for (const member of members) prepared.push(await prepareMember(member));
  const signer = await openSigningKey(join(directory, 'signing-key'));
  const { cpi } = await buildPackage({ project: sampleApp, groupPolicy: staticGroupPolicy(groupId, prepared), signer });
  const cpiFileChecksum = await uploadCpi(client, cpi!, signer.certificateChainPem);
  for (const member of prepared) {
    await createVirtualNode(member, cpiFileChecksum);
    await registerMember(member, member.shortHash);
  }
  return { process, shortHash: prepared[0]!.shortHash, cpiFileChecksum };
};
