/**
 * Records as Kafka keeps them.
 *
 * On a compacted topic Kafka forgets a key whose value is null, and nothing else; Cordage says the same by an envelope with a
 * null body, which its readers want to see. So such a record goes out with a null value, and its text in a header.
 */
import type { MessageRecord, RecordsBatch } from '@platformatic/kafka';
import type { LogRecord, NewRecord } from '../engine.ts';

const removedHeader = 'cordage-removed';
const removedHeaderBytes = Buffer.from(removedHeader);
/** Bit 5 of a batch: markers of transactions, which nobody reads. */
const controlAttribute = 1 << 5;

/** What a record costs beside its text in a batch, at most: lengths, attributes, deltas. */
const overheadBytes = 32;

export type Outgoing = { readonly message: MessageRecord; readonly bytes: number; readonly record: LogRecord };

/** `topic` is Kafka's name; `record` is as the caller will see it, its offset still to come. */
export const outgoing = (topic: string, { given, partition, now, removes }: { given: NewRecord; partition: number; now: number; removes: boolean }): Outgoing => {
  const headers = new Map<Buffer, Buffer>();
  for (const { key, value } of given.headers ?? []) headers.set(Buffer.from(key), Buffer.from(value));
  const value = Buffer.from(given.value);
  if (removes) headers.set(removedHeaderBytes, value);
  const key = given.key === undefined ? null : Buffer.from(given.key);
  const timestamp = given.timestamp ?? now;
  // The client's types leave no room for null, which its writer takes and Kafka wants.
  const message = { topic, partition, key, value: removes ? null : value, headers, timestamp: BigInt(timestamp) } as unknown as MessageRecord;
  let bytes = value.length + (key?.length ?? 0) + overheadBytes;
  for (const header of given.headers ?? []) bytes += 3 * (header.key.length + header.value.length) + overheadBytes;
  const record = { topic: given.topic, partition, offset: -1, timestamp, key: given.key ?? '', value: given.value };
  return { message, bytes, record: given.headers === undefined ? record : { ...record, headers: given.headers } };
};

/** The records of a batch from an offset on, as callers see them. */
export const incoming = (topic: string, partition: number, batch: RecordsBatch, from: number): LogRecord[] => {
  if ((batch.attributes & controlAttribute) !== 0) return [];
  const first = Number(batch.firstOffset);
  const records: LogRecord[] = [];
  for (const { offsetDelta, timestampDelta, key, value, headers } of batch.records) {
    const offset = first + offsetDelta;
    if (offset < from) continue;
    const timestamp = Number(batch.firstTimestamp + timestampDelta);
    const record = { topic, partition, offset, timestamp, key: textOf(key), value: textOf(value) };
    records.push(headers.length === 0 ? record : withHeaders(record, headers));
  }
  return records;
};

/** Where to read after a batch; what compaction removed at its end is behind it, too. */
export const endOf = (batch: RecordsBatch): number => Number(batch.firstOffset) + batch.lastOffsetDelta + 1;

/** Null in Kafka; its type says otherwise. */
const textOf = (bytes: Buffer | null): string => bytes?.toString('utf8') ?? '';

const withHeaders = (record: LogRecord, pairs: readonly (readonly [Buffer | null, Buffer | null])[]): LogRecord => {
  const headers = pairs.map(([key, value]) => ({ key: textOf(key), value: textOf(value) }));
  const removed = headers.find(({ key }) => key === removedHeader);
  const others = headers.filter((header) => header !== removed);
  return { ...record, value: removed?.value ?? record.value, ...(others.length === 0 ? {} : { headers: others }) };
};
