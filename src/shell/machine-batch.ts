/**
 * One batch of a machine: the five points of the shell, for a loop or a simulator to drive.
 *
 *      poll ──► group by key ──► load ──► step ──► save ──► publish ──► commit
 *                  ▲                       │ later, conflict, thrown: this key only
 *                  └───────────────────────┘
 *
 * Batches overlap: while one is saved and published, the next is loaded and stepped. Steps are one at a time, unless the machine bears
 * more, and a key is in one round at a time, from the moment its records are taken until its effects are on the bus.
 *
 * Why nothing that is owed is ever lost, and nothing is done twice (W1–W5), whoever crashes, stalls or loses a partition:
 *
 * - **M1** A record is done when the bus has acknowledged every effect of its round, and an offset is committed only when all
 *   records before it are done. So a record whose effects may be missing is delivered again, to whoever owns the partition then. (No effect
 *   in this sense is what one who waits in this process alone needs: H3 of `ears.ts`.)
 * - **M2** A save replaces what is owed only by more: effects not known to be on the bus are carried over, in order. They
 *   are dropped from memory only when the publish that contained them was acknowledged to this replica.
 * - **M3** A state read from the store is taken to owe all it lists, and that is sent with the batch that read it. If a
 *   replica died between save and publish, the record behind that save comes again (M1); its new owner reads the state,
 *   finds the record handled, sends what is owed, and only then commits. A version is written once, by one replica (saves
 *   are guarded), so "this version is settled" stays true for the replica that settled it, even after eviction.
 * - **M4** A key's next round begins when the effects of its last one are acknowledged. So `handled` of a saved state may contain
 *   records of earlier rounds that changed nothing: their effects are out; and effects of one key keep their order. Rounds of
 *   different keys share nothing that is saved or sent, so their order does not matter.
 * - **M5** A record is finished only on a state known to be current: just read, or guarded by a save, or compared with the
 *   store's version in this round. A replica that lost a partition and got it back may hold old heads; what it decided on
 *   one, be it "nothing to do", "poison", "handled before" or "not due", is void and decided again. (Without this, an
 *   answer to a request that another replica had made in between would be ignored as unknown, and committed.)
 * - **M6** A parked record is in the lot before its offset can be committed or covered by `handled`.
 * - **M7** A removed key stays as a tombstone with what it handled and owes, so that the record that removed it, coming
 *   again, neither creates it anew nor loses its effects. Tombstones are swept when no repeat can come any more.
 *
 * Zombies: a replica that lost its partition while a batch was in work saves over nothing newer (guard), sends at most
 * repeats (derived ids, W3), and its commit is left out by the bus (B4). Two topics of one key: equal partition numbers have
 * one owner (B3), and `handled` counts each stream for itself. A partition that comes back begins at its committed offset;
 * the commit position follows it backwards (offsets.ts), so nothing is committed that was not seen again.
 *
 * The order of one key: its records are stepped in the order they came; a key that waits keeps its later records behind
 * it, in memory, and its partition's commit before it (W5).
 *
 * A machine may hear its records before the bus has them on disk, and step them meanwhile: `batch/early.ts` says what waits until it has (E1, E2).
 */
import type { Bus, Consumer } from '../bus/bus.ts';
import type { Clock } from '../host/clock.ts';
import { decode } from '../messages/grammar/envelope.ts';
import { streamOf, type HeardRecord } from '../messages/grammar/record.ts';
import type { Room } from '../messages/grammar/wire.ts';
import type { Log } from '../observability/log.ts';
import type { Metrics } from '../observability/metrics.ts';
import { createHeadCache } from './batch/head-cache.ts';
import { createLanes, type Queued } from './batch/lanes.ts';
import { createShellMetrics, type ShellMetrics } from './batch/metrics.ts';
import { createOffsets } from './batch/offsets.ts';
import { createOutbox } from './batch/outbox.ts';
import { createParking, type Reasoned } from './batch/parking.ts';
import { saveRound, sendRound, takeRound, type RoundOptions, type SavedDueAt } from './batch/round.ts';
import { createCommitter } from './batch/committer.ts';
import { onTakenBack, settled } from './batch/early.ts';
import { shellLimits, type ShellLimits } from './config.ts';
import { noEars, type Ears } from './ears.ts';
import { messageOf, type Probe } from './operational.ts';
import type { ParkingLot, StateStore } from './store.ts';
import type { Hearing, Machine } from './worker.ts';

