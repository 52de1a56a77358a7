/** CPI upload, its status, and the CPIs of the cluster. */
import * as z from 'zod';
import { toBase64url } from '../../../cipher/bytes.ts';
import type { CpiMetadata } from '../../../messages/db-to-all.cpi.ts';
import type { Refusal } from '../../../messages/grammar/envelope.ts';
import { restToDbCpi } from '../../../messages/rest-to-db.cpi.ts';
import { isoTime } from '../flow-body.ts';
import { readPage } from '../page.ts';
import { optionalInteger, optionalText, text } from '../parameter.ts';
import { refuse } from '../refusal.ts';
import type { RestRoom } from '../room.ts';
import { done, formBody, route, type FormFile } from '../routing/routing.ts';
import { protocolVersionRoute } from './protocol-version.ts';
import { cpiChecksum, cpiIdentifier, cpiIdentifierBody, dateTime, shortChecksum } from './shapes.ts';

const tag = 'CPI';
const maintenanceTag = 'Virtual Node Maintenance';

const cpkIdentifier = z.object({ name: z.string(), signerSummaryHash: z.string().nullable(), version: z.string() }).meta({ id: 'CpkIdentifier' });

const cpkMetadata = z
  .object({ hash: z.string(), id: cpkIdentifier, libraries: z.array(z.string()), mainBundle: z.string(), timestamp: dateTime, type: z.string() })
  .meta({ id: 'CpkMetadata' });

const cpiMetadata = z
  .object({
    cpiFileChecksum: z.string(),
    cpiFileFullChecksum: z.string(),
    cpks: z.array(cpkMetadata),
    groupPolicy: z.string().nullable(),
    id: cpiIdentifier,
    timestamp: dateTime,
  })
  .meta({ id: 'CpiMetadata' });

const cpiList = z.object({ cpis: z.array(cpiMetadata) }).meta({ id: 'GetCPIsResponse' });
const uploadResponse = z.object({ id: z.string() }).meta({ id: 'CpiUploadResponse' });
const uploadStatus = z.object({ cpiFileChecksum: z.string(), status: z.string() }).meta({ id: 'CpiUploadStatus' });

/** A CPK of ours is one bundle of code without libraries, so its own name stands for the main bundle. */
const cpkBody = ({ hash, id, timestamp }: CpiMetadata['cpks'][number]): z.infer<typeof cpkMetadata> => ({
  hash,
  id: { name: id.name, signerSummaryHash: id.signerSummaryHash, version: id.version },
  libraries: [],
  mainBundle: id.name,
  timestamp: isoTime(timestamp),
  type: 'UNKNOWN',
});

const cpiBody = ({ id, fullChecksum, cpks, groupPolicy, timestamp }: CpiMetadata): z.infer<typeof cpiMetadata> => ({
  cpiFileChecksum: shortChecksum(fullChecksum),
  cpiFileFullChecksum: fullChecksum,
  cpks: cpks.map(cpkBody),
  groupPolicy,
  id: cpiIdentifierBody(id),
  timestamp: isoTime(timestamp),
});

/** The file cut anew into the chunks that the wire carries, one at a time: a file is not held twice. */
function* chunksOf({ pieces, length }: FormFile, chunkBytes: number): Generator<Uint8Array> {
  let chunk = new Uint8Array(Math.min(chunkBytes, length));
  let [filled, left] = [0, length];
  for (const piece of pieces) {
    for (let at = 0; at < piece.length; ) {
      const part = piece.subarray(at, at + chunk.length - filled);
      chunk.set(part, filled);
      at += part.length;
      filled += part.length;
      if (filled < chunk.length) continue;
      yield chunk;
      left -= filled;
      chunk = new Uint8Array(Math.min(chunkBytes, left));
      filled = 0;
    }
  }
}

/** Hands the file over, chunk by chunk: each is stored before the next one leaves, so their order cannot be lost. */
const upload = async ({ requests, limits }: RestRoom, file: FormFile, force: boolean): Promise<string | Refusal> => {
  if (file.length === 0) return refuse('REST_PARAMETER_INVALID', "Unable to parse parameter 'upload': the file is empty", { parameter: 'upload' });
  const uploadId = crypto.randomUUID();
  const count = Math.ceil(file.length / limits.uploadChunkBytes);
  let index = 0;
  for (const chunk of chunksOf(file, limits.uploadChunkBytes)) {
    const outcome = await requests.ask(restToDbCpi, {
      key: uploadId,
      body: { type: 'chunk', uploadId, index: index++, count, bytes: toBase64url(chunk), force },
      timeoutMs: limits.uploadAskTimeoutMs,
    });
    if (outcome.type === 'refused') return outcome;
  }
  return uploadId;
};

const uploadRoute = <const Path extends '/cpi' | '/maintenance/virtualnode/forcecpiupload'>(path: Path, routeTag: string, summary: string, force: boolean) =>
  route({
    method: 'POST',
    path,
    tag: routeTag,
    summary,
    body: formBody({ upload: 'file' }, 'uploadBytesMax'),
    reply: uploadResponse,
    handle: async ({ room, body }) => {
      const id = await upload(room, body.upload, force);
      return typeof id === 'string' ? done({ id }) : id;
    },
  });

/** CPIs of one page, where no limit is given, and at most. */
const cpisPageMax = 500;

/** The request id that an upload was given. Any other text names no upload. */
const uploadIdText = z.string().max(100);

export const cpiRoutes = [
  uploadRoute('/cpi', tag, 'Uploads a CPI', false),
  uploadRoute('/maintenance/virtualnode/forcecpiupload', maintenanceTag, 'Uploads a CPI in place of one with the same name, version and signer', true),
  route({
    method: 'GET',
    path: '/cpi',
    tag,
    summary: 'Lists the CPIs of the cluster',
    queryParameters: { limit: optionalInteger({ min: 1, max: cpisPageMax }), after: optionalText(cpiChecksum) },
    reply: cpiList,
    handle: async ({ room, query }) => done({ cpis: (await readPage(room.views.cpis, query, cpisPageMax)).map(cpiBody) }),
  }),
  route({
    method: 'GET',
    path: '/cpi/status/{id}',
    tag,
    summary: 'Says how far an upload has come; its status is OK once the CPI may be used',
    pathParameters: { id: text(uploadIdText) },
    reply: uploadStatus,
    handle: async ({ room, path }) => {
      const { requests, limits } = room;
      const id = z.uuid().safeParse(path.id.toLowerCase());
      if (!id.success) return { type: 'refused', code: 'DB_UPLOAD_UNKNOWN', message: `No such requestId=${path.id}` };
      const outcome = await requests.ask(restToDbCpi, { key: id.data, body: { type: 'status', uploadId: id.data }, timeoutMs: limits.askTimeoutMs });
      if (outcome.type === 'refused') return outcome;
      const { status = '', cpiFileChecksum = '' } = outcome.value;
      return done({ cpiFileChecksum, status });
    },
  }),
  protocolVersionRoute('cpi', tag),
  protocolVersionRoute('maintenance/virtualnode', maintenanceTag),
];
