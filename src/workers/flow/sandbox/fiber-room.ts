/**
 * The fibers of one sandbox process. Turns are run one after the other, each completion in a macrotask of its own, so that whatever runs
 * between two macrotasks belongs to one known flow: the order of a replay is the order of life, and a spinning flow can be named.
 */
import type { Flow } from '../../../flow-sdk/flow.ts';
import { describeParting, foreseenJson, isNumbered, partingOf } from './ask.ts';
import { Fiber } from './fiber.ts';
import type { FiberLimits, Trace } from './fiber.ts';
import type { Ask, Completion, Fresh, Recalled, ReplayStep, Turn, TurnResult, TurnStep, Where } from './sandbox.ts';

export type FiberPowers = {
  /** Calls back when everything that runs now has come to rest: the next macrotask. */
  readonly macrotask: (callback: () => void) => void;
  /** Evaluates a bundle for a compartment and returns its `cordageApp`. Throws when the code cannot be run. */
  readonly evaluate: (compartment: string, code: string) => unknown;
  /** Told before each turn and before each of its steps. */
  readonly progress?: () => void;
  /** Where in its bundle an error was made, as far as the runtime knows. */
  readonly whereOf?: (error: unknown) => Where;
};

export type FiberRoom = {
  /** One turn at a time. */
  run(turn: Turn): Promise<TurnResult>;
  forget(flowIds: readonly string[]): void;
  /** Drops the app of a compartment; its fibers must have been forgotten before. */
  unload(compartment: string): void;
};

type App = ReadonlyMap<string, Flow>;

export const createFiberRoom = (powers: FiberPowers, limits: FiberLimits): FiberRoom => {
  const apps = new Map<string, App>();
  const fibers = new Map<string, Fiber>();
  const rested = (): Promise<void> => new Promise((resolve) => powers.macrotask(resolve));

  const load = (compartment: string, code: string): App => {
    let app = apps.get(compartment);
    if (app === undefined) apps.set(compartment, (app = flowsOf(powers.evaluate(compartment, code))));
    return app;
  };

  const begin = (turn: Turn, fresh: Fresh): Begun | TurnResult => {
    let app: App;
    try {
      app = load(turn.compartment, fresh.code);
    } catch (error) {
      return { type: 'fault', code: 'FLOW_CODE_REFUSED', message: `the code of the CPK cannot be run: ${reasonOf(error, limits.errorCharsMax)}` };
    }
    const flow = app.get(fresh.flowClassName);
    if (flow === undefined) {
      return { type: 'fault', code: 'FLOW_CLASS_NOT_FOUND', message: `the code of the CPK holds no flow ${fresh.flowClassName}, although its manifest does` };
    }
    const again = (trace?: Trace): Fiber => new Fiber(turn.flowId, flow, fresh, { limits, whereOf: powers.whereOf, trace });
    return { fiber: again(), again };
  };

  const move: Move = (fiber, at, completion) => {
    powers.progress?.();
    if (completion === undefined) fiber.begin(at);
    else fiber.deliver(completion, at);
    return rested();
  };

  /** One function for all that a turn is: what awaits another function of ours costs as much as a turn of a short flow. */
  const run = async (turn: Turn): Promise<TurnResult> => {
    powers.progress?.();
    const begun = turn.fresh === undefined ? held(fibers, turn.flowId) : begin(turn, turn.fresh);
    if ('type' in begun) return begun;
    const { fiber } = begun;
    fibers.set(turn.flowId, fiber);
    const steps: TurnStep[] = [];
    let recalled: readonly Recalled[] = [];
    if (turn.fresh !== undefined && turn.fresh.journal.length > 0) {
      const rebuilt = await rebuild(begun, turn.fresh, move);
      if ('type' in rebuilt) {
        fibers.delete(turn.flowId);
        return rebuilt;
      }
      recalled = rebuilt.recalled;
    } else if (turn.fresh !== undefined) {
      await move(fiber, turn.at, undefined);
      steps.push(fiber.rest());
    }
    for (const completion of turn.completions) {
      if (fiber.fault !== undefined || fiber.finished !== undefined) break;
      if (!fiber.wants(completion.op)) {
        steps.push({ asks: [], logs: [], dropped: true });
        continue;
      }
      await move(fiber, turn.at, completion);
      steps.push(fiber.rest());
    }
    const foreseen = turn.foresees === true && fiber.foreseeable !== undefined ? await goOn(fiber, turn.at, { steps, limits, move }) : [];
    if (fiber.fault !== undefined || fiber.finished !== undefined) fibers.delete(turn.flowId);
    return resultOf(fiber, steps, recalled, foreseen);
  };

  return {
    run,
    forget: (flowIds) => {
      for (const flowId of flowIds) fibers.delete(flowId);
    },
    unload: (compartment) => void apps.delete(compartment),
  };
};

const held = (fibers: ReadonlyMap<string, Fiber>, flowId: string): Begun | TurnResult => {
  const fiber = fibers.get(flowId);
  return fiber === undefined ? { type: 'lost', reason: 'the flow is not in memory' } : { fiber };
};

const reasonOf = (error: unknown, charsMax: number): string => {
  try {
    return String(error).slice(0, charsMax);
  } catch {
    return 'an error that cannot be read';
  }
};

