/**
 * A worker is a value: what it hears, what it answers, when it wakes. The shell around it does all I/O in batches.
 *
 * Two kinds of handling fill a worker. A **machine** steps a state per key and says what changed and what it owes. **Answers**
 * are store handlers: requests of one wire, a batch at a time, inside one transaction. A **pump** moves records elsewhere
 * without keeping state.
 *
 * Invariants, cited by number in code and tests:
 * - **W1** state is written before an effect is sent; alone a request that the same input would make again, word for word, may be asked
 *   directly before, or be done in the same transaction (`direct.ts`);
 * - **W2** an effect owed is sent again until it is known to be durable on the bus;
 * - **W3** handling a record twice changes nothing and sends the same effects: ids are derived, never drawn;
 * - **W4** one bad record never blocks its partition: it is parked with its reason, counted, visible and re-drivable;
 * - **W5** one key's error or version conflict retries that key, not the batch;
 * - **W6** no clock, chance, environment or I/O inside a step: they are arguments.
 */
import type { Carried, Delivery, Outcome } from '../messages/grammar/envelope.ts';
import type { OutRecord } from '../messages/grammar/record.ts';
import type { Room, Wire } from '../messages/grammar/wire.ts';
import type { Apart } from './apart.ts';
import type { JointWork } from './store.ts';

export type Worker = {
  readonly room: Room;
  readonly machine?: Machine<any, any, any>;
  readonly answers?: readonly Answering<any, any, any>[];
  readonly pumps?: readonly Pump<any>[];
  /** HTTP of this worker beside `/status`, `/isHealthy` and `/metrics` (rest and gateway). */
  readonly fetch?: (request: Request) => Promise<Response>;
  /** Ends what the worker holds (threads, connections). */
  readonly close?: () => Promise<void>;
};

// ── Machines ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * State of one key: a small `head`, rewritten at each step, and `items`, appended and removed (a journal, a queue).
 * Both are plain JSON values.
 */
export type Machine<Head, Item, Event> = {
  readonly hearings: readonly Hearing<any, Event>[];
  /** The wire on which this room tells itself that a key's time has come, and the event it makes of it. */
  readonly wake?: { readonly wire: Wire<{ dueAt: number }>; readonly toEvent: (dueAt: number) => Event };
  /** Called once a batch before states are loaded: bring views up to date, warm what the events will need. May do I/O. */
  readonly prepare?: (events: readonly Event[]) => Promise<void>;
  /** Which of the key's items this step must see: all (a flow that is not in memory), some (pages of a long queue), or none. */
  readonly needsItems?: (key: string, head: Head | undefined, events: readonly Event[]) => boolean | readonly ItemRange[];
  /**
   * Steps every key of the batch: a pure function of its input (W6); asynchronous because ciphers and sandboxes are.
   * Outputs stand in the order of the inputs. A thrown error parks that batch's records one by one (W4), so a machine
   * that can tell which key is at fault returns `{ type: 'poison' }` for it instead.
   */
  readonly step: (inputs: readonly StepInput<Head, Item, Event>[], now: number) => Promise<readonly StepOutput<Head, Item>[]>;
  /** Its records may be stepped before the bus has them on disk; the shell saves and tells nothing before. See `StepInput.durable`. */
  readonly hearsEarly?: true;
  /** Steps of different keys that may be under way at once, where a step waits for others; default 1. */
  readonly stepsAtOnceMax?: number;
  /** True for an event with which a key nearly always begins: the key is then not looked for before it is stepped. */
  readonly isBirth?: (event: Event) => boolean;
  /** Whose turn an event takes where not all keys can be stepped at once (a virtual node); without it, that of the key's saved scope. */
  readonly scopeOf?: (event: Event) => string | undefined;
  /** The shell dropped its copy of this key's head (conflict, eviction): drop what memory holds for it too. */
  readonly forget?: (keys: readonly string[]) => void;
};

export type Hearing<Body, Event> = {
  readonly wire: Wire<Body, any>;
  readonly toEvent: (delivery: Delivery<Body>) => Event;
};

export type StepInput<Head, Item, Event> = {
  readonly key: string;
  readonly head: Head | undefined;
  /** In order of position; present exactly when `needsItems` asked for them. */
  readonly items: readonly StoredItem<Item>[] | undefined;
  /** In the order in which they came. Never empty. */
  readonly events: readonly Event[];
  /** What this key came to last was not saved, or may not have been. It names no joint work now, so that it is held up by nobody else's fault (W5). */
  readonly isAgain?: true;
  /** Some of the events were heard before they were durable: until this resolves nothing may be done for them outside of the step; where it rejects, never. */
  readonly durable?: Promise<unknown>;
};

