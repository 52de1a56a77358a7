/** Finds the first offset at or after a time, as Kafka does: by halving, since a partition's timestamps grow. */
import type { ColdFrames } from './cold-frames.ts';
import type { Partition } from './partition.ts';
import { takeRecords } from './poll.ts';
import { Reader } from './reader.ts';

export const offsetAtTime = async (partition: Partition, at: number | 'earliest' | 'latest', cold: ColdFrames): Promise<number> => {
  if (at === 'earliest') return partition.start;
  if (at === 'latest') return partition.next;
  let low = partition.start;
  let high = partition.next;
  // The first offset whose record is not older lies in [low, high]; high is "none", which Kafka's clients take as the end.
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    const found = await firstFrom(partition, middle, cold);
    if (found === undefined || found.timestamp >= at) high = middle;
    else low = found.offset + 1;
  }
  return low;
};

const firstFrom = async (partition: Partition, position: number, cold: ColdFrames): Promise<{ offset: number; timestamp: number } | undefined> => {
  const reader = new Reader();
  reader.add(partition, position);
  try {
    const [record] = await takeRecords(reader, { recordsMax: 1, charsMax: Number.POSITIVE_INFINITY }, cold);
    return record;
  } finally {
    reader.close();
  }
};