export type MachineBatchOptions = {
  readonly room: Room;
  readonly machine: Machine<any, any, any>;
  readonly states: StateStore;
  readonly parking: ParkingLot;
  readonly publish: Bus['publish'];
  readonly commit: Consumer['commit'];
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly limits?: ShellLimits;
  /** Chance for the back-off's jitter. */
  readonly random?: () => number;
  readonly probe?: Probe;
  readonly onSaved?: (saved: readonly SavedDueAt[]) => void;
  /** Told at once what a saved state owes. */
  readonly ears?: Ears;
};

export type Batch = {
  /** How many `handleBatch` may be under way at once. */
  readonly atOnceMax: number;
  /** How long a batch with few records waits for more: while others step and save, so that it would wait in any case. Default 0. */
  lingerMs?(): number;
  /**
   * Handles what was polled and what waits; resolves when its effects are on the bus, while the commit is under way.
   * Throws what is operational: then, when all others have ended, call it again (with no records) after a back-off; nothing is lost.
   */
  handleBatch(records: readonly HeardRecord[]): Promise<void>;
  /** When `handleBatch` has something to do even if nothing is polled. */
  readyAt(): number | undefined;
  /** Records that wait in memory. */
  heldCount(): number;
  /** Resolves when the last commit is through, or has failed (it is then repeated with the next batch). */
  committed(): Promise<void>;
};

/** The topics a machine hears, its wake among them. */
export const machineTopics = ({ hearings, wake }: Machine<any, any, any>): string[] => [
  ...hearings.map(({ wire }) => wire.topic),
  ...(wake === undefined ? [] : [wake.wire.topic]),
];

type Read = { readonly type: 'queued'; readonly queued: Queued } | { readonly type: 'malformed'; readonly reason: string } | { readonly type: 'nothing' };

/** PostgreSQL's text holds no NUL, and half a surrogate pair would come back as another key. */
const isSoundKey = (key: string): boolean => key.isWellFormed() && !key.includes('\0');

const createReader = (machine: Machine<any, any, any>): ((record: HeardRecord) => Read) => {
  const hearings = new Map<string, Hearing<any, unknown>>(machine.hearings.map((hearing) => [hearing.wire.topic, hearing]));
  const { wake } = machine;
  const wakeTopic = wake?.wire.topic;
  if (wake !== undefined) hearings.set(wake.wire.topic, { wire: wake.wire, toEvent: ({ body }) => wake.toEvent(body.dueAt) });
  return (record) => {
    const hearing = hearings.get(record.topic);
    if (hearing === undefined) return { type: 'malformed', reason: `nobody here hears ${record.topic}` };
    if (!isSoundKey(record.key)) return { type: 'malformed', reason: 'the key holds a NUL or half a surrogate pair' };
    const decoded = decode(hearing.wire, record);
    if (decoded.type === 'malformed') return decoded;
    if (decoded.type === 'removed') return { type: 'nothing' };
    const { delivery } = decoded;
    try {
      const event = hearing.toEvent(delivery);
      // The wake wire's own schema has just read this body.
      const wakeDueAt = record.topic === wakeTopic ? (delivery.body as { dueAt: number }).dueAt : undefined;
      return { type: 'queued', queued: { record, stream: streamOf(record), event, wakeDueAt, isVoid: false, unsaid: undefined } };
    } catch (error) {
      return { type: 'malformed', reason: `no event could be made of it: ${messageOf(error)}` };
    }
  };
};

