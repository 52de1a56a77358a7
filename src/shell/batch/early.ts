/**
 * Records that are heard early (B7 of bus.ts): they are stepped while the bus brings them to disk.
 *
 * - **E1** nothing is saved, parked, told, published or committed for a record before it is durable;
 * - **E2** a record that could not be written was never there: its key's round is void, and what comes with its offset is another
 *   record. It is taken back in the turn in which its promise rejects, which is before anything else can come with its offset.
 */
import type { HeardRecord } from '../../messages/grammar/record.ts';
import type { Queued } from './lanes.ts';

/** Resolves when all of them are durable, rejects when one will not be; `undefined` where all were when they were heard. */
export const durableOf = (queued: readonly Queued[]): Promise<unknown> | undefined => {
  const waiting = new Set(queued.flatMap(({ record: { durable } }) => (durable === undefined ? [] : [durable])));
  if (waiting.size === 0) return undefined;
  const all = Promise.all(waiting);
  // Whoever asks of it is told; nobody must.
  all.catch(() => {});
  return all;
};

/** E2: calls back when this record cannot be written. */
export const onTakenBack = ({ durable }: HeardRecord, takenBack: () => void): void => void durable?.catch(takenBack);

/** Resolves when it is known of each whether it is durable. */
export const settled = async (records: Iterable<HeardRecord>): Promise<void> => {
  const waiting = new Set<Promise<void>>();
  for (const { durable } of records) if (durable !== undefined) waiting.add(durable);
  if (waiting.size > 0) await Promise.allSettled(waiting);
};
