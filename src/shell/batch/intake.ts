/**
 * The way in of a batch of one wire: what was decoded waits here until it is done; what was not is parked. A batch takes what it
 * works on, and with it those keys: their later records wait until they are done or given back, so that each key keeps its order.
 */
import { decode, type Delivery } from '../../messages/grammar/envelope.ts';
import type { InRecord } from '../../messages/grammar/record.ts';
import type { Wire } from '../../messages/grammar/wire.ts';
import type { ShellMetrics } from './metrics.ts';
import type { Offsets } from './offsets.ts';
import type { Parking, Reasoned } from './parking.ts';

export type Intake = {
  accept(records: readonly InRecord[]): void;
  /** What nobody has taken of keys that nobody has taken, in the order in which it came. Taken from now on. */
  take(countMax: number): readonly Delivery<unknown>[];
  /** What was taken is to be taken again. */
  giveBack(deliveries: readonly Delivery<unknown>[]): void;
  /** Ends deliveries that were taken. */
  done(deliveries: readonly Delivery<unknown>[]): void;
  /** Ends those that nobody has taken and for which this holds; gives how many. */
  drop(isOver: (delivery: Delivery<unknown>) => boolean): number;
  /** True when there is something to take. */
  hasReady(): boolean;
  /** All that is not done. */
  count(): number;
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
  const takenKeys = new Set<string>();
  let takenCount = 0;
  const accept = (record: InRecord): void => {
    // A record that comes again while it is in work has come once.
    if (!offsets.open(record)) return;
    const decoded = decode<unknown>(wire, record);
    if (decoded.type === 'message') return void waiting.push(decoded.delivery);
    if (decoded.type === 'removed') return offsets.done(record);
    metrics.count('malformed', record.topic);
    malformed.push({ record, reason: decoded.reason });
  };
  const release = (deliveries: readonly Delivery<unknown>[]): void => {
    takenCount -= deliveries.length;
    for (const { key } of deliveries) takenKeys.delete(key);
  };
  return {
    accept: (records) => {
      if (records.length > 0) metrics.batch(records);
      for (const record of records) accept(record);
    },
    take: (countMax) => {
      const taken: Delivery<unknown>[] = [];
      const left: Delivery<unknown>[] = [];
      for (const delivery of waiting) (taken.length < countMax && !takenKeys.has(delivery.key) ? taken : left).push(delivery);
      for (const { key } of taken) takenKeys.add(key);
      takenCount += taken.length;
      waiting = left;
      return taken;
    },
    giveBack: (deliveries) => {
      release(deliveries);
      waiting = [...deliveries, ...waiting];
    },
    done: (deliveries) => {
      release(deliveries);
      for (const { record } of deliveries) offsets.done(record);
    },
    drop: (isOver) => {
      const over = waiting.filter(isOver);
      if (over.length === 0) return 0;
      waiting = waiting.filter((delivery) => !over.includes(delivery));
      for (const { record } of over) offsets.done(record);
      return over.length;
    },
    hasReady: () => waiting.some(({ key }) => !takenKeys.has(key)),
    count: () => waiting.length + takenCount,
    parkMalformed: async () => {
      const parked = malformed;
      await parking.records(parked);
      for (const { record } of parked) offsets.done(record);
      malformed = malformed.filter((one) => !parked.includes(one));
    },
  };
};
