/**
 * Watches what flow code asks of its context, to say where it stands when its journal is at its end: each call that has not been
 * answered, with its place in the author's sources.
 */
import { SourceMap } from 'node:module';
import { fileURLToPath } from 'node:url';
import type { Flow } from '../../flow-sdk/flow-sdk.ts';
import { shown } from '../arguments.ts';

export type Standing = {
  /** The app, its flows watched. */
  watch(app: unknown): unknown;
  /** Calls without an answer, the innermost first: `ctx.db.find at flows.ts:12:30`. */
  waiting(): string[];
  /** What the flow threw, and where. */
  thrown(): string | undefined;
};

export type StandingOptions = {
  readonly filename: string;
  /** JSON text, its sources by their places on this machine. */
  readonly sourceMap: string | undefined;
};

/** A frame of V8's stack that stands in the bundle. */
const frameOf = (filename: string): RegExp => new RegExp(`${filename.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&')}:(\\d+):(\\d+)`);

export const createStanding = ({ filename, sourceMap }: StandingOptions): Standing => {
  // The packager's own output: a map of version 3.
  const map = sourceMap === undefined ? undefined : new SourceMap(JSON.parse(sourceMap) as ConstructorParameters<typeof SourceMap>[0]);
  const frame = frameOf(filename);
  const calls = new Map<number, { readonly name: string; readonly place: string }>();
  const known = new WeakSet<object>();
  let count = 0;
  let thrown: string | undefined;

  const placesOf = (stack: string): string[] =>
    stack.split('\n').flatMap((line) => {
      const [, row, column] = frame.exec(line) ?? [];
      if (row === undefined) return [];
      const origin = map?.findEntry(Number(row) - 1, Number(column) - 1);
      if (origin === undefined || !('originalSource' in origin)) return [`bundle:${row}:${column}`];
      return [`${shown(fileURLToPath(origin.originalSource))}:${origin.originalLine + 1}:${origin.originalColumn + 1}`];
    });
  const noteCall = (name: string, answer: unknown): void => {
    if (!(answer instanceof Promise)) return;
    const id = count++;
    calls.set(id, { name, place: placesOf(new Error().stack ?? '').find((place) => !place.includes('flow-sdk')) ?? 'a place that is not known' });
    const settled = (): void => void calls.delete(id);
    answer.then(settled, settled);
  };
  /** Puts a watching function in place of each one: in the object itself, since the SDK knows sessions by their identity. */
  const instrument = (value: unknown, name: string): unknown => {
    if (typeof value !== 'object' || value === null || known.has(value)) return value;
    known.add(value);
    for (const [key, { value: held, writable }] of Object.entries(Object.getOwnPropertyDescriptors(value))) {
      if (typeof held === 'function' && writable === true) (value as Record<string, unknown>)[key] = watchedCall(value, held as Call, `${name}.${key}`);
      else if (isPart(held)) instrument(held, `${name}.${key}`);
    }
    return value;
  };
  const watchedCall =
    (owner: object, call: Call, name: string): Call =>
    (...given) => {
      const answer = call.apply(owner, given.map(watchedArgument));
      noteCall(name, answer);
      return isSession(answer) ? instrument(answer, 'session') : answer;
    };
  /** Sub-flows, and work that is handed a context of its own. */
  const watchedArgument = (given: unknown): unknown => {
    if (isFlow(given)) return watchFlow(given);
    if (typeof given !== 'function') return given;
    return (...inner: unknown[]): unknown => (given as Call)(...inner.map((one) => (isContext(one) ? instrument(one, 'ctx') : one)));
  };
  const watchFlow = (flow: Flow): Flow => {
    // Called as the engine and the SDK call it.
    const run = flow.run as (ctx: unknown, argument: unknown) => Promise<unknown>;
    const runWatched = async (ctx: unknown, argument: unknown): Promise<unknown> => {
      try {
        return await run(instrument(ctx, 'ctx'), isSession(argument) ? instrument(argument, 'session') : argument);
      } catch (error) {
        if (error instanceof Error) thrown = [`${error.name}: ${error.message}`, ...placesOf(error.stack ?? '').map((place) => `  at ${place}`)].join('\n');
        throw error;
      }
    };
    // Of the same kind as the flow that it stands for.
    return { ...flow, run: runWatched } as Flow;
  };
  return {
    watch: (app) => {
      // Read with the engine's own suspicion afterwards.
      const { flows } = app as { flows: Flow[] };
      return { flows: flows.map(watchFlow) };
    },
    waiting: () => [...calls.values()].map(({ name, place }) => `${name} at ${place}`),
    thrown: () => thrown,
  };
};

type Call = (...given: unknown[]) => unknown;

const has = (value: unknown, ...names: readonly string[]): boolean => typeof value === 'object' && value !== null && names.every((name) => name in value);
const isFlow = (value: unknown): value is Flow => has(value, 'cordageFlow', 'declaration', 'run');
const isSession = (value: unknown): boolean => has(value, 'counterparty', 'receive', 'send');
const isContext = (value: unknown): boolean => has(value, 'initiate', 'subFlow');
/** A part of the context: an object of functions, such as `ctx.db`. */
const isPart = (value: unknown): boolean => typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype && Object.values(value).some((one) => typeof one === 'function');
