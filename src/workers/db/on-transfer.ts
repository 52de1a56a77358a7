/**
 * rest-to-db.transfer: a virtual node is written down, or made of what was written down.
 *
 * An export is one snapshot: a transaction that sees the database as it was when it began (repeatable read), of a virtual node in maintenance.
 * An import is one transaction. Between these and REST the pieces wait in the database; they hold lines of text (postgres/transfers.ts), the
 * first of which is the virtual node itself. Everything here may be asked for again: no answers are kept.
 */
import * as z from 'zod';
import { deriveId } from '../../identity/derive.ts';
import { holdingIdentityOf } from '../../identity/holding-identity.ts';
import { parseX500 } from '../../identity/x500.ts';
import { virtualNode, type VirtualNode } from '../../messages/db-to-all.virtual-node.ts';
import type { Carried, Outcome, Refusal } from '../../messages/grammar/envelope.ts';
import type { BodyOf, ReplyOf } from '../../messages/grammar/wire.ts';
import type { OutRecord } from '../../messages/grammar/record.ts';
import { certificateUsage } from '../../messages/rest-to-db.certificate.ts';
import { restToDbTransfer, transferCharsMax, transferPiecesMax } from '../../messages/rest-to-db.transfer.ts';
import type { Log } from '../../observability/log.ts';
import type { Answered, Answering } from '../../shell/worker.ts';
import { importChain } from './on-certificate.ts';
import { transferIdleMsMax, transfersOpenMax } from './config.ts';
import type { DbTx, KeptOperation } from './db-tx.ts';
import { VaultFault } from './vaults/vault-fault.ts';
import { TransferRefused } from './postgres/transfers.ts';
import { virtualNodeRecord } from './publication.ts';
import { changed, findCpi, findNode, isInMaintenance, isRefused, refused, schemasOf, statuses } from './virtual-node/operation.ts';
import { newVirtualNode } from './virtual-node.ts';

type Body = BodyOf<typeof restToDbTransfer>;
type Reply = ReplyOf<typeof restToDbTransfer>;
type Of<Type extends Body['type']> = Extract<Body, { type: Type }>;

const certificates = z.array(z.strictObject({ usage: certificateUsage, alias: z.string().max(255), pem: z.string().max(100_000) })).max(1_000);
const firstLine = z.strictObject({ v: z.literal(1), virtualNode, certificates });
type First = z.infer<typeof firstLine>;

/** A transfer whose pieces REST comes for or brings; those that nobody came for any more make room. */
const open = async (tx: DbTx, id: string, now: number): Promise<Refusal | undefined> => {
  await tx.transfers.forgetIdle(now - transferIdleMsMax);
  if ((await tx.transfers.countOpen()) >= transfersOpenMax) return refused('DB_TRANSFER_LIMIT', `${transfersOpenMax} exports and imports are under way; try again when some have ended`);
  await tx.transfers.begin(id, now);
  return undefined;
};

// ── Export ───────────────────────────────────────────────────────────────────────────────────────────────────────────

const write = async (tx: DbTx, id: string, lines: AsyncIterable<string>): Promise<number | Refusal> => {
  let count = 0;
  let piece = '';
  const flush = async (): Promise<void> => {
    if (count < transferPiecesMax) await tx.transfers.write(id, count, piece);
    count++;
    piece = '';
  };
  for await (const line of lines) {
    // A line may be longer than a piece: it goes on in the next one.
    for (let rest = `${line}\n`; rest !== ''; ) {
      const part = rest.slice(0, transferCharsMax - piece.length);
      piece += part;
      rest = rest.slice(part.length);
      if (piece.length >= transferCharsMax) await flush();
      if (count > transferPiecesMax) return refused('DB_TRANSFER_TOO_LARGE', `the virtual node keeps more than ${transferPiecesMax * transferCharsMax} characters; back its database up instead`);
    }
  }
  await flush();
  return count;
};

async function* linesOf(tx: DbTx, node: VirtualNode, rows: AsyncIterable<string>): AsyncGenerator<string> {
  const { shortHash } = node.holdingIdentity;
  const own: First['certificates'] = [];
  for (const usage of certificateUsage.options) for (const one of await tx.certificates.list({ usage, holder: shortHash })) own.push({ usage, ...one });
  yield JSON.stringify({ v: 1, virtualNode: node, certificates: own } satisfies First);
  yield* rows;
}

