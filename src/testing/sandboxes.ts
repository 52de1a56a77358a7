/** Sandboxes of test networks. One takes a tenth of a second to start, so one that is free again is used again. */
import { systemClock } from '../host/clock.ts';
import { startGuest } from '../host/guests.ts';
import { createLog } from '../observability/log.ts';
import { createMetrics } from '../observability/metrics.ts';
import { createFlowSandbox, createTrustingSandbox, type Sandbox } from '../workers/flow/worker.ts';
import type { TestApp } from './app.ts';

export type Lease = {
  readonly sandbox: Sandbox;
  /** Gives the sandbox back; the flows that it holds must have been forgotten. */
  release(): Promise<void>;
};

type Pooled = { readonly sandbox: Sandbox; readonly isSound: () => boolean; closing: NodeJS.Timeout | undefined };

/** Milliseconds that a free sandbox waits for the next network before it ends, and the process with it. */
const idleMsMax = 1_000;

const idle: Pooled[] = [];

const openPooled = (): Pooled => {
  let sound = true;
  // It warns when it had to stop a flow; what it remembers of that flow must not reach another test.
  const log = createLog({ level: 'warn', write: () => void (sound = false) });
  return { sandbox: createFlowSandbox({ startGuest, clock: systemClock, log, metrics: createMetrics(), limits: { guestCount: 1 } }), isSound: () => sound, closing: undefined };
};

/** The sandbox of a cluster: hardened, apart from this process's own code. */
export const leaseHardened = (): Lease => {
  const pooled = idle.pop() ?? openPooled();
  clearTimeout(pooled.closing);
  return {
    sandbox: pooled.sandbox,
    release: async () => {
      if (!pooled.isSound()) return pooled.sandbox.close();
      idle.push(pooled);
      pooled.closing = setTimeout(() => {
        idle.splice(idle.indexOf(pooled), 1);
        void pooled.sandbox.close();
      }, idleMsMax);
    },
  };
};

/** The same fibers in this process, for breakpoints and for flow values that cannot be moved. */
export const leaseInline = (app: TestApp): Lease => {
  const sandbox = createTrustingSandbox({ evaluate: app.evaluate });
  return { sandbox, release: () => sandbox.close() };
};

/** One member's share of a sandbox: what dies with its room is what it ran, and nothing of the others. */
export const shareOf = (sandbox: Sandbox): { readonly sandbox: Sandbox; readonly forgetAll: () => void } => {
  const flowIds = new Set<string>();
  return {
    sandbox: {
      ...sandbox,
      run: (turns) => {
        for (const { flowId } of turns) flowIds.add(flowId);
        return sandbox.run(turns);
      },
      close: async () => {},
    },
    forgetAll: () => {
      sandbox.forget([...flowIds]);
      flowIds.clear();
    },
  };
};
