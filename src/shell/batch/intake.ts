/** The way in of a batch of one wire: what was decoded waits here until it is done; what was not is parked. */
import { decode, type Delivery } from '../../messages/grammar/envelope.ts';
import type { InRecord } from '../../messages/grammar/record.ts';
import type { Wire } from '../../messages/grammar/wire.ts';
import type { ShellMetrics } from './metrics.ts';
import type { Offsets } from './offsets.ts';
import type { Parking, Reasoned } from './parking.ts';

export type Intake = {
  accept(records: readonly InRecord[]): void;
  /** In the order in which they came. */
  waiting(): readonly Delivery<unknown>[];
  done(deliveries: readonly Delivery<unknown>[]): void;
  /** Parks what could not be read, so that its offsets may be committed (W4). */
  parkMalformed(): Promise<void>;
};

export type IntakeOptions = {
  readonly wire: Wire<any, any>;
  readonly offsets: Offsets;
  readonly parking: Parking;
  readonly metrics: ShellMetrics;
};

export const createIntake = ({ wire, offsets, parking, metrics }: IntakeOptions): Intake => {
  let waiting: Delivery<unknown>[] = [];
  let malformed: Reasoned<InRecord>[] = [];
  const accept = (record: InRecord): void => {
    // A record that comes again while it is in work has come once.
    if (!offsets.open(record)) return;
    const decoded = decode<unknown>(wire, record);
    if (decoded.type === 'message') return void waiting.push(decoded.delivery);
    if (decoded.type === 'removed') return offsets.done(record);
    metrics.count('malformed', record.topic);
    malformed.push({ record, reason: decoded.reason });
  };
  return {
    accept: (records) => {
      if (records.length > 0) metrics.batch(records);
      for (const record of records) accept(record);
    },
    waiting: () => waiting,
    done: (deliveries) => {
      for (const { record } of deliveries) offsets.done(record);
      const done = new Set(deliveries);
      waiting = waiting.filter((delivery) => !done.has(delivery));
    },
    parkMalformed: async () => {
      await parking.records(malformed);
      for (const { record } of malformed) offsets.done(record);
      malformed = [];
    },
  };
};
