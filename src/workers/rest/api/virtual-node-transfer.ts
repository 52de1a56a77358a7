/**
 * A virtual node leaves as a file and comes from one, on this cluster or another with the same root key and CPI: its vault and its keys, which
 * stay sealed in it. What other clusters know of it (membership) is theirs: it registers again where it comes to.
 */
import * as z from 'zod';
import type { Refusal } from '../../../messages/grammar/envelope.ts';
import { restToCryptoTransfer, sealedKeys, type SealedKeys } from '../../../messages/rest-to-crypto.transfer.ts';
import { restToDbTransfer, transferCharsMax } from '../../../messages/rest-to-db.transfer.ts';
import type { BodyOf, ReplyOf } from '../../../messages/grammar/wire.ts';
import { shortHash } from '../parameter.ts';
import { BodyRefused } from '../parsing/parsing.ts';
import { isRefusal, refuse } from '../refusal.ts';
import { findVirtualNode, type RestRoom } from '../room.ts';
import { done, fileRoute, formBody, jsonBody, route } from '../routing/routing.ts';
import { FileRefused, openFile, sealFile } from '../transfer/sealed-file.ts';
import { refuseWhileFlowsRun } from './virtual-node-operation.ts';

const tag = 'Virtual Node';

/** Whoever has the file may guess at its passphrase for ever. */
const passphrase = z.string().min(12, 'a passphrase has 12 characters or more').max(1_000);
const exportRequest = z.object({ passphrase }).meta({ id: 'ExportVirtualNodeRequest' });
const importResponse = z.object({ holdingIdentityShortHash: z.string() }).meta({ id: 'ImportVirtualNodeResponse' });

const askDb = async ({ requests, limits }: RestRoom, body: BodyOf<typeof restToDbTransfer>): Promise<ReplyOf<typeof restToDbTransfer> | Refusal> => {
  const outcome = await requests.ask(restToDbTransfer, { key: body.transferId, body, timeoutMs: limits.uploadAskTimeoutMs });
  return outcome.type === 'refused' ? outcome : outcome.value;
};

const askCrypto = async ({ requests, limits }: RestRoom, tenant: string, body: BodyOf<typeof restToCryptoTransfer>): Promise<SealedKeys | undefined | Refusal> => {
  const outcome = await requests.ask(restToCryptoTransfer, { key: tenant, body, timeoutMs: limits.askTimeoutMs });
  return outcome.type === 'refused' ? outcome : outcome.value.keys;
};

// ── Out ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** What interrupts a file that has begun: its reader sees it break off. */
class ExportBroken extends Error {}

async function* piecesOf(room: RestRoom, keys: SealedKeys, transferId: string, count: number): AsyncGenerator<string> {
  yield JSON.stringify(keys);
  for (let index = 0; index < count; index++) {
    const read = await askDb(room, { type: 'read', transferId, index });
    if (isRefusal(read) || read.text === undefined) throw new ExportBroken(isRefusal(read) ? read.message : 'a piece has no text');
    yield read.text;
  }
  await askDb(room, { type: 'forget', transferId });
}

const streamOf = (frames: AsyncGenerator<Uint8Array>): ReadableStream<Uint8Array> =>
  new ReadableStream({
    pull: async (controller) => {
      const next = await frames.next();
      if (next.done === true) controller.close();
      else controller.enqueue(next.value);
    },
    cancel: async () => void (await frames.return(undefined)),
  });

const exportNode = async (room: RestRoom, hash: string, secret: string) => {
  const node = await findVirtualNode(room, hash);
  if (isRefusal(node)) return node;
  const fault = await refuseWhileFlowsRun(room, node, 'end them: in maintenance they end as something happens to them');
  if (fault !== undefined) return fault;
  const keys = await askCrypto(room, hash, { type: 'export', tenant: hash });
  if (keys === undefined || 'type' in keys) return keys ?? refuse('REST_UNAVAILABLE', 'crypto gave no keys');
  const transferId = crypto.randomUUID();
  const written = await askDb(room, { type: 'export', transferId, shortHash: hash });
  if (isRefusal(written)) return written;
  return done(streamOf(sealFile(secret, piecesOf(room, keys, transferId, written.count ?? 0))));
};

// ── In ───────────────────────────────────────────────────────────────────────────────────────────────────────────────

const invalidFile = (reason: string): Refusal => refuse('REST_TRANSFER_INVALID', `The file cannot be imported: ${reason}`);

type Brought = { readonly keys: SealedKeys; readonly count: number };

/** Hands the pieces over to db, where they wait. The keys come first. */
const bring = async (room: RestRoom, transferId: string, pieces: AsyncIterable<string>): Promise<Brought | Refusal> => {
  let keys: SealedKeys | undefined;
  let count = 0;
  for await (const piece of pieces) {
    if (keys === undefined) {
      const read = sealedKeys.safeParse(JSON.parse(piece));
      if (!read.success) return invalidFile('it does not begin with the keys of a virtual node');
      keys = read.data;
      const checked = await askCrypto(room, keys.tenant, { type: 'check', keys });
      if (checked !== undefined && 'type' in checked) return checked;
      continue;
    }
    if (piece.length > transferCharsMax) return invalidFile('one of its pieces is too long');
    const taken = await askDb(room, { type: 'write', transferId, index: count++, text: piece });
    if (isRefusal(taken)) return taken;
  }
  return keys === undefined ? invalidFile('it is empty') : { keys, count };
};

const importNode = async (room: RestRoom, secret: string, file: AsyncIterable<Uint8Array>) => {
  const transferId = crypto.randomUUID();
  let brought: Brought | Refusal;
  try {
    brought = await bring(room, transferId, openFile(secret, file));
  } catch (error) {
    if (error instanceof BodyRefused) brought = error.refusal;
    else if (error instanceof FileRefused || error instanceof SyntaxError) brought = invalidFile(error.message);
    else throw error;
  }
  if (isRefusal(brought)) {
    await askDb(room, { type: 'forget', transferId });
    return brought;
  }
  const { keys, count } = brought;
  // The virtual node first, held by this operation: if its keys should not follow, it cannot be used, and asking again makes it anew.
  const made = await askDb(room, { type: 'import', transferId, count, shortHash: keys.tenant });
  if (isRefusal(made)) return made;
  const kept = await askCrypto(room, keys.tenant, { type: 'import', keys });
  if (kept !== undefined && 'type' in kept) return kept;
  const finished = await askDb(room, { type: 'finish', transferId, shortHash: keys.tenant });
  return isRefusal(finished) ? finished : done({ holdingIdentityShortHash: keys.tenant });
};

export const virtualNodeTransferRoutes = [
  fileRoute({
    method: 'POST',
    path: '/virtualnode/{holdingidentityshorthash}/export',
    ours: true,
    tag,
    summary: 'Gives a virtual node in maintenance as a file, encrypted to a passphrase: its vault, and its keys as they are wrapped',
    pathParameters: { holdingidentityshorthash: shortHash },
    body: jsonBody('request', exportRequest),
    handle: ({ room, path, body }) => exportNode(room, path.holdingidentityshorthash, body.passphrase),
  }),
  route({
    method: 'POST',
    path: '/virtualnode/import',
    ours: true,
    tag,
    summary: 'Makes a virtual node of the file of its export, in maintenance; its CPI must be here, and the root key the same',
    body: formBody({ passphrase: 'text', file: 'stream' }, 'transferBytesMax'),
    reply: importResponse,
    handle: ({ room, body }) => importNode(room, body.passphrase, body.file),
  }),
];
