/** A broker on a directory of its own, opened and opened again by the tests of what the disk keeps. */
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openEmbeddedBroker } from '../../src/bus/embedded-broker/embedded-broker.ts';
import type { BrokerLimits, EmbeddedBroker } from '../../src/bus/embedded-broker/embedded-broker.ts';
import type { TopicConfig } from '../../src/bus/topics.ts';
import type { Clock } from '../../src/host/clock.ts';
import type { InRecord } from '../../src/messages/grammar/record.ts';
import type { Log } from '../../src/observability/log.ts';
import { silentLog } from '../../src/observability/log.ts';
import { createManualClock } from './manual-clock.ts';

export const diskTopics: readonly TopicConfig[] = [
  { topic: 'log', partitions: 2, retention: 'log' },
  { topic: 'other', partitions: 1, retention: 'log' },
  { topic: 'view', partitions: 1, retention: 'compacted' },
];

export const makeDirectory = (): Promise<string> => mkdtemp(join(tmpdir(), 'cordage-bus-'));
export const removeDirectory = (directory: string): Promise<void> => rm(directory, { recursive: true, force: true });

export type OpenOptions = { limits?: Partial<BrokerLimits>; topics?: readonly TopicConfig[]; clock?: Clock; log?: Log };

/** Less than in earnest, as the tests open a broker many hundred times. */
const zeroAheadBytes = 16 * 1024;

export const openOn = (directory: string, { limits = {}, topics = diskTopics, clock = createManualClock(), log = silentLog }: OpenOptions = {}): Promise<EmbeddedBroker> =>
  openEmbeddedBroker({ storage: { type: 'disk', directory }, topics, clock, log, limits: { zeroAheadBytes, ...limits } });

export const segmentFiles = async (directory: string): Promise<string[]> => (await readdir(directory)).filter((name) => name.endsWith('.log')).sort();

/** Everything that can be read of these topics. */
export const readAll = async (broker: EmbeddedBroker, topics: readonly string[] = ['log', 'other', 'view']): Promise<readonly InRecord[]> =>
  broker.connect().follow({ topics, from: 'earliest' }).drain();

export const valuesOf = (records: readonly InRecord[], topic: string): string[] => records.filter((record) => record.topic === topic).map(({ value }) => value);
