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
  /** Of ours, where the group has mutual TLS. */
  readonly certificate: string | undefined;
  readonly clock: Clock;
  readonly log: Log;
  readonly limits: GatewayLimits;
  readonly onSent: (packets: number, seconds: number) => void;
  readonly onDropped: (reason: DropReason, packets: number) => void;
  /** The characters that wait here have changed by so many. */
  readonly onQueued: (chars: number) => void;
  readonly signal: AbortSignal;
};

/** As `packetRequest` has it. */
export type OfferedPacket = { readonly tag: string; readonly packet: string; readonly unauthenticated?: true | undefined };

type Waiting = { readonly entry: string; readonly since: number };

const isTaken = (answer: HttpAnswer): boolean => answer.type === 'answered' && answer.status === 200;
/** The peer will never take this: repeating it would change nothing. */
const isRefused = (answer: HttpAnswer): boolean =>
  answer.type === 'answered' ? answer.status < 500 && answer.status !== 429 : isForbidden(answer);
/** We will not connect there: its addresses are inside a network that the operator has not opened. */
const isForbidden = (answer: HttpAnswer): boolean => answer.type === 'failed' && answer.code === 'ADDRESS_REFUSED';
const dropReasonOf = (answer: HttpAnswer): DropReason => {
  if (isForbidden(answer)) return 'address';
  return isRefused(answer) ? 'refused' : 'unreachable';
};

export class Destination {
  readonly #options: DestinationOptions;
  #queue: Waiting[] = [];
  #chars = 0;
  #failures = 0;
  #running: Promise<void> | undefined;

  constructor(options: DestinationOptions) {
    this.#options = options;
  }

  get isIdle(): boolean {
    return this.#running === undefined && this.#failures === 0;
  }

  /** Never waits. False when there is no room. */
  offer(packet: OfferedPacket): boolean {
    const { limits, clock } = this.#options;
    const entry = JSON.stringify(packet);
    if (this.#queue.length >= limits.destinationPacketsMax || this.#chars + entry.length > limits.destinationCharsMax) return false;
    this.#queue.push({ entry, since: clock.now() });
    this.#count(entry.length);
    // Begun in a later turn, so that all packets of one call of the pump ride together.
    this.#running ??= Promise.resolve().then(() => this.#run());
    return true;
  }

  /** Resolves when nothing waits and nothing is under way. */
  async settled(): Promise<void> {
    while (this.#running !== undefined) await this.#running;
  }

  #count(chars: number): void {
    this.#chars += chars;
    this.#options.onQueued(chars);
  }

  async #run(): Promise<void> {
    const { signal } = this.#options;
    while (this.#queue.length > 0 && !signal.aborted) {
      const batch = this.#takeBatch();
      if (batch.length > 0) await this.#deliver(batch);
    }
    if (this.#queue.length > 0) this.#drop('closing', this.#take(this.#queue.length));
    this.#running = undefined;
  }

  #take(count: number): Waiting[] {
    const taken = this.#queue.slice(0, count);
    this.#queue = this.#queue.slice(count);
    this.#count(-taken.reduce((sum, { entry }) => sum + entry.length, 0));
    return taken;
  }

  /** What fits into one request, oldest first; what waited too long is left out. */
  #takeBatch(): Waiting[] {
    const { limits, clock } = this.#options;
    const queue = this.#queue;
    let chars = 0;
    let count = 0;
    while (count < queue.length && count < packetsMax) {
      chars += queue[count]!.entry.length + 1;
      if (count > 0 && chars > limits.batchCharsMax) break;
      count++;
    }
    const oldest = clock.now() - limits.packetMsMax;
    const taken = this.#take(count);
    this.#drop('too-late', taken.filter(({ since }) => since < oldest));
    return taken.filter(({ since }) => since >= oldest);
  }

  async #deliver(batch: readonly Waiting[]): Promise<void> {
    const { limits, signal, trustRoots } = this.#options;
    const roots = trustRoots();
    if (roots === undefined) return this.#drop('no-trust-roots', batch);
    for (let tries = 1; tries <= limits.triesMax; tries++) {
      if (signal.aborted) return this.#drop('closing', batch);
      const answer = await this.#post(batch, roots);
      if (isTaken(answer)) return;
      const dropped = isRefused(answer) || tries === limits.triesMax;
      this.#note(answer, batch.length, dropped);
      if (dropped) this.#drop(dropReasonOf(answer), batch);
      await this.#pauseAfter(answer, tries);
      if (dropped) return;
    }
  }

  async #post(batch: readonly Waiting[], roots: readonly string[]): Promise<HttpAnswer> {
    const { url, clock, httpClient, limits, onSent, certificate } = this.#options;
    const body = `{"v":1,"packets":[${batch.map(({ entry }) => entry).join(',')}]}`;
    const startedAt = clock.now();
    const answer = await httpClient.post({ url, body, trustRootsPem: roots, timeoutMs: limits.responseMsMax, clientCertificate: certificate });
    if (isTaken(answer)) {
      this.#failures = 0;
      onSent(batch.length, (clock.now() - startedAt) / 1_000);
    }
    return answer;
  }

  async #pauseAfter(answer: HttpAnswer, tries: number): Promise<void> {
    const { clock, limits, signal } = this.#options;
    this.#failures++;
    // The first try may have met a connection that the peer had just closed: the second does not wait.
    if (answer.type === 'failed' && tries === 1 && this.#failures === 1) return;
    const asked = answer.type === 'answered' ? (answer.retryAfterSeconds ?? 0) * 1_000 : 0;
    const own = Math.min(limits.failurePauseMsMin * 2 ** Math.min(this.#failures, 20), limits.failurePauseMsMax);
    await pause(clock, Math.max(own, Math.min(asked, limits.retryAfterMsMax)), signal);
  }

  #note(answer: HttpAnswer, packets: number, dropped: boolean): void {
    const { url, log } = this.#options;
    const what = answer.type === 'answered' ? { status: answer.status } : { code: answer.code, reason: answer.reason };
    const fields = { url, packets, dropped, failures: this.#failures, ...what };
    if (dropped) log.warn('gateway.send-failed', fields);
    else log.debug('gateway.send-failed', fields);
  }

  #drop(reason: DropReason, packets: readonly Waiting[]): void {
    if (packets.length > 0) this.#options.onDropped(reason, packets.length);
  }
}
