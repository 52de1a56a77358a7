/** A real PostgreSQL for one test file, in a directory of its own; each test takes a schema of its own. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startEmbeddedPostgres } from '../../src/host/embedded-postgres.ts';
import { silentLog } from '../../src/observability/log.ts';
import { openDatabase, type Database } from '../../src/postgres/database.ts';
import { answerTablesSql, stateTablesSql } from '../../src/postgres/tables.ts';

export type TestServer = {
  readonly url: string;
  readonly database: Database;
  /** A new schema with the tables of a machine room that also stores answers. */
  makeSchema(): Promise<string>;
  stop(): Promise<void>;
};

export const startTestServer = async (): Promise<TestServer> => {
  const directory = await mkdtemp(join(tmpdir(), 'cordage-postgres-'));
  const server = await startEmbeddedPostgres({ directory, log: silentLog });
  const database = openDatabase({ url: server.url, log: silentLog });
  let count = 0;
  return {
    url: server.url,
    database,
    makeSchema: async () => {
      const schema = `room_${++count}`;
      await database.sql.unsafe(stateTablesSql(schema) + answerTablesSql(schema));
      return schema;
    },
    stop: async () => {
      await database.close();
      await server.stop();
      await rm(directory, { recursive: true, force: true });
    },
  };
};
