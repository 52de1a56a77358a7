/**
 * The sandbox in guests: processes beside ours. A compartment lives on one guest of the pool; turns travel in batches.
 *
 * A turn that runs too long, or outgrows its guest's memory, ends the guest in the middle: every fiber there is lost and is
 * rebuilt from its journal when its flow is stepped again. The flow that was running is only a suspect (the memory may be
 * another's; V8 may have ended the guest without a word who it was): it gets a second trial alone, in quarantine. Stopped there
 * too, it has failed. The compartment of a flow that was stopped stays in quarantine for a while, so that more of its kind cannot
 * take the others' guest down.
 *
 *     guest of the pool ── stopped ──▶ suspect ── alone, in quarantine ──┬─ runs ──▶ cleared, lives there
 *                                                                        └─ stopped ──▶ fault
 */
import type { Clock } from '../../../host/clock.ts';
import type { GuestLimits, StartGuest } from '../../../host/guests.ts';
import type { Log } from '../../../observability/log.ts';
import type { Counter, Metrics } from '../../../observability/metrics.ts';
import type { FiberLimits } from './fiber.ts';
import type { GuestData } from './guest-messages.ts';
import { createLane } from './lane.ts';
import type { Lane, LaneLimits, LaneLoss } from './lane.ts';
import { createQuarantine } from './quarantine.ts';
import type { Quarantine, QuarantineLimits } from './quarantine.ts';
import { SandboxError } from './sandbox.ts';
import type { Sandbox, Turn, TurnResult } from './sandbox.ts';
import { createShares } from './shares.ts';
import type { ShareLimits, Shares } from './shares.ts';
import type { SliceLimits } from './slices.ts';
import { createSpares } from './spares.ts';
import type { Spares } from './spares.ts';

export type PoolLimits = FiberLimits &
  LaneLimits &
  QuarantineLimits &
  ShareLimits &
  SliceLimits & {
    readonly guestCount: number;
    readonly guestSpareCount: number;
    readonly guestResidentMbMax: number;
    readonly guestStartMsMax: number;
    readonly turnWallMsMax: number;
  };

export type PoolOptions = {
  readonly limits: PoolLimits;
  readonly startGuest: StartGuest;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
};

type Pool = {
  readonly options: PoolOptions;
  readonly spares: Spares;
  readonly lanes: readonly Lane[];
  readonly quarantine: Quarantine;
  readonly shares: Shares;
  readonly stops: Counter;
  readonly waits: Counter;
  closed: boolean;
};

export const createPooledSandbox = (options: PoolOptions): Sandbox => {
  const { limits, clock, log, metrics, startGuest } = options;
  const spares = createSpares(startGuest, { module: new URL('./guest.ts', import.meta.url), data: dataOf(limits), limits: guestLimitsOf(limits) }, limits.guestSpareCount);
  const openLane = (name: string): Lane => createLane({ limits, spares, log: log.with({ guest: name }) });
  const pool: Pool = {
    options,
    spares,
    lanes: Array.from({ length: limits.guestCount }, (_, i) => openLane(`pool-${i}`)),
    quarantine: createQuarantine({ limits, clock, log, openLane: () => openLane('quarantine') }),
    shares: createShares({ clock, limits }),
    stops: metrics.counter('cordage_flow_sandbox_guests_stopped_total', 'Sandbox processes that ended in the middle of a turn, by reason.'),
    waits: metrics.counter('cordage_flow_sandbox_turns_sent_back_total', 'Turns that wait because their application used its share of the processor.'),
    closed: false,
  };
  return {
    run: (turns) => {
      if (pool.closed) return Promise.reject(new SandboxError('FLOW_SANDBOX_CLOSED', 'the sandbox is closed'));
      return runTurns(pool, turns);
    },
    holds: (flowId) => laneOf(pool, flowId) !== undefined,
    forget: (flowIds) => {
      for (const lane of allLanes(pool)) lane.forget(flowIds);
    },
    close: async () => {
      pool.closed = true;
      await Promise.all([spares.close(), ...allLanes(pool).map((lane) => lane.close())]);
    },
  };
};

/** Only what a guest needs crosses to it. */
const dataOf = (limits: PoolLimits): GuestData => ({
  limits: {
    operationsPendingMax: limits.operationsPendingMax,
    operationsMax: limits.operationsMax,
    operationCharsMax: limits.operationCharsMax,
    messageCharsMax: limits.messageCharsMax,
    stepCharsMax: limits.stepCharsMax,
    foreseenMax: limits.foreseenMax,
    foreseenCharsMax: limits.foreseenCharsMax,
    resultCharsMax: limits.resultCharsMax,
    sessionsMax: limits.sessionsMax,
    logLinesMax: limits.logLinesMax,
    logCharsMax: limits.logCharsMax,
    errorCharsMax: limits.errorCharsMax,
    sliceMsMax: limits.sliceMsMax,
    sliceAloneMsMax: limits.sliceAloneMsMax,
    answerCharsMax: limits.answerCharsMax,
  },
});

