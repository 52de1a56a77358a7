/** Frames read back from the log for those who read what memory no longer holds. */
import { BusError } from '../bus.ts';
import type { Log } from './log/log.ts';
import { frameHeadBytes, visitEntries } from './log/frame.ts';
import type { RecordView } from './log/frame.ts';
import type { Partition } from './partition.ts';
import type { LogRecord } from '../engine.ts';
import type { Location } from './record.ts';

/** A frame as its bytes: of most frames a reader wants a few records, so each is decoded when it is asked for. */
type Frame = { readonly partitions: ReadonlyMap<number, readonly RecordView[]>; readonly bytes: number };

/** One number for a topic and a partition; both have 16 bits in the log. */
const partitionId = (topic: number, partition: number): number => topic * 65_536 + partition;

export class ColdFrames {
  readonly #log: () => Log;
  readonly #countRead: () => void;
  readonly #bytesMax: number;
  /** In order of use. */
  readonly #frames = new Map<Location, Frame>();
  readonly #loading = new Map<Location, Promise<void>>();
  #bytes = 0;

  constructor(options: { log: () => Log; bytesMax: number; read: () => void }) {
    this.#log = options.log;
    this.#countRead = options.read;
    this.#bytesMax = options.bytesMax;
  }

  readonly find = (location: Location, partition: Partition, offset: number): LogRecord | undefined => {
    const frame = this.#frames.get(location);
    if (frame === undefined) return undefined;
    this.#frames.delete(location);
    this.#frames.set(location, frame);
    const views = frame.partitions.get(partitionId(partition.topicNumber, partition.number)) ?? [];
    // Offsets of a log partition follow one another; a compacted one's may not.
    const near = views[offset - (views[0]?.offset ?? 0)];
    const view = near?.offset === offset ? near : views.find((one) => one.offset === offset);
    if (view !== undefined) return view.record(partition.topic);
    throw new BusError('BUS_CORRUPT', `offset ${offset} of ${partition.topic}/${partition.number} is not in the frame that the index names; restart the broker`);
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
    this.#countRead();
    const bytes = await this.#log().read(location);
    const partitions = new Map<number, RecordView[]>();
    const record = (view: RecordView): void => {
      const id = partitionId(view.topic, view.partition);
      const views = partitions.get(id);
      if (views === undefined) partitions.set(id, [view]);
      else views.push(view);
    };
    visitEntries(bytes, frameHeadBytes, bytes.length, { record, group: () => {}, snapshot: () => {} });
    this.#frames.set(location, { partitions, bytes: bytes.length });
    this.#bytes += bytes.length;
    this.#evict(location);
  }

  #evict(newest: Location): void {
    for (const [location, { bytes }] of this.#frames) {
      if (this.#bytes <= this.#bytesMax || location === newest) return;
      this.#frames.delete(location);
      this.#bytes -= bytes;
    }
  }
}
