/**
 * Requests by rooms without state: a question carries the asker's own partition of its answer wire; the answer finds the
 * question by its id. Several replicas may share a partition: ids that nobody here asked for are left alone. An answer that a room of
 * the same process makes does not go by the bus (H3 of `ears.ts`).
 */
import { BusError, partitionCountDefault, type Bus } from '../bus/bus.ts';
import { partitionOf } from '../bus/topics.ts';
import { pause, systemClock, type Clock } from '../host/clock.ts';
import { decode, encode, type Answer, type Outcome } from '../messages/grammar/envelope.ts';
import type { InRecord, OutRecord } from '../messages/grammar/record.ts';
import type { Wire } from '../messages/grammar/wire.ts';
import type { Log } from '../observability/log.ts';
import { backOffMs, shellConfigDefault } from './config.ts';
import type { Listener, Tell } from './ears.ts';
import { RequestTimeout, type Ask, type Requests } from './requests.ts';

/** How long an asker waits, unless it says so. */
export const requestTimeoutMsDefault = 30_000;
/** Questions under way: above it new ones are refused at once, before memory runs out. */
export const requestsPendingMax = 10_000;

export class RequestsOverloaded extends Error {
  readonly code = 'REQUESTS_OVERLOADED';
  readonly operational = true;
  constructor() {
    super(`${requestsPendingMax} requests wait for answers already; try again later`);
    this.name = 'RequestsOverloaded';
  }
}

/** `listener`: for answers that a room of this process is about to save; those to other replicas are left alone. */
export type HearingRequests = Requests & { readonly listener: Listener };

export type CreateRequestsOptions = {
  readonly bus: Bus;
  readonly room: 'rest' | 'gateway';
  readonly answerWire: Wire<Answer, any>;
  /** Names this replica; decides its partition. */
  readonly instance: string;
  readonly log: Log;
  readonly clock?: Clock;
  /** Partitions of the answer wire's topic. */
  readonly partitions?: number;
  readonly random?: () => number;
};

type Pending = { readonly settle: (outcome: Outcome) => void; readonly fail: (error: unknown) => void };
type Unsent = { readonly record: OutRecord; readonly deadline: number; readonly fail: (error: unknown) => void };

/** Publishes what was asked in the same turn of the event loop in one call. */
const createSender = ({ bus, log, clock, random, signal }: { bus: Bus; log: Log; clock: Clock; random: () => number; signal: AbortSignal }) => {
  let unsent: Unsent[] = [];
  const send = async (): Promise<void> => {
    let batch = unsent;
    unsent = [];
    const { retryDelayMsMin, retryDelayMsMax } = shellConfigDefault;
    for (let tries = 0; batch.length > 0 && !signal.aborted; tries++) {
      try {
        await bus.publish(batch.map(({ record }) => record));
        return;
      } catch (error) {
        const passes = error instanceof BusError && error.code === 'BUS_UNREACHABLE';
        const delayMs = backOffMs(tries, retryDelayMsMin, retryDelayMsMax, random);
        const failed = batch.filter(({ deadline }) => !passes || deadline <= clock.now() + delayMs);
        for (const { fail } of failed) fail(error);
        batch = batch.filter((one) => !failed.includes(one));
        log.warn('request-publish-failed', { tries, failed: failed.length, waiting: batch.length, error });
        if (batch.length > 0) await pause(clock, delayMs, signal);
      }
    }
  };
  return (one: Unsent): void => {
    if (unsent.push(one) === 1) queueMicrotask(() => void send());
  };
};

/** An answer's value is what the wire promises, or the request is refused here: it came from outside this room. */
const checkReply = <Reply>(wire: Wire<any, Reply>, outcome: Outcome): Outcome<Reply> => {
  // Without a schema of its value an answer has none that anybody reads.
  if (outcome.type === 'refused' || wire.reply === undefined) return outcome as Outcome<Reply>;
  const value = wire.reply.safeParse(outcome.value);
  if (value.success) return { type: 'done', value: value.data };
  return { type: 'refused', code: 'REQUEST_ANSWER_MALFORMED', message: `the answer on ${wire.topic} is not of its wire's shape: ${value.error.message}` };
};

