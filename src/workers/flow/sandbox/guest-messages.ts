/** What the two sides of the sandbox say to each other. All of it is JSON. */
import type { FiberLimits } from './fiber.ts';
import type { SliceLimits } from './slices.ts';
import type { Turn, TurnResult } from './sandbox.ts';

export type GuestData = { readonly limits: FiberLimits & SliceLimits };

export type ToGuest =
  | {
      readonly type: 'run';
      readonly batch: number;
      /** Fresh turns come with empty `code`; the code of a compartment is sent once. */
      readonly turns: readonly Turn[];
      readonly codes: Readonly<Record<string, string>>;
    }
  | { readonly type: 'forget'; readonly flowIds: readonly string[] }
  | { readonly type: 'unload'; readonly compartment: string };

export type FromGuest = {
  readonly type: 'ran';
  readonly batch: number;
  readonly results: readonly TurnResult[];
  /** Milliseconds that compartments used in this batch, where they are worth a word. */
  readonly spent: Readonly<Record<string, number>>;
  readonly heapShare: number;
};
