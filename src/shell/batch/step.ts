/** Points 1 and 2 of a machine's batch for the keys that have something to step: prepare, read items, step. */
import type { Clock } from '../../host/clock.ts';
import type { Log } from '../../observability/log.ts';
import { isOperational, messageOf } from '../operational.ts';
import type { KeyRange, StateStore } from '../store.ts';
import type { Machine, StepInput, StepOutput, StoredItem } from '../worker.ts';
import { durableOf } from './early.ts';
import type { Held } from './head-cache.ts';
import type { Lane, Queued } from './lanes.ts';
import type { ShellMetrics } from './metrics.ts';

/** One key's part of a round. */
export type Work = {
  readonly lane: Lane;
  readonly held: Held;
  /**
   * The head was read in this round, so what is decided on it was true then. Not so when items were read too: they may be of
   * a later version.
   */
  fresh: boolean;
  /** Handled before, or a wake that is out of date. */
  readonly dropped: readonly Queued[];
  readonly takes: readonly Queued[];
};

export type Verdict = StepOutput<unknown, unknown> | { readonly type: 'thrown'; readonly error: unknown };

/** Decides which records of a lane this state has not handled. */
export const selectWork = (lane: Lane, held: Held, fresh: boolean): Work => {
  const dropped: Queued[] = [];
  const takes: Queued[] = [];
  const reached = new Map<string, number>();
  let woken = false;
  for (const queued of lane.queue) {
    const { record, stream, wakeDueAt } = queued;
    const handled = reached.get(stream) ?? held.handled[stream] ?? -1;
    const repeated = record.offset <= handled || (wakeDueAt !== undefined && (woken || wakeDueAt !== held.dueAt));
    if (!repeated && lane.oneByOne && takes.length > 0) break;
    (repeated ? dropped : takes).push(queued);
    if (wakeDueAt !== undefined && !repeated) woken = true;
    if (record.offset > handled) reached.set(stream, record.offset);
  }
  return { lane, held, fresh, dropped, takes };
};

export type StepOptions = {
  readonly machine: Machine<any, any, any>;
  readonly states: StateStore;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: ShellMetrics;
};

const eventsOf = (work: Work): unknown[] => work.takes.map(({ event }) => event);

const loadItems = async ({ machine, states, metrics }: StepOptions, works: readonly Work[]): Promise<ReadonlyMap<string, readonly StoredItem<unknown>[]>> => {
  const { needsItems } = machine;
  if (needsItems === undefined) return new Map();
  const wanted = works.flatMap((work): (string | KeyRange)[] => {
    const { key, head } = work.held;
    const needed = needsItems(key, head, work.takes.map(({ event }) => event));
    if (needed === false || (needed !== true && needed.length === 0)) return [];
    work.fresh = false;
    return needed === true ? [key] : needed.map((range) => ({ key, ...range }));
  });
  if (wanted.length === 0) return new Map();
  const found = await metrics.timed('load', () => states.loadItems(wanted));
  return new Map(wanted.map((one) => (typeof one === 'string' ? one : one.key)).map((key) => [key, found.get(key) ?? []]));
};

/** What is joint with no save would be lost; what is joint again could hold others up for ever (W5). */
const checkJoints = (inputs: readonly StepInput<unknown, unknown, unknown>[], outputs: readonly StepOutput<unknown, unknown>[]): void => {
  for (const [i, output] of outputs.entries()) {
    if (output.type !== 'next' || output.joint === undefined) continue;
    if (output.head === undefined) throw new Error(`step named joint work for ${inputs[i]!.key}, of which nothing is saved`);
    if (inputs[i]!.isAgain) throw new Error(`step named joint work for ${inputs[i]!.key}, which is stepped again`);
  }
};

const attempt = async (options: StepOptions, works: readonly Work[]): Promise<readonly Verdict[]> => {
  const { machine, clock, metrics } = options;
  await machine.prepare?.(works.flatMap(eventsOf));
  const items = await loadItems(options, works);
  const inputs = works.map((work): StepInput<unknown, unknown, unknown> => {
    const { key, head } = work.held;
    const durable = durableOf(work.takes);
    return { key, head, items: items.get(key), events: eventsOf(work), ...(work.lane.again ? { isAgain: true } : {}), ...(durable === undefined ? {} : { durable }) };
  });
  const outputs = await metrics.timed('step', () => machine.step(inputs, clock.now()));
  if (outputs.length !== inputs.length) throw new Error(`step returned ${outputs.length} outputs for ${inputs.length} inputs`);
  checkJoints(inputs, outputs);
  return outputs;
};

/** Steps all keys at once; if that throws, one key at a time, so that the fault falls on its own key (W5). */
export const stepWorks = async (options: StepOptions, works: readonly Work[]): Promise<readonly Verdict[]> => {
  if (works.length === 0) return [];
  const { machine, log } = options;
  try {
    return await attempt(options, works);
  } catch (error) {
    if (isOperational(error)) throw error;
    // What the machine keeps in memory may be half-way: it reads these keys again.
    machine.forget?.(works.map(({ held }) => held.key));
    log.error('step-threw', { keys: works.length, first: works[0]!.held.key, error });
    if (works.length === 1) return [{ type: 'thrown', error }];
  }
  const verdicts: Verdict[] = [];
  for (const work of works) verdicts.push(...(await stepWorks(options, [work])));
  return verdicts;
};

/** Why these records are parked, for a person. */
export const reasonOf = (verdict: { readonly type: 'thrown'; readonly error: unknown }): string => `step threw ${messageOf(verdict.error)}`;
