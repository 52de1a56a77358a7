/**
 * The bus over HTTP: the Upstash Kafka REST protocol through `@upstash/kafka`. Nothing here needs more than `fetch`, so that
 * gateway and rest can run on an edge runtime.
 */
import { BusError } from './bus.ts';
import type { Bus } from './bus.ts';
import { systemClock } from '../host/clock.ts';
import type { Clock } from '../host/clock.ts';
import type { HttpExchange } from '../host/http-exchange.ts';
import type { Log } from '../observability/log.ts';
import { httpBusLimits } from './http-bus/config.ts';
import { createHttpConsumer } from './http-bus/consumer.ts';
import { createHttpFollower } from './http-bus/follower.ts';
import { Publisher } from './http-bus/publisher.ts';

export type HttpBusOptions = {
  readonly url: string;
  /** ASCII, as `@upstash/kafka` encodes it. */
  readonly username: string;
  readonly password: string;
  readonly clock?: Clock;
  readonly log: Log;
  /** How soon the partitions of a process that was killed go to another; 10 s by default. */
  readonly sessionTimeoutMs?: number;
  /**
   * Whether publishes of several callers share requests. Default `true`; `false` on runtimes where one request's work ends
   * with it (Cloudflare Workers), as another's records may then not be sent.
   */
  readonly gathersPublishes?: boolean;
  /** How requests travel; by `fetch` where it is left out. Node has a quicker way (`host/http-exchange.ts`). */
  readonly exchange?: HttpExchange;
};

export const createHttpBus = (options: HttpBusOptions): Bus => {
  const powers = { clock: systemClock, sessionTimeoutMs: httpBusLimits.sessionTimeoutMs, ...options };
  const publisher = new Publisher(powers, options.gathersPublishes ?? true);
  const open = new Set<{ close(): Promise<void> }>();
  let closed = false;
  const keep = <Closing extends { close(): Promise<void> }>(make: () => Closing): Closing => {
    if (closed) throw new BusError('BUS_CLOSED', 'this bus is closed');
    const one = make();
    open.add(one);
    return one;
  };
  return {
    publish: (records) => publisher.publish(records),
    consume: (consumeOptions) => keep(() => createHttpConsumer(powers, consumeOptions, (consumer) => open.delete(consumer))),
    follow: (followOptions) => keep(() => createHttpFollower(powers, followOptions, (follower) => open.delete(follower))),
    close: async () => {
      closed = true;
      await Promise.all([publisher.close(), ...[...open].map((one) => one.close())]);
    },
  };
};