const exportNode = async (tx: DbTx, { transferId, shortHash }: Of<'export'>, now: number): Promise<Outcome<Reply>> => {
  const node = await findNode(tx, shortHash);
  if (isRefused(node)) return node;
  if (!isInMaintenance(node)) return refused('DB_TRANSFER_NOT_IN_MAINTENANCE', `virtual node ${shortHash} must be in maintenance to be exported: PUT /virtualnode/${shortHash}/state/maintenance`);
  const fault = await open(tx, transferId, now);
  if (fault !== undefined) return fault;
  const count = await tx.transfers.withLines(shortHash, (rows) => write(tx, transferId, linesOf(tx, node, rows))).catch((error: unknown) => {
    if (error instanceof VaultFault) return refused(error.code, error.message);
    throw error;
  });
  if (typeof count === 'number') return { type: 'done', value: { count } };
  await tx.transfers.forget(transferId);
  return count;
};

// ── Import ───────────────────────────────────────────────────────────────────────────────────────────────────────────

async function* readLines(tx: DbTx, id: string, count: number): AsyncGenerator<string> {
  let rest = '';
  for (let index = 0; index < count; index++) {
    const piece = await tx.transfers.read(id, index);
    if (piece === undefined) throw new TransferRefused(`piece ${index} of ${count} is missing`);
    const lines = (rest + piece).split('\n');
    rest = lines.pop()!;
    yield* lines;
  }
  if (rest !== '') throw new TransferRefused('it breaks off in the middle of a line');
}

const readFirst = (line: string | undefined, shortHash: string): First => {
  const read = firstLine.safeParse(line === undefined ? undefined : JSON.parse(line));
  if (!read.success) throw new TransferRefused('it does not begin with a virtual node');
  const { holdingIdentity } = read.data.virtualNode;
  const name = parseX500(holdingIdentity.x500Name);
  const derived = name.type === 'name' ? holdingIdentityOf(name.name, holdingIdentity.groupId) : undefined;
  if (derived?.shortHash !== shortHash || holdingIdentity.shortHash !== shortHash) throw new TransferRefused('its virtual node is not the one that its keys belong to');
  return { ...read.data, virtualNode: { ...read.data.virtualNode, holdingIdentity: derived } };
};

/** Made of the CPI as it is here; what the file says of it is only which. In maintenance, until somebody looked at it. */
const makeNode = async (tx: DbTx, said: VirtualNode, now: number): Promise<VirtualNode | Refusal> => {
  const cpi = await findCpi(tx, said.cpiFullChecksum);
  if (isRefused(cpi)) return refused('DB_CPI_NOT_FOUND', `the virtual node runs the CPI ${said.cpiId.name} ${said.cpiId.version} (${said.cpiFullChecksum.slice(0, 12)}), which is not here; upload it first`);
  const node = { ...newVirtualNode(said.holdingIdentity, cpi, now), ...statuses('INACTIVE') };
  const created = await tx.virtualNodes.create(node, await schemasOf(tx, node.cpkHashes));
  if (created.type === 'created') return node;
  if (created.type === 'exists') return refused('DB_VIRTUAL_NODE_EXISTS', `the virtual node ${said.holdingIdentity.shortHash} (${said.holdingIdentity.x500Name}) is there already`);
  return refused('DB_TRANSFER_INVALID', `its schemas and tables could not be made: ${created.reason}`);
};

const operationName = 'IMPORT_VIRTUAL_NODE';

/** The import that holds the virtual node: its keys have not followed yet. */
const findImport = async (tx: DbTx, shortHash: string): Promise<{ readonly node: VirtualNode; readonly kept: KeptOperation } | undefined> => {
  const node = await tx.virtualNodes.findToChange(shortHash);
  const kept = node?.operationInProgress === undefined ? undefined : await tx.virtualNodes.findOperation(node.operationInProgress);
  return node === undefined || kept?.operation.operation !== operationName ? undefined : { node, kept };
};

const begun = async (tx: DbTx, node: VirtualNode, transferId: string, now: number): Promise<VirtualNode> => {
  const { shortHash } = node.holdingIdentity;
  const requestId = deriveId('import', shortHash, transferId);
  const errorReason = 'its keys have not come yet; if the import was broken off, import the file again or delete the virtual node';
  await tx.virtualNodes.putOperation({ operation: { requestId, operation: operationName, status: 'IN_PROGRESS', lastUpdatedTimestamp: now, resourceId: shortHash, errorReason }, messageId: transferId });
  const held = { ...node, operationInProgress: requestId };
  await tx.virtualNodes.update(held);
  return held;
};

