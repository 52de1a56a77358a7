/**
 * The guest's side of the sandbox: hardens its realm, then runs fibers, each CPK of a virtual node in a compartment of its own.
 *
 * What flow code can reach: the language without clock, chance and I/O (SES), and the context that the SDK makes for its flow.
 * Every object that the context hands out is either made for that flow alone or frozen.
 */
import './universal-time.ts';
import 'ses';
import { CounterpartyDataError, FlowPlatformError } from '../../../flow-sdk/errors.ts';
import type { GuestMain } from '../../../host/guests.ts';
import { createFiberRoom } from './fiber-room.ts';
import type { FromGuest, GuestData, ToGuest } from './guest-messages.ts';
import { packResult, unpackTurns } from './packing.ts';
import type { Where } from './sandbox.ts';
import { createStopwatch, runSlices } from './slices.ts';

/** Hardens this realm for good. */
const lockRealm = (): void => {
  lockdown({
    // Libraries assign to inherited names (`toString`, `constructor`) on their own objects.
    overrideTaming: 'severe',
    consoleTaming: 'unsafe',
    // A stack shows paths of this machine, which differ between replicas.
    errorTaming: 'safe',
    errorTrapping: 'none',
    unhandledRejectionTrapping: 'none',
    domainTaming: 'unsafe',
  });
  // Errors of the platform reach flow code with their classes.
  harden(FlowPlatformError);
  harden(CounterpartyDataError);
};

/** The name by which stacks know a bundle. */
const bundleUrl = 'cordage:bundle';
const framePattern = /cordage:bundle:(\d+):(\d+)\)?$/;
/** Frames told of one error. */
const framesMax = 8;

/** A power of the start compartment, which SES leaves there: flow code reads no stacks. */
declare const getStackString: (error: object) => string;

/** What is thrown may be anything, hostile getters included. */
const whereOf = (error: unknown): Where => {
  try {
    if (typeof error !== 'object' || error === null) return [];
    const frames = getStackString(error).split('\n').flatMap((line) => {
      const [, at, column] = framePattern.exec(line) ?? [];
      return at === undefined || column === undefined ? [] : [{ line: Number(at), column: Number(column) }];
    });
    return frames.slice(0, framesMax);
  } catch {
    return [];
  }
};

const evaluate = (name: string, code: string): unknown => {
  const compartment = new Compartment({ __options__: true, name, globals: {} });
  const scope = compartment.globalThis;
  // Tools of the hardening itself and what not every runtime has, so that flow code finds the same everywhere; and the decoder, whose
  // instances show handles of the runtime that all compartments share, to read and to write.
  for (const tool of ['Compartment', 'lockdown', 'harden', 'Temporal', 'TextDecoder']) Reflect.deleteProperty(scope, tool);
  const app: unknown = compartment.evaluate(`${code}\n;cordageApp;\n//# sourceURL=${bundleUrl}`);
  // Flows of one virtual node share the compartment: none may leave something there for another.
  harden(scope);
  return app;
};

export const main: GuestMain = ({ data, post, receive, macrotask, mark, rest, elapsed, used, heapShare }) => {
  // Made by pool.ts.
  const { limits } = data as GuestData;
  lockRealm();
  let work = { batch: 0, turn: 0 };
  /** Code that was sent and not needed yet: a turn that brings its compartment's code may be sent back before it runs. */
  const codes = new Map<string, string>();
  const evaluateOnce = (compartment: string): unknown => {
    const code = codes.get(compartment) ?? '';
    codes.delete(compartment);
    return evaluate(compartment, code);
  };
  const room = createFiberRoom({ macrotask, evaluate: evaluateOnce, progress: () => mark(work), whereOf }, limits);
  const stopwatch = createStopwatch({ elapsed, used });
  const say = (message: FromGuest): void => post(message);

  const perform = async (message: ToGuest): Promise<void> => {
    if (message.type === 'forget') return room.forget(message.flowIds);
    if (message.type === 'unload') {
      codes.delete(message.compartment);
      return room.unload(message.compartment);
    }
    const { batch } = message;
    const turns = unpackTurns(message.turns);
    for (const [compartment, code] of Object.entries(message.codes)) codes.set(compartment, code);
    const onTurn = (turn: number): void => void (work = { batch, turn });
    const { results, spent } = await runSlices(turns, { room, stopwatch, onTurn }, limits);
    rest();
    say({ type: 'ran', batch, results: results.map(packResult), spent, heapShare: heapShare() });
  };

  /** A fault of ours ends the guest, so that whoever waits for it learns of it. */
  const crash = (error: unknown): void =>
    macrotask(() => {
      throw error;
    });

  // Batches and the news between them are handled in the order in which they came.
  let last: Promise<void> = Promise.resolve();
  receive((message) => {
    // Only pool.ts speaks to this guest.
    last = last.then(() => perform(message as ToGuest)).catch(crash);
  });
};
