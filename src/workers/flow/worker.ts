/**
 * The flow room: runs flow code and checkpoints it.
 *
 * - **hears** rest-to-flow.start, .kill, .redrive, link-manager-to-flow.receive, all-to-flow.answer, flow-to-flow.wake, .eviction; answers rest-to-flow.query, db-to-flow.eviction;
 *   views of virtual nodes, CPIs, CPK code, members and group parameters
 * - **says** flow-to-rest.status, flow-to-db.entity, flow-to-db.query, all-to-crypto.sign, all-to-crypto.key, all-to-link-manager.send, and answers to rest
 * - **owns** checkpoints: a head and a journal for each flow
 * - **never** runs application code outside the sandbox
 */
import type { Clock } from '../../host/clock.ts';
import type { StartGuest } from '../../host/guests.ts';
import type { Log } from '../../observability/log.ts';
import type { Metrics } from '../../observability/metrics.ts';
import { liveLimits, type Config } from '../../shell/live-config.ts';
import type { DirectWays } from '../../shell/direct.ts';
import type { Worker } from '../../shell/worker.ts';
import { flowLimitsDefault, guestCountFor } from './config.ts';
import type { FlowLimits } from './config.ts';
import { createFacts } from './facts.ts';
import type { FlowViews } from './facts.ts';
import { createFlowMachine } from './machine.ts';
import { createOnEviction } from './on-eviction.ts';
import { createOnQuery } from './on-query.ts';
import { createInlineSandbox } from './sandbox/inline-sandbox.ts';
import type { InlineSandboxOptions } from './sandbox/inline-sandbox.ts';
import { createPooledSandbox } from './sandbox/pool.ts';
import type { Sandbox } from './sandbox/sandbox.ts';

export type { FlowLimits } from './config.ts';
export type { FlowViews } from './facts.ts';
export type { Sandbox } from './sandbox/sandbox.ts';

export type FlowWorkerDeps = {
  readonly views: FlowViews;
  readonly sandbox: Sandbox;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly limits?: Partial<FlowLimits>;
  /** Decides some of the limits; without it all stay as they are. */
  readonly config?: Config;
  /** Rooms of this process that may be asked without the bus. */
  readonly direct?: DirectWays;
};

/** `corda.flow`, and how long `corda.rest` says that an ended flow is kept. */
const configured = (config: Config, limits: FlowLimits): FlowLimits => {
  const processing = () => config.get('corda.flow').processing;
  const session = () => config.get('corda.flow').session;
  return liveLimits(limits, {
    retriesMax: () => processing().maxRetryAttempts,
    retryDelayMsMax: () => processing().maxRetryDelay,
    requestWindowMs: () => processing().maxRetryWindowDuration,
    sessionTimeoutMs: () => session().timeout,
    messageTtlMs: () => session().p2pTTL,
    sessionValueCharsMax: () => session().maxPayloadSize,
    endedKeepMs: () => config.get('corda.rest').flowStatusCleanupTimeMs,
  });
};

export const createFlowWorker = ({ views, sandbox, log, metrics, config, direct, limits: given }: FlowWorkerDeps): Worker => {
  const fixed = { ...flowLimitsDefault, ...given };
  const limits = config === undefined ? fixed : configured(config, fixed);
  const facts = createFacts(views, limits);
  return {
    room: 'flow',
    machine: createFlowMachine({ facts, sandbox, direct: direct ?? new Map(), limits, log, metrics }),
    answers: [createOnQuery({ charsMax: limits.queryCharsMax, cpks: views.cpks }), createOnEviction({ countMax: limits.evictedAtOnceMax })],
    close: () => sandbox.close(),
  };
};

export type SandboxDeps = {
  readonly startGuest: StartGuest;
  /** Processors of this machine, by which the number of sandbox processes is chosen; default 2. */
  readonly processorCount?: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly limits?: Partial<FlowLimits>;
};

/** The sandbox for code that others wrote: hardened, in processes of its own. They start at once. */
export const createFlowSandbox = ({ limits, processorCount = 2, ...deps }: SandboxDeps): Sandbox =>
  createPooledSandbox({ ...deps, limits: { ...flowLimitsDefault, guestCount: guestCountFor(processorCount), ...limits } });

/** For the simulator and for tests, with code that the caller trusts: no process, no hardening, the caller's macrotasks. */
export const createTrustingSandbox = ({ limits, ...options }: { limits?: Partial<FlowLimits> } & Omit<InlineSandboxOptions, 'limits'> = {}): Sandbox =>
  createInlineSandbox({ ...options, limits: { ...flowLimitsDefault, ...limits } });
