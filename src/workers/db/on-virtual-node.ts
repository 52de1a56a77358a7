/**
 * rest-to-db.virtual-node: virtual nodes from their creation to their deletion, the SQL of their databases, and reads.
 *
 * Each operation knows its own repeat and says the same again, with the same effects. So no answers are kept.
 */
import type { Carried, Outcome } from '../../messages/grammar/envelope.ts';
import type { BodyOf } from '../../messages/grammar/wire.ts';
import { restToDbVirtualNode } from '../../messages/rest-to-db.virtual-node.ts';
import type { Log } from '../../observability/log.ts';
import type { Answered, Answering } from '../../shell/worker.ts';
import type { DbTx } from './db-tx.ts';
import { boundedReply } from './reply.ts';
import { resync, setState } from './virtual-node/change.ts';
import { VaultFault } from './vaults/vault-fault.ts';
import { connect } from './virtual-node/connect.ts';
import { create } from './virtual-node/create.ts';
import { remove } from './virtual-node/deletion.ts';
import { findNode, isRefused, refused, type Reply } from './virtual-node/operation.ts';
import { upgrade } from './virtual-node/upgrade.ts';
import { schemaSql, vaultSql } from './virtual-node/vault-sql.ts';

type Body = BodyOf<typeof restToDbVirtualNode>;

const status = async (tx: DbTx, requestId: string): Promise<Outcome<Reply>> => {
  const found = /^[\x20-\x7e]+$/.test(requestId) ? await tx.virtualNodes.findOperation(requestId) : undefined;
  if (found === undefined) return refused('DB_REQUEST_UNKNOWN', `no virtual node operation has the request id ${JSON.stringify(requestId)}`);
  return { type: 'done', value: { status: found.operation } };
};

const get = async (tx: DbTx, shortHash: string): Promise<Outcome<Reply>> => {
  const node = await findNode(tx, shortHash);
  return isRefused(node) ? node : { type: 'done', value: { virtualNodes: [node] } };
};

const connectionKey = async (tx: DbTx): Promise<Outcome<Reply>> => ({ type: 'done', value: { connectionKey: await tx.virtualNodes.connectionKey() } });

const performOne = async (tx: DbTx, { body, id: messageId }: Carried<Body>, log: Log, now: number): Promise<Answered<Reply>> => {
  const request = { messageId, log, now };
  switch (body.type) {
    case 'create':
      return create(tx, { ...request, body });
    case 'connection-key':
      return { outcome: await connectionKey(tx) };
    case 'connect':
      return connect(tx, { ...request, body });
    case 'set-state':
      return setState(tx, { ...request, body });
    case 'upgrade':
      return upgrade(tx, { ...request, body });
    case 'resync':
      return resync(tx, { ...request, body });
    case 'delete':
      return remove(tx, { ...request, body });
    case 'status':
      return { outcome: await status(tx, body.requestId) };
    case 'list':
      return { outcome: boundedReply({ virtualNodes: [...(await tx.virtualNodes.list())] }) };
    case 'get':
      return { outcome: await get(tx, body.shortHash) };
    case 'sql':
      return { outcome: await schemaSql(tx, { ...request, body }) };
    case 'vault-sql':
      return { outcome: await vaultSql(tx, { ...request, body }) };
  }
};

/** What a vault in a database of its own cannot do is its operation's refusal; nothing was written here by then. */
const answerOne = async (tx: DbTx, delivery: Carried<Body>, log: Log, now: number): Promise<Answered<Reply>> => {
  try {
    return await performOne(tx, delivery, log, now);
  } catch (error) {
    if (!(error instanceof VaultFault)) throw error;
    log.warn('db.vault.fault', { type: delivery.body.type, code: error.code, error });
    return { outcome: refused(error.code, error.message) };
  }
};

export const onVirtualNode = (log: Log): Answering<Body, Reply, DbTx> => ({
  wire: restToDbVirtualNode,
  storesAnswers: false,
  answer: async (requests, tx, now) => {
    const answered: Answered<Reply>[] = [];
    for (const request of requests) answered.push(await answerOne(tx, request, log, now));
    return answered;
  },
});
