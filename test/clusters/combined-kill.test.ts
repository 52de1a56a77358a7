/**
 * `kill -9` of a combined cluster in the middle of flows whose first step writes to the db room directly, with its save or before it, and a
 * start on the same folder: what was accepted ends once. A write that was done twice would be refused, and its flow would fail.
 */
import { expect, test } from 'vitest';
import { openDatabase } from '../../src/postgres/database.ts';
import { silentLog as log } from '../../src/observability/log.ts';
import { vaultSchemaOf } from '../../src/workers/db/postgres/vault.ts';
import { databaseUrlOf, openFlows, startOneCluster, type OneCluster } from '../bench/one-cluster.ts';
import { inScratch } from '../bench/scratch.ts';

const callers = 48;
const killsMax = 2;
/** Flows after which the process is killed. */
const flowsPerLife = 250;

/** The writes of the one are done with its save, the first of the other before. */
const classOf = (id: string): string => (Number(id.split('-').at(-1)) % 2 === 0 ? 'bench.WriteTwo' : 'bench.WriteLookWrite');

/** Starts flows until the process is killed; gives the ids of those that were asked for, accepted or not. */
const startUntilKilled = async (cluster: OneCluster, life: number): Promise<{ asked: string[]; accepted: Set<string> }> => {
  const flows = openFlows(cluster, callers);
  const asked: string[] = [];
  const accepted = new Set<string>();
  const call = async (): Promise<void> => {
    for (;;) {
      const id = `life-${life}-${asked.length}`;
      asked.push(id);
      try {
        await flows.start(classOf(id), id);
      } catch {
        return;
      }
      accepted.add(id);
      if (accepted.size === flowsPerLife) process.kill(cluster.process.pid, 'SIGKILL');
    }
  };
  await Promise.all(Array.from({ length: callers }, call));
  await cluster.process.gone;
  await flows.close();
  return { asked, accepted };
};

test(`a combined cluster may be killed ${killsMax} times in the middle of flows: each that was accepted ends COMPLETED, with both of its writes`, async () => {
  await inScratch(async (scratch) => {
    const first = await startOneCluster(scratch);
    let cluster: OneCluster = first;
    const asked: string[] = [];
    const accepted: string[] = [];
    for (let life = 0; life < killsMax; life++) {
      const one = await startUntilKilled(cluster, life);
      asked.push(...one.asked);
      accepted.push(...one.accepted);
      cluster = await first.restart();
    }
    const flows = openFlows(cluster, callers);
    // A start whose answer was lost is asked again, as its caller would; it may have been recorded all the same.
    const doubtful = asked.filter((id) => !accepted.includes(id));
    await Promise.all(doubtful.map((id) => flows.start(classOf(id), id).catch((error: unknown) => expect(String(error)).toMatch(/answered 409/))));
    await Promise.all(asked.map((id) => flows.complete(id)));
    await flows.close();
    const database = openDatabase({ url: databaseUrlOf(cluster), connectionsMax: 4, log });
    const [row] = await database.sql`select count(*)::int as count from ${database.sql(vaultSchemaOf(cluster.shortHash))}.entity`;
    await database.close();
    expect(row).toEqual({ count: 2 * asked.length });
    expect(accepted.length).toBeGreaterThanOrEqual(killsMax * flowsPerLife);
  });
}, 180_000);
