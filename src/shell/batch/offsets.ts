/**
 * What may be committed of each stream: everything before the first record that is not done.
 *
 * `next` follows the last poll even backwards: when a partition comes back to this replica, it begins again where the group
 * had committed, and nothing beyond that may be committed before it was seen again.
 */
import { streamOf, type InRecord, type TopicPartitionOffset } from '../../messages/grammar/record.ts';

type Stream = { readonly topic: string; readonly partition: number; next: number; readonly open: Set<number>; committed: number };

export type Offsets = {
  /** The record is in work from now on. False when it is in work already. */
  open(record: InRecord): boolean;
  done(record: InRecord): void;
  /** The record was never there: another will come with its offset. */
  takeBack(record: InRecord): void;
  /** Positions that changed since they were last handed out. */
  positions(): readonly TopicPartitionOffset[];
  /** The commit of these positions failed: they are handed out again. */
  failed(positions: readonly TopicPartitionOffset[]): void;
};

const positionOf = ({ next, open }: Stream): number => {
  let first = next;
  for (const offset of open) if (offset < first) first = offset;
  return first;
};

export const createOffsets = (): Offsets => {
  const streams = new Map<string, Stream>();
  const streamFor = (record: InRecord): Stream => {
    const id = streamOf(record);
    const known = streams.get(id);
    if (known !== undefined) return known;
    const { topic, partition, offset } = record;
    const made: Stream = { topic, partition, next: offset, open: new Set(), committed: -1 };
    streams.set(id, made);
    return made;
  };
  return {
    open: (record) => {
      const stream = streamFor(record);
      stream.next = record.offset + 1;
      // It came again, so what we committed beyond it was left out: the partition was not ours then.
      if (record.offset < stream.committed) stream.committed = -1;
      if (stream.open.has(record.offset)) return false;
      stream.open.add(record.offset);
      return true;
    },
    done: (record) => void streamFor(record).open.delete(record.offset),
    takeBack: (record) => {
      const stream = streamFor(record);
      stream.open.delete(record.offset);
      stream.next = Math.min(stream.next, record.offset);
    },
    positions: () => {
      const changed: TopicPartitionOffset[] = [];
      for (const stream of streams.values()) {
        const offset = positionOf(stream);
        if (offset === stream.committed) continue;
        stream.committed = offset;
        changed.push({ topic: stream.topic, partition: stream.partition, offset });
      }
      return changed;
    },
    failed: (positions) => {
      for (const position of positions) {
        const stream = streams.get(streamOf(position));
        if (stream?.committed === position.offset) stream.committed = -1;
      }
    },
  };
};
