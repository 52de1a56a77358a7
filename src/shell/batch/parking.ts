/** Puts records aside with their reason (W4): counted, logged, kept in the room's parking lot. */
import { streamOf, type InRecord, type OutRecord } from '../../messages/grammar/record.ts';
import type { Clock } from '../../host/clock.ts';
import { deriveId } from '../../identity/derive.ts';
import type { Log } from '../../observability/log.ts';
import type { ShellLimits } from '../config.ts';
import type { ParkedRecord, ParkingLot } from '../store.ts';
import type { ShellMetrics } from './metrics.ts';

export type Reasoned<Record> = { readonly record: Record; readonly reason: string };

export type Parking = {
  records(refused: readonly Reasoned<InRecord>[]): Promise<void>;
  /** Effects that the bus will never take. */
  effects(refused: readonly Reasoned<OutRecord>[]): Promise<void>;
};

export type ParkingOptions = {
  readonly lot: ParkingLot;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: ShellMetrics;
  readonly limits: ShellLimits;
};

const placeless = -1;

export const createParking = ({ lot, clock, log, metrics, limits }: ParkingOptions): Parking => {
  const park = async (parked: readonly ParkedRecord[]): Promise<void> => {
    if (parked.length === 0) return;
    await lot.park(parked);
    for (const { id, topic, key, reason } of parked) {
      metrics.count('parked', topic);
      log.warn('record-parked', { id, topic, key, reason });
    }
  };
  const bound = (reason: string): string => reason.slice(0, limits.parkedReasonCharsMax);
  return {
    records: (refused) =>
      park(
        refused.map(({ record, reason }) => ({
          id: `${streamOf(record)}/${record.offset}`,
          topic: record.topic,
          partition: record.partition,
          offset: record.offset,
          key: record.key,
          value: record.value,
          reason: bound(reason),
          parkedAt: clock.now(),
        })),
      ),
    effects: (refused) =>
      park(
        refused.map(({ record, reason }) => ({
          id: deriveId('parked-effect', record.topic, record.key, record.value),
          topic: record.topic,
          partition: record.partition ?? placeless,
          offset: placeless,
          key: record.key,
          value: record.value,
          reason: bound(reason),
          parkedAt: clock.now(),
        })),
      ),
  };
};

/** What is published when a parked record is driven again. The bus finds the partition of the key, as it did before. */
export const redrivenRecord = ({ topic, partition, offset, key, value }: ParkedRecord): OutRecord => ({
  topic,
  key,
  value,
  ...(offset === placeless && partition !== placeless ? { partition } : {}),
});
