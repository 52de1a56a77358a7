/**
 * The thread's side of the sandbox: hardens its realm, then runs fibers, each CPK of a virtual node in a compartment of its own.
 *
 * What flow code can reach: the language without clock, chance and I/O (SES), and the context that the SDK makes for its flow.
 * Every object that the context hands out is either made for that flow alone or frozen.
 */
import './universal-time.ts';
import 'ses';
import { CounterpartyDataError, FlowPlatformError } from '../../../flow-sdk/errors.ts';
import type { ThreadMain } from '../../../host/threads.ts';
import { createFiberRoom } from './fiber-room.ts';
import type { ThreadData, ToMain, ToThread } from './thread-messages.ts';

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

const evaluate = (name: string, code: string): unknown => {
  const compartment = new Compartment({ __options__: true, name, globals: {} });
  const scope = compartment.globalThis;
  // Tools of the hardening itself, which other runtimes of flow code do not have.
  for (const tool of ['Compartment', 'lockdown', 'harden']) Reflect.deleteProperty(scope, tool);
  const app: unknown = compartment.evaluate(`${code}\n;cordageApp;`);
  // Flows of one virtual node share the compartment: none may leave something there for another.
  harden(scope);
  return app;
};

export const main: ThreadMain = ({ data, post, receive, macrotask, heapShare }) => {
  // Made by thread-sandbox.ts.
  const { limits, progress } = data as ThreadData;
  const marks = new Int32Array(progress);
  lockRealm();
  let batch = 0;
  const mark = (turn: number): void => {
    Atomics.store(marks, 1, batch);
    Atomics.store(marks, 2, turn);
    Atomics.add(marks, 0, 1);
  };
  const room = createFiberRoom({ macrotask, evaluate, progress: mark }, limits);
  const say = (message: ToMain): void => post(message);

  const perform = async (message: ToThread): Promise<void> => {
    if (message.type === 'forget') return room.forget(message.flowIds);
    if (message.type === 'unload') return room.unload(message.compartment);
    batch = message.batch;
    const turns = message.turns.map((turn) =>
      turn.fresh === undefined ? turn : { ...turn, fresh: { ...turn.fresh, code: message.codes[turn.compartment] ?? '' } },
    );
    const results = await room.run(turns);
    Atomics.store(marks, 1, 0);
    Atomics.add(marks, 0, 1);
    say({ type: 'ran', batch: message.batch, results, heapShare: heapShare() });
  };

  /** A fault of ours ends the thread, so that whoever waits for it learns of it. */
  const crash = (error: unknown): void =>
    macrotask(() => {
      throw error;
    });

  // Batches and the news between them are handled in the order in which they came.
  let last: Promise<void> = Promise.resolve();
  receive((message) => {
    // Only thread-sandbox.ts speaks to this thread.
    last = last.then(() => perform(message as ToThread)).catch(crash);
  });
};
