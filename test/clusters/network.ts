/** A static network of Alice and Bob over two running clusters, as `cordage dev` makes it. */
import { mkdirSync } from 'node:fs';
import { randomUUID } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { createVirtualNode, prepareMember, registerMember, staticGroupPolicy, uploadCpi, type MemberPlan } from '../../src/cli/network.ts';
import { openSigningKey } from '../../src/packaging/build-signing-key.ts';
import { buildPackage } from '../../src/packaging/build.ts';

export type ClusterDoor = Pick<MemberPlan, 'client' | 'gatewayUrl'>;

const sample = fileURLToPath(new URL('../apps/ping-pong', import.meta.url));

/** Builds an application (the sample, unless told another) and the network; gives the short hashes and Bob's name. */
export const makeNetwork = async (one: ClusterDoor, other: ClusterDoor, directory: string, project = sample): Promise<{ aliceHash: string; bobHash: string; bobName: string }> => {
  mkdirSync(directory, { recursive: true });
  const groupId = randomUUID();
  const plan = (name: string, { client, gatewayUrl }: ClusterDoor): MemberPlan => ({ name, groupId, client, gatewayUrl });
  const bobName = 'CN=Bob, O=Bob Corp, L=Paris, C=FR';
  const members = await Promise.all([plan('CN=Alice, O=Alice Corp, L=London, C=GB', one), plan(bobName, other)].map(prepareMember));
  const signer = await openSigningKey(directory);
  const { cpi } = await buildPackage({ project, groupPolicy: staticGroupPolicy(groupId, members), signer });
  if (cpi === undefined) throw new Error('no CPI was built');
  for (const member of members) {
    const checksum = await uploadCpi(member.client, cpi, signer.certificateChainPem);
    await createVirtualNode(member, checksum);
    await registerMember(member, member.shortHash);
  }
  return { aliceHash: members[0]!.shortHash, bobHash: members[1]!.shortHash, bobName };
};