/** Runs works in the order in which they were handed in, so many at once. */
const createTurns = (atOnceMax: number) => {
  const waiting: (() => void)[] = [];
  let free = atOnceMax;
  return async <Result>(work: () => Promise<Result>): Promise<Result> => {
    if (free > 0) free--;
    else await new Promise<void>((resolve) => void waiting.push(resolve));
    try {
      return await work();
    } finally {
      const next = waiting.shift();
      if (next === undefined) free++;
      else next();
    }
  };
};

const assemble = (options: MachineBatchOptions, metrics: ShellMetrics): RoundOptions => {
  const { machine, states, clock, log, publish, probe, onSaved } = options;
  const limits = options.limits ?? shellLimits();
  const parking = createParking({ lot: options.parking, clock, log, metrics, limits });
  return {
    machine,
    states,
    cache: createHeadCache(states, limits),
    lanes: createLanes(),
    offsets: createOffsets(),
    outbox: createOutbox({ publish, parking, limits }),
    ears: options.ears ?? noEars,
    parking,
    clock,
    log,
    metrics,
    limits,
    random: options.random ?? Math.random,
    probe,
    onSaved,
  };
};

export const createMachineBatch = (options: MachineBatchOptions): Batch => {
  const metrics = createShellMetrics(options.metrics, options.room, options.room);
  const context = assemble(options, metrics);
  const { machine, cache, lanes, offsets, outbox, parking, log, probe } = context;
  const read = createReader(machine);
  const committer = createCommitter({ offsets, commit: options.commit, metrics, log, probe });
  /** Malformed records that are not in the lot yet. */
  let refused: Reasoned<HeardRecord>[] = [];

  /** E2 */
  const takeBack = (record: HeardRecord, queued?: Queued): void => {
    metrics.count('unwritten', record.topic);
    offsets.takeBack(record);
    // Its lane is rid of it at the end of the round that takes it.
    if (queued !== undefined) queued.isVoid = true;
    refused = refused.filter((one) => one.record !== record);
  };
  const accept = (record: HeardRecord): void => {
    if (!offsets.open(record)) return;
    const result = read(record);
    onTakenBack(record, () => takeBack(record, result.type === 'queued' ? result.queued : undefined));
    if (result.type === 'queued') return lanes.add(result.queued);
    if (result.type === 'nothing') return record.durable === undefined ? offsets.done(record) : void record.durable.then(() => offsets.done(record), () => {});
    metrics.count('malformed', record.topic);
    refused.push({ record, reason: result.reason });
  };
  const parkRefused = async (): Promise<void> => {
    await settled(refused.map(({ record }) => record));
    const parked = refused;
    await parking.records(parked);
    for (const { record } of parked) offsets.done(record);
    refused = refused.filter((one) => !parked.includes(one));
  };
  /** As many steps at a time as the machine's memory bears: whoever waits finds more keys ready. */
  const stepsAtOnceMax = machine.stepsAtOnceMax ?? 1;
  const stepping = createTurns(stepsAtOnceMax);
  /** Rounds that are stepped or saved now. */
  let busy = 0;
  const runRound = async (): Promise<boolean> => {
    busy++;
    try {
      const round = await stepping(() => takeRound(context));
      if (round === undefined) return false;
      await saveRound(context, round);
    } finally {
      busy--;
    }
    await sendRound(context);
    return true;
  };

  return {
    atOnceMax: context.limits.batchesAtOnceMax + stepsAtOnceMax - 1,
    lingerMs: () => (stepsAtOnceMax > 1 && busy > 0 ? context.limits.lingerMs : 0),
    handleBatch: async (records) => {
      if (records.length > 0) metrics.batch(records);
      for (const record of records) accept(record);
      await probe?.('polled');
      await outbox.flush();
      await parkRefused();
      // Each round takes what is ready; the last finds nothing.
      while (await runRound());
      const evicted = cache.trim(lanes.isTaken);
      if (evicted.length > 0) machine.forget?.(evicted);
      committer.commit();
    },
    readyAt: lanes.readyAt,
    heldCount: lanes.count,
    committed: committer.committed,
  };
};
