/**
 * Effects on their way to the bus, in parcels: those of one round. What is added stays until the bus has acknowledged it, whatever
 * fails in between; a record that the bus will never take is found by halving, and parked (W4). Several flushes may be under way:
 * each takes what waits then. Parcels of different rounds hold effects of different keys, so their order does not matter.
 */
import { BusError, type Bus } from '../../bus/bus.ts';
import type { OutRecord } from '../../messages/grammar/record.ts';
import { messageOf } from '../operational.ts';
import type { ShellLimits } from '../config.ts';
import type { Parking } from './parking.ts';

export type Outbox = {
  /** One parcel. `sent` is called when its records are durable on the bus (or parked). */
  add(records: readonly OutRecord[], sent?: () => void): void;
  /** Resolves when everything that waits now is durable. Throws what is operational; nothing is lost then, call it again. */
  flush(): Promise<void>;
};

export type OutboxOptions = { readonly publish: Bus['publish']; readonly parking: Parking; readonly limits: ShellLimits };

type Parcel = { readonly records: readonly OutRecord[]; readonly sent: () => void };

/** The bus answered, and said no to something in the request. */
const isRefusal = (error: unknown): boolean =>
  error instanceof BusError &&
  (error.code === 'BUS_RECORD_TOO_LARGE' || error.code === 'BUS_UNKNOWN_TOPIC' || error.code === 'BUS_REFUSED');

/** How many of the first records fit into one publish; at least one. */
const fittingCount = (records: readonly OutRecord[], limits: ShellLimits): number => {
  let chars = 0;
  let count = 0;
  while (count < records.length && count < limits.recordsPerPublishMax) {
    chars += records[count]!.value.length;
    if (chars > limits.charsPerPublishMax && count > 0) break;
    count++;
  }
  return count;
};

export const createOutbox = ({ publish, parking, limits }: OutboxOptions): Outbox => {
  let waiting: Parcel[] = [];

  /** Left half first, so that records of one key keep their order. */
  const publishHalves = async (records: readonly OutRecord[]): Promise<void> => {
    try {
      await publish(records);
    } catch (error) {
      if (!isRefusal(error)) throw error;
      if (records.length === 1) return parking.effects([{ record: records[0]!, reason: messageOf(error) }]);
      const middle = records.length >> 1;
      await publishHalves(records.slice(0, middle));
      await publishHalves(records.slice(middle));
    }
  };

  const publishAll = async (records: readonly OutRecord[]): Promise<void> => {
    for (let left = records; left.length > 0; ) {
      const count = fittingCount(left, limits);
      await publishHalves(left.slice(0, count));
      left = left.slice(count);
    }
  };

  return {
    add: (records, sent = () => {}) => void waiting.push({ records, sent }),
    flush: async () => {
      const parcels = waiting;
      if (parcels.length === 0) return;
      waiting = [];
      try {
        await publishAll(parcels.flatMap(({ records }) => records));
      } catch (error) {
        // Some may be out: they are sent again, which is harmless (W3).
        waiting = [...parcels, ...waiting];
        throw error;
      }
      for (const { sent } of parcels) sent();
    },
  };
};
