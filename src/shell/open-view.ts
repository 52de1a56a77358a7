/**
 * A view: the latest body of each key of a compacted wire, followed from its beginning.
 *
 * One reader at a time applies records in order. `refresh` interrupts the long poll and drains what is there, so that it
 * resolves only after everything published before it was called.
 */
import type { Bus, Follower } from '../bus/bus.ts';
import { pause, systemClock, type Clock } from '../host/clock.ts';
import { decode } from '../messages/grammar/envelope.ts';
import type { InRecord } from '../messages/grammar/record.ts';
import type { Wire } from '../messages/grammar/wire.ts';
import type { Log } from '../observability/log.ts';
import { backOffMs, shellConfigDefault } from './config.ts';
import type { ChangingView } from './view.ts';

export type OpenViewOptions<Body> = {
  readonly bus: Bus;
  readonly wire: Wire<Body, any>;
  readonly log: Log;
  readonly clock?: Clock;
  readonly random?: () => number;
};

export type OpenView<Body> = ChangingView<Body> & { close(): Promise<void> };

/** Applies records to the map; what cannot be read leaves the key as it was. */
const createReader = <Body>(wire: Wire<Body, any>, log: Log, bodies: Map<string, Body>) => (records: readonly InRecord[]): void => {
  for (const record of records) {
    const decoded = decode<Body>(wire, record);
    if (decoded.type === 'message') bodies.set(record.key, decoded.delivery.body);
    else if (decoded.type === 'removed') bodies.delete(record.key);
    else log.warn('view-record-malformed', { topic: record.topic, partition: record.partition, offset: record.offset, reason: decoded.reason });
  }
};

class ViewReader {
  readonly #follower: Follower;
  readonly #apply: (records: readonly InRecord[]) => void;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #random: () => number;
  readonly #closing = new AbortController();
  /** Ends the poll under way. */
  #interrupt = new AbortController();
  /** The turn under way: polls and drains never overlap, so records are applied in order. */
  #turn: Promise<unknown> = Promise.resolve();
  /** A refresh that has not begun to drain: whoever asks before it does may share it. */
  #nextRefresh: Promise<void> | undefined;
  #running: Promise<void> = Promise.resolve();

  constructor(follower: Follower, apply: (records: readonly InRecord[]) => void, options: { clock: Clock; log: Log; random: () => number }) {
    this.#follower = follower;
    this.#apply = apply;
    this.#clock = options.clock;
    this.#log = options.log;
    this.#random = options.random;
  }

  start(): void {
    this.#running = this.#run();
  }

  refresh(): Promise<void> {
    return (this.#nextRefresh ??= this.#refreshNext());
  }

  async close(): Promise<void> {
    this.#closing.abort();
    this.#interrupt.abort();
    await this.#running;
    await this.#turn.catch(() => {});
    await this.#follower.close();
  }

  #inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    const mine = this.#turn.then(work);
    this.#turn = mine.catch(() => {});
    return mine;
  }

  #refreshNext(): Promise<void> {
    this.#interrupt.abort();
    return this.#inTurn(async () => {
      this.#nextRefresh = undefined;
      this.#apply(await this.#follower.drain());
    });
  }

  async #pollOnce(): Promise<void> {
    this.#interrupt = new AbortController();
    // A refresh that came while we waited for our turn goes first.
    if (this.#nextRefresh !== undefined || this.#closing.signal.aborted) return;
    const { signal } = this.#interrupt;
    try {
      this.#apply(await this.#follower.poll({ timeoutMs: shellConfigDefault.pollWaitMsMax, signal }));
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  async #run(): Promise<void> {
    const { signal } = this.#closing;
    const { retryDelayMsMin, retryDelayMsMax } = shellConfigDefault;
    let tries = 0;
    while (!signal.aborted) {
      try {
        await this.#inTurn(() => this.#pollOnce());
        tries = 0;
      } catch (error) {
        if (signal.aborted) return;
        this.#log.warn('view-poll-failed', { tries, error });
        await pause(this.#clock, backOffMs(tries++, retryDelayMsMin, retryDelayMsMax, this.#random), signal);
      }
    }
  }
}

/** Resolves when everything published before the call has been read. */
export const openView = async <Body>({ bus, wire, log, clock = systemClock, random = Math.random }: OpenViewOptions<Body>): Promise<OpenView<Body>> => {
  if (wire.retention !== 'compacted') throw new Error(`${wire.topic} is not compacted: a view of it would lack what was removed from the log`);
  const follower = bus.follow({ topics: [wire.topic], from: 'earliest' });
  await follower.ready;
  const bodies = new Map<string, Body>();
  const listeners = new Set<() => void>();
  const read = createReader(wire, log, bodies);
  const apply = (records: readonly InRecord[]): void => {
    read(records);
    if (records.length > 0) for (const listener of listeners) listener();
  };
  const reader = new ViewReader(follower, apply, { clock, log: log.with({ view: wire.topic }), random });
  try {
    await reader.refresh();
  } catch (error) {
    await follower.close();
    throw error;
  }
  reader.start();
  return {
    get: (key) => bodies.get(key),
    entries: () => bodies.entries(),
    refresh: () => reader.refresh(),
    onChange: (listener) => {
      // A function of its own, so that two calls with the same listener are two.
      const own = (): void => listener();
      listeners.add(own);
      return () => void listeners.delete(own);
    },
    close: () => reader.close(),
  };
};