const guestLimitsOf = (limits: PoolLimits): GuestLimits => ({
  heapMbMax: limits.guestHeapMbMax,
  residentMbMax: limits.guestResidentMbMax,
  workCpuMsMax: limits.turnMsMax,
  workWallMsMax: limits.turnWallMsMax,
  startMsMax: limits.guestStartMsMax,
});

const allLanes = ({ lanes, quarantine: { lane } }: Pool): readonly Lane[] => (lane === undefined ? lanes : [...lanes, lane]);
const laneOf = (pool: Pool, flowId: string): Lane | undefined => allLanes(pool).find((lane) => lane.holds(flowId));

// ── Placing and running ──────────────────────────────────────────────────────────────────────────────────────────────

const runTurns = async (pool: Pool, turns: readonly Turn[]): Promise<readonly TurnResult[]> => {
  const results: TurnResult[] = [];
  const byLane = new Map<Lane, number[]>();
  const works: Promise<unknown>[] = [];
  for (const [place, turn] of turns.entries()) {
    const lane = laneFor(pool, turn);
    if (lane === 'later') {
      pool.waits.add(1);
      results[place] = { type: 'lost', reason: 'its application has used its share of the processor' };
    } else if (lane === 'quarantine') works.push(pool.quarantine.run(turn).then((result) => (results[place] = result)));
    else {
      const places = byLane.get(lane);
      if (places === undefined) byLane.set(lane, [place]);
      else places.push(place);
    }
  }
  for (const [lane, places] of byLane) works.push(runOn(pool, lane, turns, places, results));
  await Promise.all(works);
  return results;
};

const runOn = async (pool: Pool, lane: Lane, turns: readonly Turn[], places: readonly number[], results: TurnResult[]): Promise<void> => {
  const run = await lane.run(places.map((place) => turns[place]!));
  if (run.type === 'lost') {
    // Nothing of these flows is to blame: the shell waits, and tries all again.
    if (run.cause === 'unready') throw new SandboxError('FLOW_SANDBOX_NOT_STARTED', run.reason);
    takeLoss(pool, run, places, turns);
    for (const place of places) results[place] = { type: 'lost', reason: run.reason };
    return;
  }
  for (const [compartment, ms] of Object.entries(run.spent)) pool.shares.spend(compartment, ms);
  places.forEach((place, i) => (results[place] = run.results[i]!));
};

/** A fiber stays where it is; a new one goes to quarantine when it, or its compartment, is under suspicion. */
const laneFor = (pool: Pool, turn: Turn): Lane | 'quarantine' | 'later' => {
  const { quarantine, lanes } = pool;
  const held = laneOf(pool, turn.flowId);
  const isFresh = turn.fresh !== undefined;
  if (held !== undefined && isFresh) held.forget([turn.flowId]);
  if (held !== undefined && !isFresh ? held === quarantine.lane : quarantine.confines(turn)) return 'quarantine';
  if (held !== undefined && !isFresh) return held;
  // Only what begins or is rebuilt: a flow in the middle of its step would begin that step again, and come no further.
  return pool.shares.mustWait(turn.compartment) ? 'later' : lanes[placeOf(turn.compartment, lanes.length)]!;
};

/** Spreads compartments over guests. */
const placeOf = (compartment: string, count: number): number => {
  let hash = 0;
  for (let i = 0; i < compartment.length; i++) hash = (Math.imul(hash, 31) + compartment.charCodeAt(i)) | 0;
  return Math.abs(hash) % count;
};

/** One suspect that is known confines its compartment; where any of many may have done it, each is tried first. */
const takeLoss = ({ options, quarantine, stops }: Pool, { cause, reason, suspects }: LaneLoss, places: readonly number[], turns: readonly Turn[]): void => {
  if (suspects.length === 0) return;
  stops.add(1, { reason: cause });
  const accused = suspects.map((i) => turns[places[i]!]!);
  options.log.warn('flow-sandbox-guest-stopped', { suspects: accused.slice(0, 10).map(({ flowId }) => flowId), suspectCount: accused.length, reason });
  for (const { flowId } of accused) quarantine.suspect(flowId);
  if (accused.length === 1) quarantine.confine(accused[0]!.compartment);
};