/** The first items behind a position: as many as both bounds allow, and one at least where there is one. */
export type ItemRange = {
  readonly after: number;
  readonly countMax: number;
  /** Of the items' JSON text; the one that crosses the bound still comes. */
  readonly bytesMax: number;
};

/** `ended`: whether it was done with the save; told before the keys are stepped again where it was not. */
export type Joint = { readonly work: JointWork; readonly ended: (isDone: boolean) => void };

export type StoredItem<Item> = { readonly position: number; readonly value: Item };

export type StepOutput<Head, Item> =
  | {
      readonly type: 'next';
      /**
       * `undefined` leaves the state as it was (effects are then sent without a write). `null` removes the key and its items
       * and leaves a tombstone for a day; where there is nothing to remove, `undefined` costs less.
       */
      readonly head: Head | null | undefined;
      readonly itemsAdded?: readonly StoredItem<Item>[];
      readonly itemsRemoved?: readonly number[];
      readonly effects: readonly OutRecord[];
      /**
       * Sent behind the effects, and not owed: W1 holds for them, W2 does not. For what the machine itself says again where it got
       * lost, as packets of a network do.
       */
      readonly fleeting?: readonly OutRecord[];
      /**
       * What another room is to do when this is saved, and neither without the other; the outputs of a step that name the same are saved together.
       * Where it cannot be done, none of them is saved, and they are stepped again. Only beside a head.
       */
      readonly joint?: Joint;
      /** The key will hardly be heard of again: its head leaves memory when its effects are on the bus. */
      readonly rests?: boolean;
      /** When the key wants to be woken, in ms since the epoch; absent means never. */
      readonly dueAt?: number;
      /** Indexed columns for lists: a scope (a flow's holding identity short hash) and a status word. */
      readonly scope?: string;
      readonly status?: string;
    }
  /** One event of this key cannot be handled, ever: that record is parked, the others are stepped again without it. */
  | { readonly type: 'poison'; readonly event: number; readonly reason: string }
  /** Not now (a view lags, a thread died): this key is tried again after a back-off; after its bound it is parked. */
  | { readonly type: 'later'; readonly reason: string };

// ── Stores ───────────────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * Answers requests of one wire. The shell opens one transaction for the batch, leaves out requests whose answer is stored
 * already (W3), stores the new answers in the same transaction, and sends all answers and effects afterwards.
 */
export type Answering<Body, Reply, Tx> = {
  readonly wire: Wire<Body, Reply>;
  /** `false` for pure reads: then no answer is stored and a repeat reads again. Default `true`. */
  readonly storesAnswers?: boolean;
  /**
   * True where requests of different keys share neither order nor effects, and where working a request out twice costs little and leaves
   * nothing once its transaction is rolled back. Batches then overlap, and a repeat is found out by storing its answer; a room of the same
   * process may ask directly (`direct.ts`). A repeat must say the same as the request that was answered.
   */
  readonly isIndependent?: boolean;
  /** Requests that are worked out, and whose answers are kept, elsewhere than in the room's own store. */
  readonly apart?: Apart<Body>;
  /**
   * Of an independent wire: what these requests write, and what each is answered unless something stands in the way. A store that can do it in
   * one statement does so (`AnswerStore.atOnce`); otherwise, and where this is `undefined`, they are worked out.
   */
  readonly foresee?: (requests: readonly Carried<Body>[], now: number) => Foreseen<Reply> | undefined;
  readonly answer: (requests: readonly Carried<Body>[], tx: Tx, now: number) => Promise<readonly Answered<Reply>[]>;
};

/** `write` is the room's own: its shell hands it to the room's store. */
export type Foreseen<Reply> = { readonly write: unknown; readonly answered: readonly Answered<Reply>[] };

export type Answered<Reply> = {
  readonly outcome: Outcome<Reply>;
  /** Records owed beside the answer, sent after the commit. */
  readonly effects?: readonly OutRecord[];
};

/** Moves records on without state (the gateway's way out). Returns when it took charge of the records; must not throw. */
export type Pump<Body> = {
  readonly wire: Wire<Body, any>;
  readonly pump: (deliveries: readonly Delivery<Body>[]) => Promise<void>;
};
