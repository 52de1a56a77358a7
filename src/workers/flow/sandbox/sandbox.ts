/**
 * The sandbox port: where flow code runs. It is handed turns and gives back what the code asked for; it knows nothing of
 * sessions, stores or wires.
 *
 * A flow is a **fiber**: code that runs until it waits for its operations. A turn begins a fiber, or rebuilds it by running its
 * code over its journal, and then delivers completions one at a time, each after everything that the one before set in motion
 * has come to rest. So the same completions in the same order give the same operations, live or replayed.
 *
 * Promises every implementation keeps (one contract suite):
 * - **F1** what a fiber asks for depends only on its code, its beginning, and the completions in their order;
 * - **F2** results stand in the order of the turns; a fiber that fails, spins or eats memory fails alone;
 * - **F3** a replay that does not ask for what the journal has ends in `diverged`, showing both, and changes nothing else;
 * - **F4** only text crosses the border: no object of one side is seen by the other;
 * - **F5** what a fiber hands out is bounded, whatever it does: what it asks for in a step, its result, its errors, its log;
 * - **F6** where a turn foresees, the fiber goes on over answers that say nothing but that it is done (`foreseeableKinds`), as if they had
 *   been delivered; whoever asked for that throws the turn away, and the fiber with it, if one of them is another.
 *
 * What only the hardened sandbox keeps (its own suites: escape, neighbours, places): code reaches no power and nothing that another
 * flow could meet; one that takes too much of time or memory is ended; where a fiber failed is told in places of its bundle.
 */
import type { FiberCounters, OperationKind } from '../../../flow-sdk/operations.ts';

export type Sandbox = {
  run(turns: readonly Turn[]): Promise<readonly TurnResult[]>;
  /** Whether a turn without `fresh` can be run for this flow. */
  holds(flowId: string): boolean;
  forget(flowIds: readonly string[]): void;
  close(): Promise<void>;
};

export type Turn = {
  readonly flowId: string;
  /** Where the code runs: a CPK of a virtual node. What shares a compartment shares the module's own variables. */
  readonly compartment: string;
  /** Milliseconds since the epoch: what `ctx.now()` answers during this turn. */
  readonly at: number;
  /** Given to begin a fiber, or to rebuild one that is not held. */
  readonly fresh?: Fresh;
  readonly completions: readonly Completion[];
  /** Goes on over foreseen answers, after the completions, while it waits for nothing else. */
  readonly foresees?: boolean;
};

export type Fresh = {
  /** JavaScript of the CPK: a script that ends with a global `cordageApp`. */
  readonly code: string;
  readonly me: { readonly x500Name: string; readonly groupId: string; readonly shortHash: string };
  readonly flowClassName: string;
  /** How the platform behaved when the flow began (engine/behaviour.ts). */
  readonly flags: readonly string[];
  readonly start: FiberStart;
  /** What the fiber did before, oldest first; empty for a new one. */
  readonly journal: readonly ReplayStep[];
  /** Operations of the journal whose parameters are wanted: the journal keeps only sketches of them. */
  readonly recall?: readonly number[];
};

/** An operation that a replay asked for again. */
export type Recalled = { readonly op: number; readonly kind: OperationKind; /** JSON text. */ readonly params: string };

/** `context`: the properties it begins with. `incarnation`: its ids are derived from it beside the flow id, where it is there. */
export type FiberStart = { readonly incarnation?: string } & (
  /** JSON text of the argument; `counters` where a run before this one has ended in `continueAs`. */
  | { readonly type: 'input'; readonly json: string; readonly context: Properties; readonly counters?: FiberCounters }
  | { readonly type: 'session'; readonly sessionId: string; readonly counterparty: string; readonly protocolVersion: number; readonly context: Properties }
);

export type Properties = { readonly [name: string]: string };

/** One step of a journal: the completion that was delivered (none at the beginning) and what was asked for in answer. */
export type ReplayStep = {
  readonly at: number;
  readonly completion?: Completion;
  readonly asked: readonly Asked[];
};

/** The outcome of operation number `op`. */
export type Completion =
  | { readonly op: number; readonly type: 'answer'; readonly json: string }
  | { readonly op: number; readonly type: 'refused'; readonly code: string; readonly message: string };

/** `session.open` and `cancel` are no operations and have no number, but they are journaled among them. */
export type AskKind = OperationKind | 'session.open' | 'cancel';

/** What the code asked for: operations are numbered in the order in which they stand. */
export type Ask = { readonly kind: AskKind; readonly digest: string; /** JSON text. */ readonly params: string };

/** What a journal keeps of it: enough to know it again, and the beginning of its parameters for people to read. */
export type Asked = { readonly kind: AskKind; readonly digest: string; readonly sketch: string };

export type LogLine = { readonly level: 'debug' | 'info' | 'warn' | 'error'; readonly message: string; /** JSON text. */ readonly fields?: string };

/** `dropped`: the completion was not delivered, since the code has given its operation up. */
export type TurnStep = { readonly asks: readonly Ask[]; readonly logs: readonly LogLine[]; readonly dropped?: boolean };

export type TurnResult =
  /**
   * One step for the beginning of a new fiber, and one for each completion delivered; none are delivered after the end. Then one for each
   * operation whose answer was foreseen.
   */
  | {
      readonly type: 'ran';
      readonly steps: readonly TurnStep[];
      readonly finished?: Finished;
      readonly recalled?: readonly Recalled[];
      readonly foreseen?: readonly number[];
    }
  /** It broke a bound after an answer that was foreseen: run the turn again with `fresh`, without foreseeing. */
  | { readonly type: 'unforeseen' }
  | { readonly type: 'diverged'; readonly message: string; /** What the code asked for, where it parts from the journal. */ readonly where?: Where }
  /** The platform ended the fiber: it broke a bound, or its code could not be run. */
  | { readonly type: 'fault'; readonly code: FaultCode; readonly message: string }
  /** The fiber is gone through no proven fault of its own: run the turn again with `fresh`. */
  | { readonly type: 'lost'; readonly reason: string };

export type Finished =
  | { readonly type: 'result'; readonly result: string | null }
  | { readonly type: 'error'; readonly message: string; readonly where?: Where };

/** Places of the bundle, innermost first; lines and columns count from 1. Only for people: no promise of F1 holds for them. */
export type Where = readonly { readonly line: number; readonly column: number }[];

export type FaultCode =
  | 'FLOW_CODE_REFUSED'
  | 'FLOW_CLASS_NOT_FOUND'
  | 'FLOW_TIME_EXCEEDED'
  | 'FLOW_MEMORY_EXCEEDED'
  | 'FLOW_OPERATIONS_EXCEEDED'
  | 'FLOW_RESULT_TOO_LARGE'
  | 'FLOW_OUT_OF_TURN'
  | 'FLOW_JOURNAL_CORRUPT';

/** The sandbox itself could not work; the shell tries again. */
export class SandboxError extends Error {
  readonly code: 'FLOW_SANDBOX_CLOSED' | 'FLOW_SANDBOX_NOT_STARTED';
  /** For the shell: no record is at fault. */
  readonly operational = true;
  constructor(code: SandboxError['code'], message: string) {
    super(message);
    this.name = 'SandboxError';
    this.code = code;
  }
}
