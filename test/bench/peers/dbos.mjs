/**
 * DBOS Transact as its users run it: a library in their process, its state and their rows in PostgreSQL. A workflow has two steps:
 *
 * - `rows`: each inserts a row, and DBOS then records that the step is done: two commits. (DBOS's transactional datasource would
 *   make them one, but the one that npm has, 4.24.16, does not work with this SDK.)
 * - `outcomes`: each gives the value that is to be kept, and DBOS's record of the step is the durable write: one commit.
 *
 * Told by messages of its parent; answers each with one message.
 */
import { DBOS } from '@dbos-inc/dbos-sdk';
import pg from 'pg';

/** Connections of DBOS to its own tables, and of the steps to the rows. */
const connectionsMax = 20;

const [, , databaseUrl, form] = process.argv;
const pool = new pg.Pool({ connectionString: databaseUrl, max: connectionsMax });

const valueOf = (id, step) => ({ id: `${id}/${step}`, text: 'hello' });

const writes = {
  rows: async (id, step) => {
    await pool.query('insert into row_written (id, value) values ($1, $2) on conflict do nothing', [`${id}/${step}`, JSON.stringify(valueOf(id, step))]);
  },
  outcomes: async (id, step) => valueOf(id, step),
};
const write = writes[form];

const two = DBOS.registerWorkflow(
  async (id) => {
    await DBOS.runStep(() => write(id, 1), { name: 'write1' });
    await DBOS.runStep(() => write(id, 2), { name: 'write2' });
    return id;
  },
  { name: 'two' },
);

const runFor = async ({ callers, durationMs, prefix }) => {
  const latencies = [];
  const begun = performance.now();
  let next = 0;
  const call = async () => {
    while (performance.now() - begun < durationMs) {
      const id = `${prefix}-${next++}`;
      const from = performance.now();
      const handle = await DBOS.startWorkflow(two, { workflowID: id })(id);
      await handle.getResult();
      latencies.push(performance.now() - from);
    }
  };
  await Promise.all(Array.from({ length: callers }, call));
  return { latencies, elapsedMs: performance.now() - begun };
};

process.once('disconnect', () => process.exit(0));
process.on('message', async (message) => process.send(await runFor(message)));
await pool.query('create table if not exists row_written (id text primary key, value json not null)');
DBOS.setConfig({ name: 'bench', systemDatabaseUrl: databaseUrl, systemDatabasePoolSize: connectionsMax, logLevel: 'error', enableOTLP: false });
await DBOS.launch();
process.send('ready');
