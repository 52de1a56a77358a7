/**
 * The way out to one destination: a bounded queue and one request at a time, which carries what has gathered meanwhile. So
 * batches grow with the load, order is kept, and a destination that is dead or slow delays nobody but itself.
 *
 *     idle ──packet──▶ sending ──200──▶ sending … idle
 *                        │ failed         ▲
 *                        ▼                │
 *                      pausing (doubles) ─┘   the second failure of a batch drops it: the link manager repeats
 */
import { pause, type Clock } from '../../host/clock.ts';
import type { HttpAnswer, HttpClient } from '../../host/http-client.ts';
import { packetsMax } from '../../messages/gateway-to-gateway.packet.ts';
import type { Log } from '../../observability/log.ts';
import type { GatewayLimits } from './config.ts';

export type DropReason = 'queue-full' | 'too-late' | 'refused' | 'unreachable' | 'address' | 'no-trust-roots' | 'closing';

export type DestinationOptions = {
  readonly url: string;
  /** Asked anew for each request: a group's roots may change. `undefined`: there are none to trust. */
  readonly trustRoots: () => readonly string[] | undefined;
  readonly httpClient: HttpClient;
  readonly clock: Clock;
  readonly log: Log;
  readonly limits: GatewayLimits;
  readonly onSent: (packets: number, seconds: number) => void;
  readonly onDropped: (reason: DropReason, packets: number) => void;
  /** Characters that left the queue, sent or dropped. */
  readonly onReleased: (chars: number) => void;
  readonly signal: AbortSignal;
};

type Waiting = { readonly entry: string; readonly since: number };

export type Destination = {
  /** Never waits. False when there is no room. */
  offer(tag: string, packet: string): boolean;
  /** Resolves when nothing waits and nothing is under way. */
  settled(): Promise<void>;
  readonly isIdle: boolean;
};

export const createDestination = (options: DestinationOptions): Destination => {
  const { url, clock, log, limits, httpClient, onDropped, signal } = options;
  let queue: Waiting[] = [];
  let chars = 0;
  let failures = 0;
  let running: Promise<void> | undefined;

  const release = (waiting: readonly Waiting[]): void => {
    const released = waiting.reduce((sum, { entry }) => sum + entry.length, 0);
    chars -= released;
    options.onReleased(released);
  };
  const drop = (reason: DropReason, waiting: readonly Waiting[]): void => {
    if (waiting.length === 0) return;
    onDropped(reason, waiting.length);
    log.debug('gateway.packets-dropped', { url, reason, packets: waiting.length });
  };

  /** What fits into one request, oldest first; what waited too long is left out. */
  const takeBatch = (): Waiting[] => {
    const oldest = clock.now() - limits.packetMsMax;
    let size = 0;
    let count = 0;
    while (count < queue.length && count < packetsMax && (count === 0 || size + queue[count]!.entry.length <= limits.batchCharsMax)) size += queue[count++]!.entry.length + 1;
    const taken = queue.slice(0, count);
    queue = queue.slice(count);
    release(taken);
    drop('too-late', taken.filter(({ since }) => since < oldest));
    return taken.filter(({ since }) => since >= oldest);
  };

  const post = async (batch: readonly Waiting[], roots: readonly string[]): Promise<HttpAnswer> => {
    const body = `{"v":1,"packets":[${batch.map(({ entry }) => entry).join(',')}]}`;
    const startedAt = clock.now();
    const answer = await httpClient.post({ url, body, trustRootsPem: roots, timeoutMs: limits.responseMsMax });
    if (answer.type === 'answered' && answer.status === 200) options.onSent(batch.length, (clock.now() - startedAt) / 1_000);
    return answer;
  };

  const pauseAfter = async (answer: HttpAnswer): Promise<void> => {
    const asked = answer.type === 'answered' ? (answer.retryAfterSeconds ?? 0) * 1_000 : 0;
    const own = Math.min(limits.failurePauseMsMin * 2 ** Math.min(failures, 20), limits.failurePauseMsMax);
    failures++;
    await pause(clock, Math.max(own, Math.min(asked, limits.retryAfterMsMax)), signal);
  };

  const note = (answer: HttpAnswer, packets: number, dropped: boolean): void => {
    const fields = answer.type === 'answered' ? { status: answer.status } : { code: answer.code, reason: answer.reason };
    // The first failure of a row is told; the rest would only fill the log while the destination is down.
    (failures === 0 || dropped ? log.warn : log.debug)('gateway.send-failed', { url, packets, dropped, failures, ...fields });
  };

  const deliver = async (batch: readonly Waiting[]): Promise<void> => {
    const roots = options.trustRoots();
    if (roots === undefined) return drop('no-trust-roots', batch);
    for (let tries = 1; tries <= limits.triesMax && !signal.aborted; tries++) {
      const answer = await post(batch, roots);
      if (answer.type === 'answered' && answer.status === 200) {
        failures = 0;
        return;
      }
      const refused = answer.type === 'answered' && answer.status < 500 && answer.status !== 429;
      const last = refused || tries === limits.triesMax;
      note(answer, batch.length, last);
      if (last) drop(refused ? 'refused' : 'unreachable', batch);
      // The first try may have met a connection that the peer had just closed: the second does not wait.
      if (answer.type === 'failed' && tries === 1 && failures === 0) {
        failures = 1;
        continue;
      }
      await pauseAfter(answer);
      if (refused) return;
    }
    if (signal.aborted) drop('closing', batch);
  };

  const run = async (): Promise<void> => {
    while (queue.length > 0 && !signal.aborted) {
      const batch = takeBatch();
      if (batch.length > 0) await deliver(batch);
    }
    if (signal.aborted && queue.length > 0) {
      drop('closing', queue);
      release(queue);
      queue = [];
    }
    running = undefined;
  };

  return {
    offer: (tag, packet) => {
      const entry = JSON.stringify({ tag, packet });
      if (queue.length >= limits.destinationPacketsMax || chars + entry.length > limits.destinationCharsMax) return false;
      queue.push({ entry, since: clock.now() });
      chars += entry.length;
      options.onReleased(-entry.length);
      // Begun in a later turn, so that all packets of one call of the pump ride together.
      running ??= Promise.resolve().then(run);
      return true;
    },
    settled: async () => {
      while (running !== undefined) await running;
    },
    get isIdle() {
      return running === undefined && failures === 0;
    },
  };
};