const finish = async (tx: DbTx, { shortHash }: Of<'finish'>, now: number): Promise<Answered<Reply>> => {
  const found = await findImport(tx, shortHash);
  // A repeat, or it was deleted meanwhile.
  if (found === undefined) return { outcome: { type: 'done', value: {} } };
  const { operationInProgress: _, ...free } = found.node;
  const node = changed(free, {}, now);
  await tx.virtualNodes.update(node);
  await tx.virtualNodes.putOperation({ ...found.kept, operation: { ...found.kept.operation, status: 'SUCCEEDED', errorReason: null, lastUpdatedTimestamp: now } });
  return { outcome: { type: 'done', value: {} }, effects: [virtualNodeRecord(node)] };
};

const importNode = async (tx: DbTx, { transferId, count, shortHash }: Of<'import'>, log: Log, now: number): Promise<Answered<Reply>> => {
  const before = await findImport(tx, shortHash);
  if (before?.kept.messageId === transferId) return { outcome: { type: 'done', value: {} }, effects: [virtualNodeRecord(before.node)] };
  const lines = readLines(tx, transferId, count);
  const effects: OutRecord[] = [];
  const made = await tx.transfers.wholly(async (): Promise<VirtualNode | Refusal> => {
    const next = await lines.next();
    const first = readFirst(next.done === true ? undefined : next.value, shortHash);
    // What was broken off was never active: nothing is lost when it is made anew, of this file.
    if (before !== undefined) {
      await tx.certificates.removeOf(shortHash);
      await tx.virtualNodes.drop(shortHash);
    }
    const made = await makeNode(tx, first.virtualNode, now);
    if (isRefused(made)) return made;
    const node = await begun(tx, made, transferId, now);
    await tx.transfers.restore(shortHash, lines);
    for (const { usage, alias, pem } of first.certificates) {
      const taken = await importChain(tx, { type: 'import', usage, holder: shortHash, alias, pem }, now);
      // One that is out of its dates by now is of no use, and no reason to refuse the rest.
      if (taken.outcome.type === 'refused') log.warn('db.import.certificate-refused', { shortHash, usage, alias, reason: taken.outcome.message });
      effects.push(...(taken.effects ?? []));
    }
    return node;
  });
  if (isRefused(made)) return { outcome: made };
  await tx.transfers.forget(transferId);
  log.info('db.virtual-node.imported', { shortHash, x500Name: made.holdingIdentity.x500Name });
  return { outcome: { type: 'done', value: {} }, effects: [...effects, virtualNodeRecord(made)] };
};

// ── Requests ─────────────────────────────────────────────────────────────────────────────────────────────────────────

const take = async (tx: DbTx, { transferId, index, text }: Of<'write'>, now: number): Promise<Outcome<Reply>> => {
  const fault = index === 0 ? await open(tx, transferId, now) : undefined;
  if (fault !== undefined) return fault;
  await tx.transfers.begin(transferId, now);
  await tx.transfers.write(transferId, index, text);
  return { type: 'done', value: {} };
};

const read = async (tx: DbTx, { transferId, index }: Of<'read'>): Promise<Outcome<Reply>> => {
  const text = await tx.transfers.read(transferId, index);
  return text === undefined ? refused('DB_TRANSFER_UNKNOWN', 'the pieces of this transfer are gone; begin it again') : { type: 'done', value: { text } };
};

const answerOne = async (tx: DbTx, { body }: Carried<Body>, log: Log, now: number): Promise<Answered<Reply>> => {
  switch (body.type) {
    case 'export':
      return { outcome: await exportNode(tx, body, now) };
    case 'read':
      return { outcome: await read(tx, body) };
    case 'write':
      return { outcome: await take(tx, body, now) };
    case 'import':
      return importNode(tx, body, log, now);
    case 'finish':
      return finish(tx, body, now);
    case 'forget':
      await tx.transfers.forget(body.transferId);
      return { outcome: { type: 'done', value: {} } };
  }
};

export const onTransfer = (log: Log): Answering<Body, Reply, DbTx> => ({
  wire: restToDbTransfer,
  storesAnswers: false,
  answer: async (requests, tx, now) => {
    await tx.transfers.holdSnapshot();
    const answered: Answered<Reply>[] = [];
    for (const request of requests) answered.push(await answerOne(tx, request, log, now));
    return answered;
  },
});
