/**
 * The sandbox in worker threads. A compartment lives on one thread of the pool; turns travel in batches.
 *
 * A turn that runs too long, or outgrows its thread's heap, ends the thread in the middle: every fiber there is lost and is
 * rebuilt from its journal when its flow is stepped again. The flow that was running is only a suspect (the machine may have
 * stalled, the memory may be another's): it gets a second trial alone, on the quarantine thread. Stopped there too, it has failed.
 * Its compartment stays in quarantine for a while, so that more flows of the same kind cannot take the others' thread down.
 *
 *     pool thread ── stopped ──▶ suspect ── alone, in quarantine ──┬─ runs ──▶ cleared, lives there
 *                                                                  └─ stopped ──▶ fault
 */
import type { Clock } from '../../../host/clock.ts';
import type { StartThread } from '../../../host/threads.ts';
import type { Log } from '../../../observability/log.ts';
import type { Counter, Metrics } from '../../../observability/metrics.ts';
import { createLane } from './lane.ts';
import type { Lane, LaneLimits, LaneLoss } from './lane.ts';
import { SandboxError } from './sandbox.ts';
import type { Sandbox, Turn, TurnResult } from './sandbox.ts';

export type ThreadSandboxOptions = {
  readonly limits: LaneLimits & { readonly threadCount: number; readonly quarantineMs: number };
  readonly startThread: StartThread;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
};

type Pool = {
  readonly options: ThreadSandboxOptions;
  readonly lanes: readonly Lane[];
  /** Started when it is first needed. */
  quarantine: Lane | undefined;
  readonly suspects: Set<string>;
  /** Compartments in quarantine, and until when. */
  readonly confined: Map<string, number>;
  readonly stops: Counter;
  /** Turns in quarantine run one after the other. */
  queue: Promise<unknown>;
  closed: boolean;
};

/** Suspects remembered: one that never comes back must not be remembered for ever. */
const suspectsMax = 10_000;

export const createThreadSandbox = (options: ThreadSandboxOptions): Sandbox => {
  const { limits, metrics } = options;
  const pool: Pool = {
    options,
    lanes: Array.from({ length: limits.threadCount }, (_, i) => newLane(options, `pool-${i}`)),
    quarantine: undefined,
    suspects: new Set(),
    confined: new Map(),
    stops: metrics.counter('cordage_flow_sandbox_threads_stopped_total', 'Sandbox threads that were stopped, by reason.'),
    queue: Promise.resolve(),
    closed: false,
  };
  return {
    run: (turns) => {
      if (pool.closed) return Promise.reject(new SandboxError('the sandbox is closed'));
      return runTurns(pool, turns);
    },
    holds: (flowId) => laneOf(pool, flowId) !== undefined,
    forget: (flowIds) => {
      for (const lane of allLanes(pool)) lane.forget(flowIds);
    },
    close: async () => {
      pool.closed = true;
      await Promise.all(allLanes(pool).map((lane) => lane.close()));
    },
  };
};

const newLane = ({ limits, startThread, clock, log }: ThreadSandboxOptions, name: string): Lane =>
  createLane({ limits, startThread, clock, log: log.with({ thread: name }) });

const allLanes = (pool: Pool): readonly Lane[] => (pool.quarantine === undefined ? pool.lanes : [...pool.lanes, pool.quarantine]);
const laneOf = (pool: Pool, flowId: string): Lane | undefined => allLanes(pool).find((lane) => lane.holds(flowId));

// ── Placing and running ──────────────────────────────────────────────────────────────────────────────────────────────

