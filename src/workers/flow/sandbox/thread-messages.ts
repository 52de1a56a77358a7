/** What the two sides of the thread sandbox say to each other. */
import type { FiberLimits } from './fiber.ts';
import type { Fresh, Turn, TurnResult } from './sandbox.ts';

export type ThreadData = {
  readonly limits: FiberLimits;
  /** Three Int32: a count that moves with every step, the batch under way (0 for none), the turn under way. */
  readonly progress: SharedArrayBuffer;
};

export type ThreadTurn = Omit<Turn, 'fresh'> & { readonly fresh?: Fresh };

export type ToThread =
  | {
      readonly type: 'run';
      readonly batch: number;
      /** Fresh turns come with empty `code`; the code of a compartment is sent once. */
      readonly turns: readonly ThreadTurn[];
      readonly codes: Readonly<Record<string, string>>;
    }
  | { readonly type: 'forget'; readonly flowIds: readonly string[] }
  | { readonly type: 'unload'; readonly compartment: string };

export type ToMain = { readonly type: 'ran'; readonly batch: number; readonly results: readonly TurnResult[]; readonly heapShare: number };
