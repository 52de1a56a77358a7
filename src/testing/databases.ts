/**
 * Vaults in PostgreSQL, for applications with tables of their own: one embedded server for all networks of a process, and in it a fresh
 * database for each network, as a cluster's migrations make it.
 */
import { mkdir, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startEmbeddedPostgres } from '../host/embedded-postgres.ts';
import { silentLog } from '../observability/log.ts';
import { createPostgresAnswerStore } from '../postgres/answer-store.ts';
import { openDatabase } from '../postgres/database.ts';
import type { AnswerStore } from '../shell/store.ts';
import { applyMigrations, createMemoryDb, createPostgresDbTx, type DbTx } from '../workers/db/worker.ts';
import { createMemoryAnswerStore } from '../shell/memory-store.ts';

export type VaultLease = {
  /** The store of one member's db room. */
  readonly openStore: () => AnswerStore<DbTx>;
  release(): Promise<void>;
};

export const leaseMemory = (): VaultLease => ({
  openStore: () => {
    const { makeTx, rollback } = createMemoryDb();
    return createMemoryAnswerStore<DbTx>(makeTx, rollback);
  },
  release: async () => {},
});

type Server = { readonly create: () => Promise<{ url: string; drop: () => Promise<void> }>; readonly stop: () => Promise<void> };

/** Milliseconds that a server without networks waits for the next one before it ends, and the process with it. */
const idleMsMax = 1_000;
const connectionsMax = 4;
const folderPrefix = 'cordage-testing-';

let server: Promise<Server> | undefined;
let leased = 0;
let starts = 0;
let stopping: NodeJS.Timeout | undefined;

const urlOf = (base: string, name: string): string => {
  const url = new URL(base);
  url.pathname = `/${name}`;
  return url.href;
};

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
};

/** Test runners kill their workers: a server ends with its process by itself, its folder stays until another begins. */
const removeLeftovers = async (): Promise<void> => {
  const names = (await readdir(tmpdir())).filter((name) => name.startsWith(folderPrefix) && !isAlive(Number.parseInt(name.slice(folderPrefix.length), 10)));
  await Promise.all(names.map((name) => rm(join(tmpdir(), name), { recursive: true, force: true })));
};

const startServer = async (): Promise<Server> => {
  await removeLeftovers();
  const directory = join(tmpdir(), `${folderPrefix}${process.pid}-${++starts}`);
  await mkdir(directory);
  const postgres = await startEmbeddedPostgres({ directory, log: silentLog });
  const admin = openDatabase({ url: postgres.url, connectionsMax: 1, log: silentLog });
  // What these databases hold is worth nothing after the test.
  await admin.sql`alter system set fsync = off`;
  await admin.sql`select pg_reload_conf()`;
  let count = 0;
  return {
    create: async () => {
      const name = `network_${++count}`;
      // Not copied from one that is migrated: a cluster's roles are named for its database.
      await admin.sql.unsafe(`create database ${name}`);
      return { url: urlOf(postgres.url, name), drop: async () => void (await admin.sql.unsafe(`drop database ${name} with (force)`)) };
    },
    stop: async () => {
      await admin.close();
      await postgres.stop();
      await rm(directory, { recursive: true, force: true });
    },
  };
};

export const leasePostgres = async (): Promise<VaultLease> => {
  clearTimeout(stopping);
  leased += 1;
  const { create } = await (server ??= startServer());
  const { url, drop } = await create();
  const database = openDatabase({ url, connectionsMax, log: silentLog });
  await applyMigrations(database, silentLog);
  return {
    openStore: () => createPostgresAnswerStore<DbTx>({ database, schema: 'db', makeTx: createPostgresDbTx }),
    release: async () => {
      await database.close();
      await drop();
      leased -= 1;
      if (leased > 0) return;
      stopping = setTimeout(() => {
        const last = server;
        server = undefined;
        void last?.then(({ stop }) => stop());
      }, idleMsMax);
    },
  };
};