const runTurns = async (pool: Pool, turns: readonly Turn[]): Promise<readonly TurnResult[]> => {
  const byLane = new Map<Lane, number[]>();
  const alone: number[] = [];
  for (const [place, turn] of turns.entries()) {
    const lane = laneFor(pool, turn);
    if (lane === pool.quarantine) {
      alone.push(place);
      continue;
    }
    const places = byLane.get(lane);
    if (places === undefined) byLane.set(lane, [place]);
    else places.push(place);
  }
  const results: TurnResult[] = [];
  const runHere = async (lane: Lane, places: readonly number[]): Promise<void> => {
    const run = await lane.run(places.map((place) => turns[place]!));
    places.forEach((place, i) => (results[place] = run.type === 'ran' ? run.results[i]! : loss(pool, turns[place]!, run, run.suspect === i)));
  };
  const confined = alone.map((place) => runAlone(pool, turns[place]!).then((result) => (results[place] = result)));
  await Promise.all([...[...byLane].map(([lane, places]) => runHere(lane, places)), ...confined]);
  return results;
};

/** A fiber stays where it is; a new one goes to quarantine when it, or its compartment, is under suspicion. */
const laneFor = (pool: Pool, turn: Turn): Lane => {
  const held = laneOf(pool, turn.flowId);
  if (held !== undefined && turn.fresh === undefined) return held;
  held?.forget([turn.flowId]);
  if (pool.suspects.has(turn.flowId) || isConfined(pool, turn.compartment)) {
    pool.quarantine ??= newLane(pool.options, 'quarantine');
    return pool.quarantine;
  }
  return pool.lanes[placeOf(turn.compartment, pool.lanes.length)]!;
};

const isConfined = (pool: Pool, compartment: string): boolean => {
  const until = pool.confined.get(compartment);
  if (until === undefined) return false;
  if (until > pool.options.clock.now()) return true;
  pool.confined.delete(compartment);
  return false;
};

/** Spreads compartments over threads. */
const placeOf = (compartment: string, count: number): number => {
  let hash = 0;
  for (let i = 0; i < compartment.length; i++) hash = (Math.imul(hash, 31) + compartment.charCodeAt(i)) | 0;
  return Math.abs(hash) % count;
};

const runAlone = (pool: Pool, turn: Turn): Promise<TurnResult> => {
  const result = pool.queue.then(async (): Promise<TurnResult> => {
    const lane = pool.quarantine!;
    const run = await lane.run([turn]);
    if (run.type === 'lost') return loss(pool, turn, run, run.suspect === 0);
    pool.suspects.delete(turn.flowId);
    return run.results[0]!;
  });
  pool.queue = result.catch(() => {});
  return result;
};

// ── When a thread was stopped ────────────────────────────────────────────────────────────────────────────────────────

const loss = (pool: Pool, turn: Turn, run: LaneLoss, suspected: boolean): TurnResult => {
  const { log, limits, clock } = pool.options;
  if (!suspected || run.cause === 'closed') return { type: 'lost', reason: run.reason };
  pool.stops.add(1, { reason: run.cause });
  pool.confined.set(turn.compartment, clock.now() + limits.quarantineMs);
  if (pool.suspects.delete(turn.flowId)) {
    log.warn('flow-sandbox-flow-stopped', { flowId: turn.flowId, compartment: turn.compartment, reason: run.reason });
    return faultOf(run, limits);
  }
  log.warn('flow-sandbox-thread-stopped', { suspect: turn.flowId, compartment: turn.compartment, reason: run.reason });
  if (pool.suspects.size >= suspectsMax) pool.suspects.clear();
  pool.suspects.add(turn.flowId);
  return { type: 'lost', reason: run.reason };
};

const faultOf = (run: LaneLoss, { threadMemoryMbMax, turnMsMax }: ThreadSandboxOptions['limits']): TurnResult => {
  if (run.cause === 'memory') {
    return { type: 'fault', code: 'FLOW_MEMORY_EXCEEDED', message: `the flow needs more than ${threadMemoryMbMax} MiB of memory` };
  }
  if (run.cause === 'time') {
    return { type: 'fault', code: 'FLOW_TIME_EXCEEDED', message: `the flow ran ${turnMsMax} ms without waiting for anything; is it in an endless loop?` };
  }
  return { type: 'fault', code: 'FLOW_CODE_REFUSED', message: `the flow ended its sandbox thread twice: ${run.reason}` };
};
