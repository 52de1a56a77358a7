/**
 * Publishes over HTTP. One request is under way at a time, which keeps every caller's order; what is published meanwhile is
 * gathered into the next. Where a runtime ties every request to the call that began it (Cloudflare), nothing is gathered.
 */
import { BusError } from '../bus.ts';
import { recordValueCharsMax } from '../../messages/grammar/envelope.ts';
import type { OutRecord, TopicPartitionOffset } from '../../messages/grammar/record.ts';
import { attempts, openClient } from './client.ts';
import type { HttpBusPowers } from './client.ts';
import { httpBusLimits as limits } from './config.ts';

type Positions = readonly TopicPartitionOffset[];

/** What one caller published, or a part of it that fits a request. */
type Part = {
  readonly records: readonly OutRecord[];
  readonly chars: number;
  readonly done: (positions: Positions) => void;
  readonly failed: (error: unknown) => void;
};

export class Publisher {
  readonly #powers: HttpBusPowers;
  readonly #gathers: boolean;
  readonly #nextName: () => string;
  readonly #closing = new AbortController();
  #queue: Part[] = [];
  #queueChars = 0;
  #running: Promise<void> | undefined;
  /** Calls that share no requests. */
  readonly #alone = new Set<Promise<unknown>>();

  constructor(powers: HttpBusPowers, gathers: boolean) {
    this.#powers = powers;
    this.#gathers = gathers;
    this.#nextName = gathers ? createNames() : () => `${crypto.randomUUID()}/1`;
  }

  async publish(records: readonly OutRecord[]): Promise<Positions> {
    if (this.#closing.signal.aborted) throw new BusError('BUS_CLOSED', 'this bus is closed');
    for (const record of records) refuseTooLarge(record);
    if (this.#queueChars > limits.publishQueueCharsMax) {
      throw new BusError('BUS_UNREACHABLE', `more is published than the broker at ${this.#powers.url} takes; publish again later`);
    }
    const parts = split(records);
    if (this.#gathers) return (await Promise.all(parts.map((part) => this.#enqueue(part)))).flat();
    const sending = this.#sendAlone(parts);
    this.#alone.add(sending);
    return sending.finally(() => this.#alone.delete(sending));
  }

  /** Sends what waits; refuses what comes later. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#running;
    await Promise.allSettled(this.#alone);
  }

  #enqueue(records: readonly OutRecord[]): Promise<Positions> {
    return new Promise((done, failed) => {
      const chars = records.reduce((sum, record) => sum + charsOf(record), 0);
      this.#queue.push({ records, chars, done, failed });
      this.#queueChars += chars;
      this.#running ??= this.#run();
    });
  }

  async #run(): Promise<void> {
    // After the caller's turn, so that what is published in one turn is one request.
    await Promise.resolve();
    while (this.#queue.length > 0) await this.#sendTogether(this.#take());
    this.#running = undefined;
  }

  #take(): Part[] {
    let count = 0;
    let records = 0;
    let chars = 0;
    for (const part of this.#queue) {
      if (count > 0 && (records + part.records.length > limits.produceRecordsMax || chars + part.chars > limits.produceCharsMax)) break;
      count++;
      records += part.records.length;
      chars += part.chars;
    }
    this.#queueChars -= chars;
    return this.#queue.splice(0, count);
  }

  /** The parts of one call, one after the other, beside whatever others publish. */
  async #sendAlone(parts: readonly (readonly OutRecord[])[]): Promise<Positions> {
    const positions: TopicPartitionOffset[] = [];
    for (const part of parts) positions.push(...(await this.#send(part)));
    return positions;
  }

  async #sendTogether(parts: readonly Part[]): Promise<void> {
    try {
      const positions = await this.#send(parts.flatMap(({ records }) => records));
      let from = 0;
      for (const { records, done } of parts) done(positions.slice(from, (from += records.length)));
    } catch (error) {
      const refused = error instanceof BusError && error.code !== 'BUS_UNREACHABLE';
      // One caller's refusal must not be the others'.
      if (refused && parts.length > 1) for (const part of parts) await this.#sendTogether([part]);
      else for (const { failed } of parts) failed(error);
    }
  }

  /** A repeat carries the same name, so that the server can tell it from a second publish. */
  async #send(records: readonly OutRecord[]): Promise<Positions> {
    const producer = openClient(this.#powers, { 'cordage-produce': this.#nextName() }).producer();
    const messages = records.map(messageOf);
    const answer = await attempts(this.#powers, this.#closing.signal, () => producer.produceMany(messages));
    if (Array.isArray(answer) && answer.length === messages.length) return answer;
    throw new BusError('BUS_UNREACHABLE', `the broker at ${this.#powers.url} answered for ${messages.length} records with something else`);
  }
}

/** Drawn at the first request: at the start of a program some runtimes allow no chance. */
const createNames = (): (() => string) => {
  let producer: string | undefined;
  let requests = 0;
  return () => `${(producer ??= crypto.randomUUID())}/${++requests}`;
};

const charsOf = ({ topic, key, value }: OutRecord): number => topic.length + key.length + value.length + 64;

const messageOf = ({ topic, key, value, partition }: OutRecord) => (partition === undefined ? { topic, key, value } : { topic, key, value, partition });

/** Before anything is sent: a call may take several requests. */
const refuseTooLarge = ({ topic, value }: OutRecord): void => {
  if (value.length <= recordValueCharsMax) return;
  throw new BusError('BUS_RECORD_TOO_LARGE', `a record for ${topic} has ${value.length} characters, the most is ${recordValueCharsMax}; send it in chunks, or store it once and name it by its hash`);
};

/** Parts that fit a request. */
const split = (records: readonly OutRecord[]): OutRecord[][] => {
  const parts: OutRecord[][] = [];
  let part: OutRecord[] = [];
  let chars = 0;
  for (const record of records) {
    const more = charsOf(record);
    if (part.length > 0 && (part.length >= limits.produceRecordsMax || chars + more > limits.produceCharsMax)) {
      parts.push(part);
      part = [];
      chars = 0;
    }
    part.push(record);
    chars += more;
  }
  return part.length === 0 ? parts : [...parts, part];
};
