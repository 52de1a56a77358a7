/** What a room is made of, before it runs. */
import type { Ears } from '../src/shell/ears.ts';
import type { AnswerStore, ParkingLot, StateStore } from '../src/shell/store.ts';
import type { Worker } from '../src/shell/worker.ts';

export type OpenRoom = {
  readonly worker: Worker;
  readonly parking: ParkingLot;
  readonly states?: StateStore;
  readonly answers?: AnswerStore<any>;
  /** Serves the room's own HTTP once its loops run; gives its URL and how to end it. */
  readonly serve?: () => Promise<{ readonly url: string; close(): Promise<void> }>;
  /** By topic, what this room wants to be told by rooms of its process. */
  readonly ears?: Ears;
  /** Called first when the process is to end: whoever waits here is let go. */
  readonly leave?: () => void;
};
