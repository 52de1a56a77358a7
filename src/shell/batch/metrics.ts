/** What the shell counts, the same for every room. */
import type { InRecord } from '../../messages/grammar/record.ts';
import type { Room } from '../../messages/grammar/wire.ts';
import type { Metrics } from '../../observability/metrics.ts';

export type Phase = 'load' | 'step' | 'save' | 'publish' | 'commit';
export type Happening = 'malformed' | 'parked' | 'conflict' | 'later' | 'retry' | 'repeat' | 'expired' | 'wake' | 'stale-wake' | 'unwritten';

export type ShellMetrics = {
  batch(records: readonly InRecord[]): void;
  /** Runs the work and observes how long it took. */
  timed<Result>(phase: Phase, work: () => Promise<Result>): Promise<Result>;
  count(what: Happening, topic: string, count?: number): void;
};

const sizeBuckets = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000] as const;

const countByTopic = (records: readonly InRecord[]): Map<string, number> => {
  const counts = new Map<string, number>();
  for (const { topic } of records) counts.set(topic, (counts.get(topic) ?? 0) + 1);
  return counts;
};

/** `loop` names the loop: the room for a machine, else the wire's topic. */
export const createShellMetrics = (metrics: Metrics, room: Room, loop: string): ShellMetrics => {
  const batches = metrics.counter('cordage_shell_batches_total', 'Batches handled');
  const records = metrics.counter('cordage_shell_records_total', 'Records polled');
  const sizes = metrics.histogram('cordage_shell_batch_records', 'Records in one batch', sizeBuckets);
  const seconds = metrics.histogram('cordage_shell_phase_seconds', 'Seconds one phase of a batch took');
  const events = metrics.counter('cordage_shell_events_total', 'Records and keys that did not go the straight way');
  const labels = { room, loop };
  return {
    batch: (polled) => {
      batches.add(1, labels);
      sizes.observe(polled.length, labels);
      for (const [topic, count] of countByTopic(polled)) records.add(count, { room, topic });
    },
    timed: async (phase, work) => {
      const startedAt = performance.now();
      try {
        return await work();
      } finally {
        seconds.observe((performance.now() - startedAt) / 1_000, { ...labels, phase });
      }
    },
    count: (what, topic, count = 1) => {
      if (count > 0) events.add(count, { room, topic, what });
    },
  };
};
