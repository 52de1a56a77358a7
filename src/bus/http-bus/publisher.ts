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

export type Publisher = {
  publish(records: readonly OutRecord[]): Promise<readonly TopicPartitionOffset[]>;
  /** Sends what waits; refuses what comes later. */
  close(): Promise<void>;
};

/** What one caller published, or a part of it that fits a request. */
type Part = {
  readonly records: readonly OutRecord[];
  readonly chars: number;
  readonly done: (positions: readonly TopicPartitionOffset[]) => void;
  readonly failed: (error: unknown) => void;
};

const charsOf = ({ topic, key, value }: OutRecord): number => topic.length + key.length + value.length + 64;

export const createPublisher = (powers: HttpBusPowers, gathers: boolean): Publisher => {
  const closing = new AbortController();
  const nextName = gathers ? createNames() : (): string => `${crypto.randomUUID()}/1`;
  let queue: Part[] = [];
  let queueChars = 0;
  let running: Promise<void> | undefined;
  const alone = new Set<Promise<unknown>>();

  /** A repeat carries the same name, so that the server can tell it from a second publish. */
  const send = async (parts: readonly Part[]): Promise<readonly TopicPartitionOffset[]> => {
    const producer = openClient(powers, { 'cordage-produce': nextName() }).producer();
    const messages = parts.flatMap(({ records }) => records).map(messageOf);
    const answer = await attempts(powers, closing.signal, () => producer.produceMany(messages));
    if (!Array.isArray(answer) || answer.length !== messages.length) throw new BusError('BUS_UNREACHABLE', `the broker at ${powers.url} answered for ${messages.length} records with something else`);
    return answer;
  };

  const sendTogether = async (parts: readonly Part[]): Promise<void> => {
    try {
      const positions = await send(parts);
      let from = 0;
      for (const { records, done } of parts) done(positions.slice(from, (from += records.length)));
    } catch (error) {
      const refused = error instanceof BusError && error.code !== 'BUS_UNREACHABLE';
      // One caller's refusal must not be the others'.
      if (refused && parts.length > 1) for (const part of parts) await sendTogether([part]);
      else for (const { failed } of parts) failed(error);
    }
  };

  const run = async (): Promise<void> => {
    // After the caller's turn, so that what is published in one turn is one request.
    await Promise.resolve();
    while (queue.length > 0) await sendTogether(take());
    running = undefined;
  };

  const take = (): Part[] => {
    let count = 0;
    let records = 0;
    let chars = 0;
    for (const part of queue) {
      if (count > 0 && (records + part.records.length > limits.produceRecordsMax || chars + part.chars > limits.produceCharsMax)) break;
      count++;
      records += part.records.length;
      chars += part.chars;
    }
    const taken = queue.slice(0, count);
    queue = queue.slice(count);
    queueChars -= chars;
    return taken;
  };

  /** The parts of one call, one after the other, beside whatever others publish. */
  const sendAlone = async (parts: readonly OutRecord[][]): Promise<readonly TopicPartitionOffset[]> => {
    const positions: TopicPartitionOffset[] = [];
    for (const records of parts) {
      const sending = new Promise<readonly TopicPartitionOffset[]>((done, failed) => void sendTogether([{ records, chars: 0, done, failed }]));
      alone.add(sending);
      positions.push(...(await sending.finally(() => alone.delete(sending))));
    }
    return positions;
  };

  const enqueue = (records: readonly OutRecord[]): Promise<readonly TopicPartitionOffset[]> =>
    new Promise((resolve, reject) => {
      const chars = records.reduce((sum, record) => sum + charsOf(record), 0);
      queue.push({ records, chars, done: resolve, failed: reject });
      queueChars += chars;
      running ??= run();
    });

  return {
    publish: async (records) => {
      if (closing.signal.aborted) throw new BusError('BUS_CLOSED', 'this bus is closed');
      for (const record of records) refuseTooLarge(record);
      if (queueChars > limits.publishQueueCharsMax) throw new BusError('BUS_UNREACHABLE', `more is published than the broker at ${powers.url} takes; publish again later`);
      const parts = split(records);
      return gathers ? (await Promise.all(parts.map(enqueue))).flat() : sendAlone(parts);
    },
    close: async () => {
      closing.abort();
      await running;
      await Promise.allSettled(alone);
    },
  };
};

/** Drawn at the first request: at the start of a program some runtimes allow no chance. */
const createNames = (): (() => string) => {
  let producer: string | undefined;
  let requests = 0;
  return () => `${(producer ??= crypto.randomUUID())}/${++requests}`;
};

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
