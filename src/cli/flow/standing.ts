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
  /** Calls without an answer, the outermost first: `ctx.db.find at flows.ts:12:30`. */
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
  /** The same object, its functions watched; promises and plain values pass. */
  const watched = (value: unknown, name: string): unknown => {
    if (typeof value !== 'object' || value === null || value instanceof Promise || Array.isArray(value)) return value;
    const source = value as Record<string, unknown>;
    if (!Object.values(source).some((one) => typeof one === 'function' || (typeof one === 'object' && one !== null))) return value;
    // Not the object itself: what is frozen must be shown as it is.
    return new Proxy({}, { get: (_target, key) => watchedProperty(source, String(key), `${name}.${String(key)}`), has: (_target, key) => key in source, ownKeys: () => Reflect.ownKeys(source), getOwnPropertyDescriptor: (_target, key) => ({ ...Reflect.getOwnPropertyDescriptor(source, key), configurable: true }) });
  };
  const watchedProperty = (source: Record<string, unknown>, key: string, name: string): unknown => {
    const value = source[key];
    if (typeof value !== 'function') return key === 'me' ? value : watched(value, name);
    return (...given: unknown[]): unknown => {
      const answer: unknown = value.apply(source, given.map((one) => (isFlow(one) ? watchFlow(one) : one)));
      noteCall(name, answer);
      return isSession(answer) ? watched(answer, 'session') : answer;
    };
  };
  const watchFlow = (flow: Flow): Flow => {
    // Called as the engine and the SDK call it.
    const run = flow.run as (ctx: unknown, argument: unknown) => Promise<unknown>;
    const runWatched = async (ctx: unknown, argument: unknown): Promise<unknown> => {
      try {
        return await run(watched(ctx, 'ctx'), isSession(argument) ? watched(argument, 'session') : argument);
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

const isFlow = (value: unknown): value is Flow => typeof value === 'object' && value !== null && 'cordageFlow' in value && value.cordageFlow === 1;
const isSession = (value: unknown): boolean => typeof value === 'object' && value !== null && 'counterparty' in value && 'receive' in value;
