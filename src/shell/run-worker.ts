/**
 * Runs a worker: its machine, its answering wires and its pumps, each in a loop of its own, so that a slow one delays no
 * other. The same for every room; what a room does stands in its worker.
 */
import type { Bus, Consumer } from '../bus/bus.ts';
import type { Clock } from '../host/clock.ts';
import type { Log } from '../observability/log.ts';
import type { Metrics } from '../observability/metrics.ts';
import { createAlarm } from './batch/alarm.ts';
import { healthOf, startLoop, type Health, type Loop } from './batch/loop.ts';
import { redrivenRecord } from './batch/parking.ts';
import { createAnswerBatch } from './answer-batch.ts';
import { shellLimits, type ShellLimits } from './config.ts';
import { createDirectAnswers, type DirectWays } from './direct.ts';
import type { Ears } from './ears.ts';
import { createMachineBatch, machineTopics, type Batch } from './machine-batch.ts';
import type { Probe } from './operational.ts';
import { createPumpBatch } from './pump-batch.ts';
import type { AnswerStore, ParkedRecord, ParkingLot, StateStore } from './store.ts';
import { createTimers, type Timers } from './timers.ts';
import { storesAnswers } from './work-out.ts';
import type { Worker } from './worker.ts';

export type { Health } from './batch/loop.ts';

export type RunWorkerOptions = {
  readonly worker: Worker;
  readonly bus: Bus;
  /** Stable name of this replica. */
  readonly instance: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Required by a worker with a machine. */
  readonly states?: StateStore;
  readonly parking: ParkingLot;
  /** Required by a worker that stores answers. */
  readonly answers?: AnswerStore<any>;
  /** Awaited at each point of every batch; what it throws is treated as a fault of the loop. */
  readonly probe?: Probe;
  readonly limits?: Partial<ShellLimits>;
  /** Chance for back-offs. */
  readonly random?: () => number;
  /** Rooms of this process that are told at once what this room's states owe. */
  readonly ears?: Ears;
};

export type RunningWorker = {
  /** By topic, the requests that other rooms of this process may ask of this one without the bus. */
  readonly direct: DirectWays;
  /** The worst of its loops: DOWN passes by itself, ERROR needs somebody. */
  health(): Health;
  /** Finishes what is in work, commits, leaves the groups, closes the worker. */
  stop(): Promise<void>;
  /** The newest parked records. */
  parked(): Promise<readonly ParkedRecord[]>;
  /** Publishes parked records again on their topics; returns how many were there. */
  redrive(ids: readonly string[]): Promise<number>;
};

type Context = RunWorkerOptions & { readonly bounds: ShellLimits; readonly chance: () => number };

type Heard = { readonly group: string; readonly topics: readonly string[]; readonly early?: boolean };

const openLoop = (context: Context, { group, topics, early = false }: Heard, makeBatch: (commit: Consumer['commit']) => Batch): Loop => {
  const { bus, instance, clock, log, bounds, chance } = context;
  const consumer = bus.consume({ group, instance, topics, early });
  const batch = makeBatch((positions) => consumer.commit(positions));
  return startLoop({ name: group, consumer, batch, clock, log: log.with({ loop: group }), limits: bounds, random: chance });
};

/** What the three kinds of batch share. */
const shared = ({ worker, parking, bus, clock, log, metrics, bounds, probe }: Context) => ({
  room: worker.room,
  parking,
  publish: bus.publish,
  clock,
  log: log.with({ room: worker.room }),
  metrics,
  limits: bounds,
  ...(probe === undefined ? {} : { probe }),
});

const startTimers = (context: Context, states: StateStore): Timers | undefined => {
  const { worker, bus, clock, log, metrics, bounds, chance } = context;
  const wire = worker.machine?.wake?.wire;
  if (wire === undefined) return undefined;
  return createTimers({ room: worker.room, wire, states, publish: bus.publish, clock, log, metrics, limits: bounds, random: chance });
};