/** Reads a bundle's app with suspicion: it is made by code that we did not write. */
const flowsOf = (app: unknown): App => {
  const list = typeof app === 'object' && app !== null && 'flows' in app ? app.flows : undefined;
  if (!Array.isArray(list)) throw new TypeError('the bundle sets no global `cordageApp` with a list `flows`');
  const flows = new Map<string, Flow>();
  for (const flow of list as unknown[]) {
    if (!isFlow(flow)) throw new TypeError('`cordageApp.flows` holds something that is not a flow of this SDK');
    flows.set(flow.declaration.name, flow);
  }
  return flows;
};

const isFlow = (value: unknown): value is Flow => {
  if (typeof value !== 'object' || value === null) return false;
  // Any object may be asked for these properties; each is checked.
  const { cordageFlow, declaration, run } = value as Partial<Flow>;
  return cordageFlow === 1 && typeof declaration?.name === 'string' && typeof run === 'function';
};

/** A fiber, and how to make another of the same flow where it was made for this turn. */
type Begun = { readonly fiber: Fiber; readonly again?: (trace: Trace) => Fiber };

/** Begins a fiber, or delivers a completion; done when everything that this set in motion has come to rest. */
type Move = (fiber: Fiber, at: number, completion: Completion | undefined) => Promise<void>;

type GoingOn = { readonly steps: TurnStep[]; readonly limits: FiberLimits; readonly move: Move };

/** Delivers answers that are foreseen, the oldest first, as long as the fiber waits for nothing else; says which. */
const goOn = async (fiber: Fiber, at: number, { steps, limits, move }: GoingOn): Promise<number[]> => {
  const foreseen: number[] = [];
  let chars = 0;
  for (let op = fiber.foreseeable; op !== undefined && foreseen.length < limits.foreseenMax; op = fiber.foreseeable) {
    for (const { params } of steps.at(-1)?.asks ?? []) chars += params.length;
    if (chars > limits.foreseenCharsMax) break;
    await move(fiber, at, { op, type: 'answer', json: foreseenJson });
    steps.push(fiber.rest());
    foreseen.push(op);
  }
  return foreseen;
};

const resultOf = (fiber: Fiber, steps: readonly TurnStep[], recalled: readonly Recalled[], foreseen: readonly number[]): TurnResult => {
  const { fault, finished } = fiber;
  if (fault !== undefined) return foreseen.length > 0 ? { type: 'unforeseen' } : { type: 'fault', ...fault };
  return {
    type: 'ran',
    steps,
    ...(finished === undefined ? {} : { finished }),
    ...(recalled.length === 0 ? {} : { recalled }),
    ...(foreseen.length === 0 ? {} : { foreseen }),
  };
};

/** Runs a fiber over its journal. */
const rebuild = async ({ fiber, again }: Begun, fresh: Fresh, move: Move): Promise<{ readonly recalled: readonly Recalled[] } | TurnResult> => {
  const recalled: Recalled[] = [];
  let askCount = 0;
  for (const [place, step] of fresh.journal.entries()) {
    const firstOp = fiber.operationCount;
    await move(fiber, step.at, step.completion);
    const { asks } = fiber.rest();
    if (fiber.fault !== undefined) return { type: 'fault', ...fiber.fault };
    const parting = partingOf(step.asked, asks);
    if (parting !== undefined) {
      const message = describeParting(step.asked, asks, parting, firstOp);
      const where = asks[parting] === undefined ? endOf(fiber) : await retrace(again!, fresh.journal.slice(0, place + 1), askCount + parting, move);
      return { type: 'diverged', message, ...(where === undefined ? {} : { where }) };
    }
    const early = earlyEnd(fiber, fresh.journal[place + 1]?.completion);
    if (early !== undefined) return { type: 'diverged', message: early, ...(endOf(fiber) === undefined ? {} : { where: endOf(fiber)! }) };
    if (fresh.recall !== undefined) recalled.push(...recalledOf(asks, firstOp, fresh.recall));
    askCount += asks.length;
  }
  return { recalled };
};

/** Where a flow that ended by an error had it. */
const endOf = ({ finished }: Fiber): Where | undefined => (finished?.type === 'error' ? finished.where : undefined);

/** Runs the flow once more up to one of its asks, to see where it stands: nobody keeps that for asks that are right. */
const retrace = async (again: NonNullable<Begun['again']>, journal: readonly ReplayStep[], ask: number, move: Move): Promise<Where | undefined> => {
  const trace: Trace = { ask, where: undefined };
  const fiber = again(trace);
  for (const { at, completion } of journal) {
    await move(fiber, at, completion);
    fiber.rest();
  }
  return trace.where;
};

/** Of what a step asked for, the operations whose parameters are wanted. */
const recalledOf = (asks: readonly Ask[], firstOp: number, wanted: readonly number[]): Recalled[] => {
  let op = firstOp;
  const recalled: Recalled[] = [];
  for (const { kind, params } of asks) {
    if (!isNumbered(kind)) continue;
    if (wanted.includes(op)) recalled.push({ op, kind, params });
    op += 1;
  }
  return recalled;
};

/** A flow with a journal had not ended when it was written, so code that ends over it is other code. */
const earlyEnd = (fiber: Fiber, next: Completion | undefined): string | undefined => {
  if (fiber.finished === undefined) return undefined;
  const how = fiber.finished.type === 'result' ? 'the code returned' : `the code threw "${fiber.finished.message}"`;
  return next === undefined
    ? `after operation ${fiber.operationCount - 1} the journal has a flow that waits, ${how}`
    : `after operation ${fiber.operationCount - 1} the journal goes on with the completion of operation ${next.op}, ${how}`;
};
