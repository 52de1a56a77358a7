/** What the two sides of the sandbox say to each other. All of it is JSON. */
import type { FiberLimits } from './fiber.ts';
import type { PackedResult, PackedTurns } from './packing.ts';
import type { SliceLimits } from './slices.ts';

export type GuestData = { readonly limits: FiberLimits & SliceLimits };

export type ToGuest =
  | {
      readonly type: 'run';
      readonly batch: number;
      readonly turns: PackedTurns;
      /** The code of a compartment is sent once. */
      readonly codes: Readonly<Record<string, string>>;
    }
  | { readonly type: 'forget'; readonly flowIds: readonly string[] }
  | { readonly type: 'unload'; readonly compartment: string };

export type FromGuest = {
  readonly type: 'ran';
  readonly batch: number;
  readonly results: readonly PackedResult[];
  /** Milliseconds that compartments used in this batch, where they are worth a word. */
  readonly spent: Readonly<Record<string, number>>;
  readonly heapShare: number;
};
