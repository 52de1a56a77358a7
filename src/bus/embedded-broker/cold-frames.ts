/** Frames read back from the log for those who read what memory no longer holds. */
import { BusError } from '../bus.ts';
import type { Log } from './log/log.ts';
import { frameHeadBytes, visitEntries } from './log/frame.ts';
import type { RecordView } from './log/frame.ts';
import type { Partition } from './partition.ts';
import type { LogRecord, Location } from './record.ts';

type Frame = { readonly records: ReadonlyMap<string, LogRecord>; readonly chars: number };

const nameOf = (topic: number, partition: number, offset: number): string => `${topic}/${partition}/${offset}`;

export class ColdFrames {
  readonly #log: () => Log;
  readonly #topicName: (topic: number) => string;
  readonly #charsMax: number;
  /** In order of use. */
  readonly #frames = new Map<Location, Frame>();
  readonly #loading = new Map<Location, Promise<void>>();
  #chars = 0;

  constructor(options: { log: () => Log; topicName: (topic: number) => string; charsMax: number }) {
    this.#log = options.log;
    this.#topicName = options.topicName;
    this.#charsMax = options.charsMax;
  }

  readonly find = (location: Location, partition: Partition, offset: number): LogRecord | undefined => {
    const frame = this.#frames.get(location);
    if (frame === undefined) return undefined;
    this.#frames.delete(location);
    this.#frames.set(location, frame);
    const record = frame.records.get(nameOf(partition.topicNumber, partition.number, offset));
    if (record !== undefined) return record;
    throw new BusError('BUS_CORRUPT', `offset ${offset} of ${partition.topic}/${partition.number} is not in the frame that the index names; restart the broker to build the index anew`);
  };

  /** Reads a frame, once for all who want it. */
  load(location: Location): Promise<void> {
    let loading = this.#loading.get(location);
    if (loading === undefined) {
      loading = this.#read(location).finally(() => this.#loading.delete(location));
      this.#loading.set(location, loading);
    }
    return loading;
  }

  async #read(location: Location): Promise<void> {
    const bytes = await this.#log().read(location);
    const records = new Map<string, LogRecord>();
    let chars = 0;
    const record = (view: RecordView): void => {
      records.set(nameOf(view.topic, view.partition, view.offset), view.record(this.#topicName(view.topic)));
      chars += view.textBytes;
    };
    visitEntries(bytes, frameHeadBytes, bytes.length, { record, group: () => {}, snapshot: () => {} });
    this.#frames.set(location, { records, chars });
    this.#chars += chars;
    this.#evict(location);
  }

  #evict(newest: Location): void {
    for (const [location, { chars }] of this.#frames) {
      if (this.#chars <= this.#charsMax || location === newest) return;
      this.#frames.delete(location);
      this.#chars -= chars;
    }
  }
}
