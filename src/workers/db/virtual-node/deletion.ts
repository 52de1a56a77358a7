/**
 * A virtual node is deleted: an operation of three rooms, told forward by their answers.
 *
 *     delete ──▶ counting ──▶ evicting ──▶ departing ──▶ gone
 *                   │            │ ▲           │
 *                   │            └─┘           │
 *                   ▼            ▼             ▼
 *                ABORTED       FAILED        FAILED        asked for again it goes on from there
 *
 * - **E1** every step is one transaction with the request that it owes next, so a crash repeats the step and changes nothing;
 * - **E2** an answer moves the operation only where it answers the request that is awaited;
 * - **E3** from `evicting` on there is no way back: the virtual node is marked, and what is kept for it goes;
 * - **E4** its schemas go last, in the transaction that removes its row, when no room says anything of it any more.
 */
import { deriveId } from '../../../identity/derive.ts';
import { allToDbAnswer } from '../../../messages/all-to-db.answer.ts';
import { tlsUsage } from '../../../messages/db-to-all.certificate.ts';
import type { VirtualNode } from '../../../messages/db-to-all.virtual-node.ts';
import { dbToFlowEviction } from '../../../messages/db-to-flow.eviction.ts';
import { dbToMemberDeparture } from '../../../messages/db-to-member.departure.ts';
import { encode, type Outcome } from '../../../messages/grammar/envelope.ts';
import type { OutRecord } from '../../../messages/grammar/record.ts';
import type { Log } from '../../../observability/log.ts';
import type { Answered } from '../../../shell/worker.ts';
import { evictionsMax } from '../config.ts';
import type { DbTx, KeptOperation } from '../db-tx.ts';
import { certificateRemoval, virtualNodeRecord, virtualNodeRemoval } from '../publication.ts';
import { changed, isRefused, refused, reported, statuses, type Reply, type Request } from './operation.ts';

type Stage = 'counting' | 'evicting' | 'departing';
type Deletion = { readonly node: VirtualNode; readonly kept: KeptOperation };

const operationName = 'DELETE_VIRTUAL_NODE';

// ── What it asks ─────────────────────────────────────────────────────────────────────────────────────────────────────

/** `deletion/<request id>/<how many were asked before>`: the answer names its operation. */
const awaitedId = (requestId: string, count: number): string => `deletion/${requestId}/${count}`;
const readAwaited = (awaited: string): { requestId: string; count: number } | undefined => {
  const [, requestId, count] = /^deletion\/([0-9a-f-]{36})\/(\d{1,9})$/.exec(awaited) ?? [];
  return requestId === undefined ? undefined : { requestId, count: Number(count) };
};

const question = ({ node, kept: { stage, awaited } }: Deletion): OutRecord => {
  const { shortHash, groupId, x500Name } = node.holdingIdentity;
  const message = { key: shortHash, id: awaited!, replyTo: { topic: allToDbAnswer.topic, key: shortHash } };
  if (stage === 'departing') return encode(dbToMemberDeparture, { ...message, body: { shortHash, groupId, x500Name } });
  return encode(dbToFlowEviction, { ...message, body: { type: stage === 'counting' ? 'count' : 'evict', shortHash } });
};

/** Keeps what changed and says what follows from it. */
const goOn = async (tx: DbTx, { node: before, kept: keptBefore }: Deletion, stage: Stage, now: number): Promise<OutRecord[]> => {
  const { requestId } = keptBefore.operation;
  const count = (readAwaited(keptBefore.awaited ?? '')?.count ?? -1) + 1;
  const kept: KeptOperation = {
    ...keptBefore,
    operation: { ...keptBefore.operation, status: 'IN_PROGRESS', errorReason: null, lastUpdatedTimestamp: now },
    stage,
    awaited: awaitedId(requestId, count),
  };
  const closed = { flowStartOperationalStatus: 'INACTIVE', flowP2pOperationalStatus: 'INACTIVE', operationInProgress: requestId } as const;
  const marks = stage === 'counting' ? closed : { ...closed, ...statuses('INACTIVE'), deleting: true as const };
  const isMarked = Object.entries(marks).every(([name, value]) => before[name as keyof typeof marks] === value);
  const node = isMarked ? before : changed(before, marks, now);
  if (!isMarked) await tx.virtualNodes.update(node);
  await tx.virtualNodes.putOperation(kept);
  return [...(isMarked ? [] : [virtualNodeRecord(node)]), question({ node, kept })];
};

// ── Its beginning ────────────────────────────────────────────────────────────────────────────────────────────────────

/** The deletion that holds the virtual node, if one does. */
const held = async (tx: DbTx, node: VirtualNode): Promise<KeptOperation | undefined> => {
  const kept = node.operationInProgress === undefined ? undefined : await tx.virtualNodes.findOperation(node.operationInProgress);
  return kept?.operation.operation === operationName ? kept : undefined;
};

const answered = async (tx: DbTx, requestId: string, effects: readonly OutRecord[]): Promise<Answered<Reply>> => ({
  outcome: reported((await tx.virtualNodes.findOperation(requestId))!.operation),
  effects,
});

/** Asked for again by another request: what was asked of other rooms is asked again. */
const resume = async (tx: DbTx, { node, kept }: Deletion, { body, messageId, now }: Request<'delete'>): Promise<Answered<Reply>> => {
  // Written by `goOn`.
  const stage = body.force && kept.stage === 'counting' ? 'evicting' : (kept.stage as Stage);
  return answered(tx, kept.operation.requestId, await goOn(tx, { node, kept: { ...kept, messageId } }, stage, now));
};