/** Deletes old tombstones, a page at a time. */
const startSweeper = ({ clock, log, bounds }: Context, states: StateStore): (() => void) => {
  const sweep = async (): Promise<void> => {
    try {
      const swept = await states.sweep(clock.now() - bounds.tombstoneKeepMs, bounds.sweepCountMax);
      alarm.set(clock.now() + (swept === bounds.sweepCountMax ? bounds.wakeBacklogMs : bounds.sweepIntervalMs));
    } catch (error) {
      log.warn('sweep-failed', { error });
      alarm.set(clock.now() + bounds.sweepIntervalMs);
    }
  };
  const alarm = createAlarm(clock, () => void sweep());
  alarm.set(clock.now() + bounds.sweepIntervalMs);
  return alarm.stop;
};

type Part = { health(): Health; stop(): Promise<void> };

const startMachine = (context: Context): Part[] => {
  const { worker, states, chance, ears } = context;
  const { machine, room } = worker;
  if (machine === undefined) return [];
  if (states === undefined) throw new Error(`the ${room} room has a machine, so it needs a state store`);
  const timers = startTimers(context, states);
  const onSaved = timers?.saved;
  const loop = openLoop(context, { group: room, topics: machineTopics(machine), early: machine.hearsEarly === true }, (commit) =>
    createMachineBatch({ ...shared(context), machine, states, commit, random: chance, ...(onSaved === undefined ? {} : { onSaved }), ...(ears === undefined ? {} : { ears }) }),
  );
  timers?.start();
  const stopSweeper = startSweeper(context, states);
  const stop = async (): Promise<void> => {
    stopSweeper();
    await timers?.stop();
    await loop.stop();
  };
  const parts: Part[] = [{ health: loop.health, stop }];
  if (timers !== undefined) parts.push({ health: () => healthOf(`${room} timers`, timers.fault()), stop: async () => {} });
  return parts;
};

const startAnswers = (context: Context): Part[] => {
  const { worker, answers, states } = context;
  return (worker.answers ?? []).map((answering) =>
    openLoop(context, { group: `${worker.room}/${answering.wire.topic}`, topics: [answering.wire.topic] }, (commit) =>
      createAnswerBatch({
        ...shared(context),
        answering,
        commit,
        ...(answers === undefined ? {} : { answers }),
        ...(states === undefined ? {} : { states }),
      }),
    ),
  );
};

const openDirectWays = ({ worker, answers, clock, log, metrics, bounds: limits }: Context): DirectWays => {
  const { room } = worker;
  if (answers === undefined) return new Map();
  const open = (worker.answers ?? []).filter((answering) => answering.isIndependent === true && storesAnswers(answering));
  return new Map(open.map((answering) => [answering.wire.topic, createDirectAnswers({ room, answering, answers, clock, log: log.with({ room }), metrics, limits })]));
};

const startPumps = (context: Context): Part[] =>
  (context.worker.pumps ?? []).map((pump) =>
    openLoop(context, { group: `${context.worker.room}/${pump.wire.topic}`, topics: [pump.wire.topic] }, (commit) => createPumpBatch({ ...shared(context), pump, commit })),
  );

const ranks = { UP: 0, DOWN: 1, ERROR: 2 } as const;

const worstOf = (room: string, healths: readonly Health[]): Health => {
  const ill = healths.filter(({ status }) => status !== 'UP');
  if (ill.length === 0) return { status: 'UP', detail: `${room} is up` };
  const [worst] = ill.toSorted((one, other) => ranks[other.status] - ranks[one.status]);
  return { status: worst!.status, detail: ill.map(({ detail }) => detail).join('; ') };
};

export const runWorker = (options: RunWorkerOptions): RunningWorker => {
  const { worker, bus, parking } = options;
  const context: Context = { ...options, bounds: shellLimits(options.limits), chance: options.random ?? Math.random };
  const parts = [...startMachine(context), ...startAnswers(context), ...startPumps(context)];
  let stopped: Promise<void> | undefined;
  const stop = async (): Promise<void> => {
    await Promise.all(parts.map((part) => part.stop()));
    await worker.close?.();
  };
  return {
    direct: openDirectWays(context),
    health: () => worstOf(worker.room, parts.map((part) => part.health())),
    stop: () => (stopped ??= stop()),
    parked: () => parking.list(context.bounds.parkedListMax),
    redrive: async (ids) => {
      const found = await parking.find(ids);
      if (found.length === 0) return 0;
      // Published first: a crash in between sends them twice, which is harmless (W3), rather than never.
      await bus.publish(found.map(redrivenRecord));
      await parking.take(found.map(({ id }) => id));
      return found.length;
    },
  };
};
