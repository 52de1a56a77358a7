/**
 * The db room: every persistence operation of the cluster and of its virtual nodes.
 *
 * | hears | `rest-to-db.certificate`, `rest-to-db.config`, `rest-to-db.rbac`, `rest-to-db.cpi`, `rest-to-db.virtual-node`, `rest-to-db.transfer`, `flow-to-db.entity`, `flow-to-db.query`, `crypto-to-db.certificate`, `all-to-db.answer` |
 * | says  | `db-to-all.certificate`, `db-to-all.config`, `db-to-all.cpi`, `db-to-flow.cpk`, `db-to-all.virtual-node`, `db-to-rest.user`, `db-to-rest.role`, `db-to-rest.permission`, `db-to-flow.eviction`, `db-to-member.departure`, and answers |
 * | owns  | configuration, users with their roles and permissions, CPIs and CPKs, virtual nodes and their vaults, certificates |
 * | never | sees a private key |
 *
 * A room of answers: each batch of requests is one transaction over the repositories of `db-tx.ts`. Before it starts, its host
 * calls `applyMigrations`, then `ensureBootstrapAdmin` and `publishSnapshot`.
 */
import type { Log } from '../../observability/log.ts';
import type { Worker } from '../../shell/worker.ts';
import { onAnswer } from './on-answer.ts';
import { onCryptoCertificate, onRestCertificate } from './on-certificate.ts';
import { onConfig } from './on-config.ts';
import { onCpi } from './on-cpi.ts';
import { createOnEntity } from './on-entity.ts';
import { onQuery } from './on-query.ts';
import { onRbac } from './on-rbac.ts';
import { onTransfer } from './on-transfer.ts';
import { onVirtualNode } from './on-virtual-node.ts';
import { apartIn, type Vaults } from './vaults/vaults.ts';

export { ensureBootstrapAdmin } from './bootstrap-admin.ts';
export type { DbTx } from './db-tx.ts';
export { createMemoryDb, writeAtOnceInMemory } from './memory/memory-db.ts';
export { applyMigrations, readMigrations } from './migrations.ts';
export { createPostgresDbTx } from './postgres/db-tx.ts';
export { writeAtOnce, writeJointly } from './postgres/write-at-once.ts';
export { publishSnapshot } from './snapshot.ts';
export { createVaults, type Vaults } from './vaults/vaults.ts';

export type DbWorkerOptions = {
  readonly log: Log;
  /** What secrets of the configuration are encrypted with. */
  readonly configPassphrase?: string | undefined;
  /** Those in databases of their own; it ends with the worker. Without it requests for them find nothing. */
  readonly vaults?: Vaults;
};

/** The answer store it runs with must be made over `DbTx`: `createPostgresDbTx` or `createMemoryDb`. */
export const createDbWorker = ({ log, configPassphrase, vaults }: DbWorkerOptions): Worker => {
  const apart = vaults === undefined ? {} : { apart: apartIn(vaults) };
  return {
    room: 'db',
    answers: [
      onRestCertificate, onCryptoCertificate, onConfig({ log, passphrase: configPassphrase }), onCpi(log), onVirtualNode(log), onAnswer(log), onTransfer(log),
      { ...createOnEntity(), ...apart }, { ...onQuery, ...apart }, onRbac,
    ],
    ...(vaults === undefined ? {} : { close: vaults.close }),
  };
};
