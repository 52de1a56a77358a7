/** The loops of a room, a step at a time: the shell's own batches, driven by whoever decides what happens next. */
import type { Consumer } from '../bus/bus.ts';
import type { Clock } from '../host/clock.ts';
import type { Log } from '../observability/log.ts';
import type { Metrics } from '../observability/metrics.ts';
import { createAnswerBatch } from '../shell/answer-batch.ts';
import type { ShellLimits } from '../shell/config.ts';
import { createMachineBatch, machineTopics, type Batch, type MachineBatchOptions } from '../shell/machine-batch.ts';
import type { Probe } from '../shell/operational.ts';
import { createPumpBatch } from '../shell/pump-batch.ts';
import type { AnswerStore, ParkingLot, StateStore } from '../shell/store.ts';
import type { Worker } from '../shell/worker.ts';
import type { StepBus } from './step-bus.ts';

/** One loop of a room: what the shell's own loop does, a step at a time. */
export type StepLoop = {
  readonly name: string;
  ready(now: number): boolean;
  /** When it has something to do although nothing comes. */
  readyAt(): number | undefined;
  step(): Promise<void>;
};

export type StepLoopsOptions = {
  readonly worker: Worker;
  readonly bus: StepBus;
  /** Stands before the names of the loops. */
  readonly origin: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly limits: ShellLimits;
  readonly parking: ParkingLot;
  /** Of a room with a machine. */
  readonly states?: StateStore;
  /** Of a room that stores answers. */
  readonly answers?: AnswerStore<any>;
  /** How the room's records leave. Default: the bus's own. */
  readonly publish?: StepBus['publish'];
  readonly onSaved?: NonNullable<MachineBatchOptions['onSaved']>;
  readonly probe?: Probe;
  readonly random?: () => number;
};

export const openStepLoops = ({ worker, bus, origin, states, answers, onSaved, probe, publish = bus.publish, random = () => 0, ...rest }: StepLoopsOptions): StepLoop[] => {
  const { room, machine } = worker;
  const common = { ...rest, room, publish, random, ...(probe === undefined ? {} : { probe }) };
  const loopOf = (group: string, topics: readonly string[], makeBatch: (commit: Consumer['commit']) => Batch): StepLoop => {
    const consumer = bus.consume({ group, instance: 'one', topics });
    const batch = makeBatch((positions) => consumer.commit(positions));
    // After an operational fault the shell's loop calls the batch again, whether records come or not.
    let unfinished = false;
    return {
      name: `${origin} ${group}`,
      ready: (now) => unfinished || bus.waiting(group, topics) > 0 || (batch.readyAt() ?? Infinity) <= now,
      readyAt: batch.readyAt,
      step: async () => {
        const records = unfinished ? [] : await consumer.poll({ timeoutMs: 0, recordsMax: rest.limits.recordsPerPollMax });
        unfinished = true;
        await batch.handleBatch(records);
        unfinished = false;
        await batch.committed();
      },
    };
  };
  const loops: StepLoop[] = [];
  if (machine !== undefined && states !== undefined) {
    loops.push(loopOf(room, machineTopics(machine), (commit) => createMachineBatch({ ...common, machine, states, commit, ...(onSaved === undefined ? {} : { onSaved }) })));
  }
  if (answers !== undefined) {
    for (const answering of worker.answers ?? []) {
      loops.push(loopOf(`${room}/${answering.wire.topic}`, [answering.wire.topic], (commit) => createAnswerBatch({ ...common, answering, answers, commit })));
    }
  }
  for (const pump of worker.pumps ?? []) loops.push(loopOf(`${room}/${pump.wire.topic}`, [pump.wire.topic], (commit) => createPumpBatch({ ...common, pump, commit })));
  return loops;
};
