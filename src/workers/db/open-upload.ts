/** Opens an uploaded CPI file and says what db keeps of it. */
import type { CpiMetadata } from '../../messages/db-to-all.cpi.ts';
import { recordValueCharsMax, type Refusal } from '../../messages/grammar/envelope.ts';
import { openCpi, type OpenedCpi, type OpenOptions } from '../../packaging/open-cpi.ts';
import { invalidCpi } from './cpi-store.ts';
import type { CpkContent, CpkSchema } from './db-tx.ts';
import { cpiRecord } from './publication.ts';

export type OpenedUpload = { readonly type: 'opened'; readonly cpi: CpiMetadata; readonly content: readonly CpkContent[]; readonly schemas: readonly CpkSchema[] };

const metadataOf = ({ id, fullChecksum, groupPolicy, groupPolicyText, cpks }: OpenedCpi, now: number): CpiMetadata => ({
  id,
  fullChecksum,
  groupId: groupPolicy.groupId,
  groupPolicy: groupPolicyText,
  cpks: cpks.map(({ hash, id: cpkId, flows }) => ({ hash, id: cpkId, flows: [...flows], timestamp: now })),
  timestamp: now,
});

export const openUpload = async (bytes: Uint8Array, options: OpenOptions): Promise<OpenedUpload | Refusal> => {
  const opened = await openCpi(bytes, options);
  // Corda's details: the kind of error and its text.
  if (opened.type === 'invalid') return invalidCpi(`the CPI is refused: ${opened.reason}`, { errorType: opened.code, errorMessage: opened.reason });
  const cpi = metadataOf(opened, options.now);
  const chars = cpiRecord(cpi).value.length;
  if (chars > recordValueCharsMax) return invalidCpi(`what the CPI declares (group policy and flows) takes ${chars} characters; ${recordValueCharsMax} are the most`);
  return {
    type: 'opened',
    cpi,
    content: opened.cpks.map(({ hash, bundle, sourceMap = null, schema }) => ({ hash, code: bundle, sourceMap, schema: schema?.text ?? null })),
    schemas: opened.cpks.flatMap(({ id, schema }) => (schema === undefined ? [] : [{ cpkName: id.name, schema }])),
  };
};
