/** Two clusters of separate processes on the embedded broker and one PostgreSQL, with the sample's network across them. */
import { join } from 'node:path';
import { startEmbeddedPostgres } from '../../src/host/embedded-postgres.ts';
import { silentLog } from '../../src/observability/log.ts';
import { openSeparateCluster, startAll, type SeparateCluster } from '../clusters/cluster.ts';
import { makeNetwork } from '../clusters/network.ts';
import type { Scratch } from './scratch.ts';
import { openCaller, type Caller } from './two-party.ts';

export type SeparateClusters = { readonly alice: SeparateCluster; readonly bob: SeparateCluster; readonly caller: Caller };

export const startSeparateClusters = async ({ directory, closing }: Scratch): Promise<SeparateClusters> => {
  const postgres = await startEmbeddedPostgres({ directory: join(directory, 'postgres'), log: silentLog });
  closing.add(() => postgres.stop());
  const open = async (name: string, portBase: number): Promise<SeparateCluster> => {
    const cluster = await openSeparateCluster({ name, directory: join(directory, name), postgresUrl: postgres.url, portBase });
    closing.add(() => cluster.stop());
    await startAll(cluster);
    return cluster;
  };
  const alice = await open('alice', 23_800);
  const bob = await open('bob', 23_900);
  const { aliceHash, bobName } = await makeNetwork(alice, bob, join(directory, 'app'));
  const caller = openCaller(alice.restUrl, 'test-admin-password', aliceHash, bobName);
  closing.add(() => caller.close());
  return { alice, bob, caller };
};
