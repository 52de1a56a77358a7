/**
 * `kill -9` of PostgreSQL under load, by turns of one of the processes that serve connections (the server then ends all of them and recovers
 * from its log) and of the server itself (the cluster starts it again), in the middle of saves, of joint writes and of their commits. The
 * cluster's process lives on: what nobody can know the end of is found out, and who waits is told the truth.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { openDatabase } from '../../src/postgres/database.ts';
import { silentLog as log } from '../../src/observability/log.ts';
import { vaultSchemaOf } from '../../src/workers/db/postgres/vault.ts';
import { databaseUrlOf, openFlows, startOneCluster, type Flows, type OneCluster } from '../bench/one-cluster.ts';
import { processesBelow } from '../bench/processes.ts';
import { inScratch } from '../bench/scratch.ts';

const callers = 32;
const killsMax = 5;
/** Flows that end between two kills, at least. */
const flowsPerLife = 150;

/** The writes of the one are done with its save, the first of the other before. */
const classOf = (id: string): string => (Number(id.split('-').at(-1)) % 2 === 0 ? 'bench.WriteTwo' : 'bench.WriteLookWrite');

/** A process of the server that serves a connection names its user and where the client is. */
const isConnection = (pid: number): boolean => {
  try {
    return /^postgres: \S+ \S+ (\[local\]|127\.0\.0\.1)/.test(readFileSync(`/proc/${pid}/cmdline`, 'utf8'));
  } catch {
    return false;
  }
};

const connectionsOf = ({ process: { pid } }: OneCluster): number[] => processesBelow(pid).PostgreSQL.filter(isConnection);

/** Of the server itself, by the first line of what it writes into its folder. */
const serverOf = ({ directory }: OneCluster): number => Number(readFileSync(join(directory, 'postgres', 'data', 'postmaster.pid'), 'utf8').split('\n')[0]);

type Outcome = { readonly id: string; readonly error?: string };

/** Callers that start a flow and wait for its end, one after another, until the server has been killed as often as it shall be. */
const load = async (flows: Flows, kill: (kills: number) => void): Promise<Outcome[]> => {
  const outcomes: Outcome[] = [];
  let ended = 0;
  let kills = 0;
  let asked = 0;
  const call = async (): Promise<void> => {
    while (kills < killsMax) {
      const id = `flow-${asked++}`;
      const error = await flows.run(classOf(id), id).then(
        () => undefined,
        (reason: unknown) => String(reason),
      );
      outcomes.push(error === undefined ? { id } : { id, error });
      if (error === undefined && ++ended % flowsPerLife === 0) {
        kill(kills++);
      }
      // A caller that is refused waits a little before it asks again.
      if (error !== undefined) await sleep(100);
    }
  };
  await Promise.all(Array.from({ length: callers }, call));
  return outcomes;
};

test(`PostgreSQL may be killed ${killsMax} times under load: who waits is told COMPLETED or to come again, and every flow ends, with both of its writes`, async () => {
  await inScratch(async (scratch) => {
    const cluster = await startOneCluster(scratch);
    const flows = openFlows(cluster, callers);
    const lost: number[] = [];
    const outcomes = await load(flows, (kills) => {
      const connections = connectionsOf(cluster);
      lost.push(...connections);
      process.kill(kills % 2 === 0 ? connections[0]! : serverOf(cluster), 'SIGKILL');
    });
    const doubtful = outcomes.filter(({ error }) => error !== undefined);
    for (const { error } of doubtful) expect(error).toMatch(/answered (202|503)/);
    // Who was told to come again does; the flow may have been begun all the same.
    await Promise.all(doubtful.map(({ id }) => flows.start(classOf(id), id).catch((error: unknown) => expect(String(error)).toMatch(/answered 409/))));
    await Promise.all(outcomes.map(({ id }) => flows.complete(id)));
    await flows.close();
    const database = openDatabase({ url: databaseUrlOf(cluster), connectionsMax: 1, log });
    const [row] = await database.sql`select count(*)::int as count from ${database.sql(vaultSchemaOf(cluster.shortHash))}.entity`;
    await database.close();
    expect(connectionsOf(cluster).filter((pid) => lost.includes(pid))).toEqual([]);
    expect(row).toEqual({ count: 2 * outcomes.length });
    expect(outcomes.length - doubtful.length).toBeGreaterThanOrEqual(killsMax * flowsPerLife);
    console.log(`  ${outcomes.length} flows, ${doubtful.length} of them told to come again`);
  });
}, 180_000);
