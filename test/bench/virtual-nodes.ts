/**
 * How long a page of the list of virtual nodes takes in a cluster of 10,000: over REST, authenticated.
 * Their rows are written past the cluster, since only the list of them is measured.
 */
import postgres from 'postgres';
import { createRestClient } from '../../src/rest-client/rest-client.ts';
import { adminLogin } from '../../src/cli/two-clusters.ts';
import { ms, percentile } from './machine.ts';
import { databaseUrlOf, startOneCluster, type OneCluster } from './one-cluster.ts';
import { inScratch } from './scratch.ts';

const nodes = 10_000;
const pageNodes = 100;

const fill = async (cluster: OneCluster): Promise<void> => {
  const sql = postgres(databaseUrlOf(cluster), { max: 1, onnotice: () => undefined });
  const inserted = await sql`
    insert into config.virtual_node (short_hash, full_hash, x500_name, group_id, cpi_name, cpi_version, cpi_signer_summary_hash,
      flow_start_status, flow_status, flow_p2p_status, vault_db_status, version, updated_at)
    select upper(lpad(to_hex(n * 7919), 12, '0')), upper(lpad(to_hex(n), 64, '0')), 'O=Many ' || n || ', L=London, C=GB', group_id, cpi_name, cpi_version,
      cpi_signer_summary_hash, 'ACTIVE', 'ACTIVE', 'ACTIVE', 'ACTIVE', 1, now()
    from config.virtual_node, generate_series(1, ${nodes}) as n where short_hash = ${cluster.shortHash}`;
  await sql.end();
  if (inserted.count !== nodes) throw new Error(`${inserted.count} rows were written in place of ${nodes}`);
};

export const run = (): Promise<void> =>
  inScratch(async (scratch) => {
    const cluster = await startOneCluster(scratch);
    await fill(cluster);
    // The cluster tells itself of its virtual nodes when it starts.
    await cluster.process.stop();
    const { process } = await cluster.restart();
    const client = createRestClient({ url: process.restUrl, credentials: { login: adminLogin, password: cluster.adminPassword } });
    const times: number[] = [];
    let listed = 0;
    for (let after: string | undefined; ; ) {
      const from = performance.now();
      const { virtualNodes } = await client.call('GET /virtualnode', { query: { limit: pageNodes, after } });
      times.push(performance.now() - from);
      if (virtualNodes.length === 0) break;
      listed += virtualNodes.length;
      after = virtualNodes.at(-1)!.holdingIdentity.shortHash;
    }
    console.log(`${listed} virtual nodes in ${times.length} pages of ${pageNodes}: p50 ${ms(percentile(times, 0.5))}, p99 ${ms(percentile(times, 0.99))}, all in ${(times.reduce((sum, one) => sum + one, 0) / 1000).toFixed(1)} s`);
  });

if (import.meta.main) await run();
