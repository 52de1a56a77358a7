/** One batch of a pump: decode, hand over, commit. What the pump took charge of is not delivered again. */
import type { Consumer } from '../bus/bus.ts';
import type { Clock } from '../host/clock.ts';
import type { Delivery } from '../messages/grammar/envelope.ts';
import type { InRecord } from '../messages/grammar/record.ts';
import type { Room } from '../messages/grammar/wire.ts';
import type { Log } from '../observability/log.ts';
import type { Metrics } from '../observability/metrics.ts';
import { createCommitter } from './batch/committer.ts';
import { createIntake } from './batch/intake.ts';
import { createShellMetrics } from './batch/metrics.ts';
import { createOffsets } from './batch/offsets.ts';
import { createParking, type Reasoned } from './batch/parking.ts';
import { shellLimits, type ShellLimits } from './config.ts';
import type { Batch } from './machine-batch.ts';
import { isOperational, messageOf, type Probe } from './operational.ts';
import type { ParkingLot } from './store.ts';
import type { Pump } from './worker.ts';

export type PumpBatchOptions = {
  readonly room: Room;
  readonly pump: Pump<any>;
  readonly parking: ParkingLot;
  readonly commit: Consumer['commit'];
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly limits?: ShellLimits;
  readonly probe?: Probe;
};

type Moved = { readonly faults: readonly Reasoned<InRecord>[] };

/** A pump must not throw. One that does is tried with halves, so that the records beside the culprit are moved (W4). */
const moveAll = async (options: PumpBatchOptions, deliveries: readonly Delivery<unknown>[]): Promise<Moved> => {
  try {
    await options.pump.pump(deliveries);
    return { faults: [] };
  } catch (error) {
    if (isOperational(error)) throw error;
    options.log.error('pump-threw', { topic: options.pump.wire.topic, records: deliveries.length, error });
    if (deliveries.length === 1) return { faults: [{ record: deliveries[0]!.record, reason: messageOf(error) }] };
  }
  const middle = deliveries.length >> 1;
  const left = await moveAll(options, deliveries.slice(0, middle));
  const right = await moveAll(options, deliveries.slice(middle));
  return { faults: [...left.faults, ...right.faults] };
};

export const createPumpBatch = (options: PumpBatchOptions): Batch => {
  const { room, pump, clock, log, probe } = options;
  const limits = options.limits ?? shellLimits();
  const metrics = createShellMetrics(options.metrics, room, pump.wire.topic);
  const parking = createParking({ lot: options.parking, clock, log, metrics, limits });
  const offsets = createOffsets();
  const committer = createCommitter({ offsets, commit: options.commit, metrics, log, probe });
  const intake = createIntake({ wire: pump.wire, offsets, parking, metrics });

  const moveWaiting = async (): Promise<void> => {
    const deliveries = intake.take(limits.recordsHeldMax);
    if (deliveries.length === 0) return;
    try {
      const { faults } = await metrics.timed('publish', () => moveAll(options, deliveries));
      await parking.records(faults);
    } catch (error) {
      intake.giveBack(deliveries);
      throw error;
    }
    intake.done(deliveries);
  };

  return {
    atOnceMax: 1,
    handleBatch: async (records) => {
      intake.accept(records);
      await probe?.('polled');
      await intake.parkMalformed();
      await moveWaiting();
      await probe?.('published');
      committer.commit();
    },
    readyAt: () => (intake.hasReady() ? 0 : undefined),
    heldCount: intake.count,
    committed: committer.committed,
  };
};
