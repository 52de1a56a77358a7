/**
 * rest-to-db.cpi: a CPI file comes in chunks of one ordered key; the chunk that completes it has it verified and stored.
 *
 * The chunks are answered as accepted, and what became of the whole is asked for by `status`, as in Corda. Every step is
 * idempotent by itself (chunk by upload and index, upload by its outcome), so no answers are kept: the effects of a large CPI
 * would be stored a second time with them. A repeat of a chunk of a stored CPI makes its effects again from what is stored.
 */
import { fromBase64url } from '../../cipher/bytes.ts';
import { CipherError } from '../../cipher/cipher-error.ts';
import type { Carried, Outcome, Refusal } from '../../messages/grammar/envelope.ts';
import type { OutRecord } from '../../messages/grammar/record.ts';
import type { BodyOf, ReplyOf } from '../../messages/grammar/wire.ts';
import { restToDbCpi } from '../../messages/rest-to-db.cpi.ts';
import type { Log } from '../../observability/log.ts';
import type { Answered, Answering } from '../../shell/worker.ts';
import { cpiBytesMax, cpiChunkBytesMax, uploadIdleMsMax, uploadsOpenMax, uploadStatusAgeMsMax } from './config.ts';
import { announceCpi, invalidCpi, storeCpi, type StoredCpi } from './cpi-store.ts';
import type { DbTx, Upload, UploadEnd } from './db-tx.ts';
import { openUpload } from './open-upload.ts';
import { boundedReply } from './reply.ts';

type Body = BodyOf<typeof restToDbCpi>;
type Reply = ReplyOf<typeof restToDbCpi>;
type Chunk = Extract<Body, { type: 'chunk' }>;

/** Digits of the checksum that REST shows (Corda). */
const checksumDigits = 12;

const statusOf = (end: UploadEnd | undefined): Outcome<Reply> => {
  if (end === undefined) return { type: 'done', value: { status: 'Uploading', cpiFileChecksum: '' } };
  if (end.type === 'refused') return end.refusal;
  return { type: 'done', value: { status: 'OK', cpiFileChecksum: end.fullChecksum.slice(0, checksumDigits) } };
};

/** What a chunk is answered: the fate of the whole is told by `status` alone. */
const accepted = (end: UploadEnd | undefined): Outcome<Reply> => (end?.type === 'stored' ? statusOf(end) : statusOf(undefined));

const readBytes = (text: string): Uint8Array | Refusal => {
  try {
    const bytes = fromBase64url(text);
    return bytes.length > cpiChunkBytesMax ? invalidCpi(`a chunk has ${bytes.length} bytes; ${cpiChunkBytesMax} are the most`) : bytes;
  } catch (error) {
    if (error instanceof CipherError) return invalidCpi('a chunk is not base64url');
    throw error;
  }
};

/** The upload a chunk belongs to, begun if it is the first of it to come. */
const uploadOf = async (tx: DbTx, { uploadId, index, count, force }: Chunk, now: number): Promise<Upload | Refusal> => {
  if (index >= count) return invalidCpi(`chunk ${index} of an upload of ${count} chunks`);
  const upload = await tx.uploads.find(uploadId);
  if (upload !== undefined) return upload.count === count && upload.force === force ? upload : invalidCpi(`the chunks of upload ${uploadId} contradict each other`);
  await tx.uploads.forget(now - uploadIdleMsMax, now - uploadStatusAgeMsMax);
  if ((await tx.uploads.countOpen()) >= uploadsOpenMax) {
    return { type: 'refused', code: 'DB_UPLOAD_LIMIT', message: `${uploadsOpenMax} uploads are under way; try again when some have ended` };
  }
  await tx.uploads.begin({ id: uploadId, count, force }, now);
  return { id: uploadId, count, force, end: undefined };
};

/** Verifies and stores the whole file; the outcome is kept either way. */
const complete = async (tx: DbTx, { id, force }: Upload, log: Log, now: number): Promise<{ end: UploadEnd; stored: StoredCpi | undefined }> => {
  const trusted = await tx.certificates.list({ usage: 'code-signer' });
  const opened = await openUpload(await tx.uploads.assemble(id), { trustedSigners: trusted.map(({ pem }) => pem), now });
  const result = opened.type === 'opened' ? await storeCpi(tx, { ...opened, force, now }) : opened;
  if (result.type === 'refused') {
    log.warn('db.cpi.refused', { upload: id, code: result.code, reason: result.message });
    const end: UploadEnd = { type: 'refused', refusal: result };
    await tx.uploads.finish(id, end, now);
    return { end, stored: undefined };
  }
  const end: UploadEnd = { type: 'stored', fullChecksum: result.cpi.fullChecksum, replaced: result.replaced };
  await tx.uploads.finish(id, end, now);
  log.info('db.cpi.stored', { upload: id, cpi: result.cpi.id, checksum: result.cpi.fullChecksum });
  return { end, stored: result };
};

/** The effects of an upload that was stored before: a later forced upload may have replaced what it stored. */
const announceAgain = async (tx: DbTx, end: UploadEnd): Promise<OutRecord[]> => {
  if (end.type !== 'stored') return [];
  const cpi = (await tx.cpis.findByChecksum(end.fullChecksum))[0];
  return cpi === undefined ? [] : announceCpi(tx, { cpi, replaced: end.replaced });
};

const addChunk = async (tx: DbTx, chunk: Chunk, log: Log, now: number): Promise<Answered<Reply>> => {
  const bytes = readBytes(chunk.bytes);
  if ('type' in bytes) return { outcome: bytes };
  const upload = await uploadOf(tx, chunk, now);
  if ('type' in upload) return { outcome: upload };
  if (upload.end !== undefined) return { outcome: accepted(upload.end), effects: await announceAgain(tx, upload.end) };
  const received = await tx.uploads.addChunk(upload.id, chunk.index, bytes, now);
  if (received.bytes > cpiBytesMax) {
    const refusal = invalidCpi(`the file is larger than ${cpiBytesMax} bytes`);
    await tx.uploads.finish(upload.id, { type: 'refused', refusal }, now);
    return { outcome: refusal };
  }
  if (received.chunks < upload.count) return { outcome: accepted(undefined) };
  const { end, stored } = await complete(tx, upload, log, now);
  return { outcome: accepted(end), effects: stored === undefined ? [] : await announceCpi(tx, stored) };
};

const status = async (tx: DbTx, uploadId: string): Promise<Outcome<Reply>> => {
  const upload = await tx.uploads.find(uploadId);
  return upload === undefined ? { type: 'refused', code: 'DB_UPLOAD_UNKNOWN', message: `No such requestId=${uploadId}` } : statusOf(upload.end);
};

const answerOne = async (tx: DbTx, { body }: Carried<Body>, log: Log, now: number): Promise<Answered<Reply>> => {
  switch (body.type) {
    case 'chunk':
      return addChunk(tx, body, log, now);
    case 'status':
      return { outcome: await status(tx, body.uploadId) };
    case 'list':
      return { outcome: boundedReply({ cpis: [...(await tx.cpis.list())] }) };
  }
};

export const onCpi = (log: Log): Answering<Body, Reply, DbTx> => ({
  wire: restToDbCpi,
  storesAnswers: false,
  answer: async (requests, tx, now) => {
    const answered: Answered<Reply>[] = [];
    for (const request of requests) answered.push(await answerOne(tx, request, log, now));
    return answered;
  },
});