const createPendings = () => {
  const pending = new Map<string, Set<Pending>>();
  let count = 0;
  return {
    count: () => count,
    has: (id: string): boolean => pending.has(id),
    add: (id: string, one: Pending): void => {
      const waiting = pending.get(id) ?? new Set();
      pending.set(id, waiting.add(one));
      count++;
    },
    remove: (id: string, one: Pending): void => {
      const waiting = pending.get(id);
      if (waiting?.delete(one) !== true) return;
      count--;
      if (waiting.size === 0) pending.delete(id);
    },
    answer: ({ requestId, outcome }: Answer): void => {
      for (const { settle } of pending.get(requestId) ?? []) settle(outcome);
    },
    failAll: (error: unknown): void => {
      for (const waiting of pending.values()) for (const { fail } of waiting) fail(error);
    },
  };
};

export const createRequests = async (options: CreateRequestsOptions): Promise<HearingRequests> => {
  const { bus, answerWire, instance, clock = systemClock, partitions = partitionCountDefault, random = Math.random } = options;
  const log = options.log.with({ room: options.room, wire: answerWire.topic });
  const partition = partitionOf(instance, partitions);
  const replyTo = { topic: answerWire.topic, key: instance, partition };
  const follower = bus.follow({ topics: [answerWire.topic], from: 'latest', partition });
  await follower.ready;
  const closing = new AbortController();
  const { signal } = closing;
  const pendings = createPendings();
  const send = createSender({ bus, log, clock, random, signal });

  const claim = (record: OutRecord): Tell | undefined => {
    if (record.partition !== partition) return undefined;
    const decoded = decode(answerWire, record);
    if (decoded.type !== 'message' || !pendings.has(decoded.delivery.body.requestId)) return undefined;
    return () => pendings.answer(decoded.delivery.body);
  };
  const answer = (record: InRecord): void => {
    const decoded = decode(answerWire, record);
    if (decoded.type === 'message') pendings.answer(decoded.delivery.body);
    else if (decoded.type === 'malformed') log.warn('answer-malformed', { topic: record.topic, offset: record.offset, reason: decoded.reason });
  };
  const listen = async (): Promise<void> => {
    const { pollWaitMsMax, retryDelayMsMin, retryDelayMsMax } = shellConfigDefault;
    for (let tries = 0; !signal.aborted; ) {
      try {
        (await follower.poll({ timeoutMs: pollWaitMsMax, signal })).forEach(answer);
        tries = 0;
      } catch (error) {
        if (signal.aborted) return;
        log.warn('answer-poll-failed', { tries, error });
        await pause(clock, backOffMs(tries++, retryDelayMsMin, retryDelayMsMax, random), signal);
      }
    }
  };
  const listening = listen();

  const ask = <Body>(wire: Wire<Body, any>, { key, id = crypto.randomUUID(), body, timeoutMs = requestTimeoutMsDefault }: Ask<Body>): Promise<Outcome> =>
    new Promise((resolve, reject) => {
      if (signal.aborted) return reject(new BusError('BUS_CLOSED', 'requests were asked of a room that is closing'));
      if (pendings.count() >= requestsPendingMax) return reject(new RequestsOverloaded());
      const deadline = clock.now() + timeoutMs;
      const end = (): void => {
        cancel();
        pendings.remove(id, pending);
      };
      const settle = (outcome: Outcome): void => (end(), resolve(outcome));
      const fail = (error: unknown): void => (end(), reject(error));
      const pending: Pending = { settle, fail };
      const cancel = clock.after(timeoutMs, () => fail(new RequestTimeout(wire.topic, timeoutMs)));
      pendings.add(id, pending);
      send({ record: encode(wire, { key, id, body, replyTo, deadline }), deadline, fail });
    });

  return {
    ask: async (wire, request) => checkReply(wire, await ask(wire, request)),
    listener: { claim },
    close: async () => {
      closing.abort();
      pendings.failAll(new BusError('BUS_CLOSED', 'the room closed before the answer came'));
      await listening;
      await follower.close();
    },
  };
};