export const remove = async (tx: DbTx, request: Request<'delete'>): Promise<Answered<Reply>> => {
  const { body: { shortHash, force }, messageId, log, now } = request;
  const requestId = deriveId('deletion', shortHash, messageId);
  const node = await tx.virtualNodes.findToChange(shortHash);
  const before = node === undefined ? undefined : await held(tx, node);
  if (node !== undefined && before !== undefined) {
    if (before.messageId !== messageId) return resume(tx, { node, kept: before }, request);
    // A repeat, whose first handling may have died before it had asked.
    return { outcome: reported(before.operation), effects: before.operation.status === 'IN_PROGRESS' ? [virtualNodeRecord(node), question({ node, kept: before })] : [] };
  }
  const done = await tx.virtualNodes.findOperation(requestId);
  if (done !== undefined) return { outcome: reported(done.operation), effects: node === undefined ? [] : [virtualNodeRecord(node)] };
  if (node === undefined) return { outcome: refused('DB_VIRTUAL_NODE_NOT_FOUND', `there is no virtual node ${shortHash} on this cluster`) };
  log.info('db.virtual-node.deleting', { shortHash, force });
  const operation = { requestId, operation: operationName, status: 'IN_PROGRESS', lastUpdatedTimestamp: now, resourceId: shortHash, errorReason: null } as const;
  return answered(tx, requestId, await goOn(tx, { node, kept: { operation, messageId } }, force ? 'evicting' : 'counting', now));
};

// ── Its steps ────────────────────────────────────────────────────────────────────────────────────────────────────────

type End = { readonly status: 'SUCCEEDED' | 'FAILED' | 'ABORTED'; readonly reason: string | null };

const end = async (tx: DbTx, kept: KeptOperation, { status, reason }: End, now: number): Promise<void> => {
  const operation = { ...kept.operation, status, errorReason: reason, lastUpdatedTimestamp: now };
  // Kept with its stage and count, so that it can be gone on with.
  await tx.virtualNodes.putOperation({ ...kept, operation });
};

/** Flows run, and nobody said that they may be ended: the virtual node is as before. */
const abort = async (tx: DbTx, { node: before, kept }: Deletion, running: number, now: number): Promise<OutRecord[]> => {
  const { operationInProgress: _, ...free } = before;
  const node = changed(free, statuses(before.flowOperationalStatus), now);
  await tx.virtualNodes.update(node);
  const reason = `${running} or more flows run on virtual node ${node.holdingIdentity.shortHash}; wait for their end, kill them, or delete it with ?force=true`;
  await end(tx, kept, { status: 'ABORTED', reason }, now);
  return [virtualNodeRecord(node)];
};

const finish = async (tx: DbTx, { node, kept }: Deletion, now: number): Promise<OutRecord[]> => {
  const { shortHash } = node.holdingIdentity;
  const certificates = await tx.certificates.removeOf(shortHash);
  await tx.virtualNodes.drop(shortHash);
  await end(tx, kept, { status: 'SUCCEEDED', reason: null }, now);
  const served = certificates.flatMap(({ usage, alias }) => {
    const tls = tlsUsage.safeParse(usage);
    return tls.success ? [certificateRemoval({ usage: tls.data, holder: shortHash, alias })] : [];
  });
  return [...served, virtualNodeRemoval(node)];
};

const takeFlows = async (tx: DbTx, deletion: Deletion, value: unknown, now: number): Promise<OutRecord[]> => {
  const { running, ended } = dbToFlowEviction.reply!.parse(value);
  const { stage, awaited } = deletion.kept;
  if (stage === 'counting') return running > 0 ? abort(tx, deletion, running, now) : goOn(tx, deletion, 'evicting', now);
  if (running + ended === 0) return goOn(tx, deletion, 'departing', now);
  const count = readAwaited(awaited!)!.count;
  // Counted on over all its resumptions, each of which has as many tries again.
  if ((count + 1) % evictionsMax !== 0) return goOn(tx, deletion, 'evicting', now);
  await end(tx, deletion.kept, { status: 'FAILED', reason: `${running} flows of the virtual node do not end` }, now);
  return [];
};

/** What another room answered. */
export const takeAnswer = async (tx: DbTx, { requestId: awaited, outcome }: { requestId: string; outcome: Outcome }, log: Log, now: number): Promise<readonly OutRecord[]> => {
  const named = readAwaited(awaited);
  const kept = named === undefined ? undefined : await tx.virtualNodes.findOperation(named.requestId);
  if (kept === undefined || kept.awaited !== awaited || kept.operation.status !== 'IN_PROGRESS') return [];
  const node = await tx.virtualNodes.findToChange(kept.operation.resourceId!);
  if (node === undefined) return [];
  const deletion: Deletion = { node, kept };
  if (isRefused(outcome)) {
    log.error('db.virtual-node.deletion-failed', { shortHash: node.holdingIdentity.shortHash, stage: kept.stage, code: outcome.code, reason: outcome.message });
    await end(tx, kept, { status: 'FAILED', reason: `${outcome.code}: ${outcome.message}` }, now);
    return [];
  }
  if (kept.stage !== 'departing') return takeFlows(tx, deletion, outcome.value, now);
  const records = await finish(tx, deletion, now);
  log.info('db.virtual-node.deleted', { shortHash: node.holdingIdentity.shortHash });
  return records;
};
