/**
 * The sandbox without a process of its own and without hardening: the same fibers, in the caller's own realm. For the deterministic simulator and for
 * tests of the engine; never for code that others wrote.
 */
import { createFiberRoom } from './fiber-room.ts';
import type { FiberPowers } from './fiber-room.ts';
import type { FiberLimits } from './fiber.ts';
import type { Sandbox, TurnResult } from './sandbox.ts';

export type InlineSandboxOptions = {
  readonly limits: FiberLimits;
  /** Default: `setImmediate`. A simulator hands in its own. */
  readonly macrotask?: FiberPowers['macrotask'];
  /** What makes an app of a bundle. Default: the bundle is run as it is. */
  readonly evaluate?: (code: string) => unknown;
};

export const createInlineSandbox = (options: InlineSandboxOptions): Sandbox => {
  const { limits, macrotask = (callback) => void setImmediate(callback), evaluate = evaluateScript } = options;
  const room = createFiberRoom({ macrotask, evaluate: (_compartment, code) => evaluate(code) }, limits);
  const flows = new Set<string>();
  // Fibers share the macrotask queue, so two calls take turns.
  let last: Promise<unknown> = Promise.resolve();
  return {
    run: (turns) => {
      const results = last.then(async () => {
        const ran: TurnResult[] = [];
        for (const turn of turns) {
          const result = await room.run(turn);
          if (result.type === 'ran' && result.finished === undefined) flows.add(turn.flowId);
          else flows.delete(turn.flowId);
          ran.push(result);
        }
        return ran;
      });
      last = results.catch(() => {});
      return results;
    },
    holds: (flowId) => flows.has(flowId),
    forget: (flowIds) => {
      for (const flowId of flowIds) flows.delete(flowId);
      room.forget(flowIds);
    },
    close: async () => {
      await last;
      room.forget([...flows]);
      flows.clear();
    },
  };
};

/** A bundle is a script that declares `cordageApp`; a function body sees it and can hand it out. */
const evaluateScript = (code: string): unknown => {
  // oxlint-disable-next-line no-new-func, no-implied-eval -- the whole point of this file, for code that the caller trusts
  const script = new Function(`${code}\n;return cordageApp;`) as () => unknown;
  return script();
};
