/** Point 5: commits behind the batches, in order. A commit that fails is repeated with the next one; until then records may come again. */
import type { Consumer } from '../../bus/bus.ts';
import { streamOf, type TopicPartitionOffset } from '../../messages/grammar/record.ts';
import type { Log } from '../../observability/log.ts';
import type { Probe } from '../operational.ts';
import type { ShellMetrics } from './metrics.ts';
import type { Offsets } from './offsets.ts';

export type Committer = {
  /** Starts the commit of what is done. */
  commit(): void;
  committed(): Promise<void>;
};

export type CommitterOptions = {
  readonly offsets: Offsets;
  readonly commit: Consumer['commit'];
  readonly metrics: ShellMetrics;
  readonly log: Log;
  readonly probe: Probe | undefined;
};

export const createCommitter = ({ offsets, commit, metrics, log, probe }: CommitterOptions): Committer => {
  /** Handed out and not sent yet; a later position of a stream replaces an earlier one. */
  let waiting = new Map<string, TopicPartitionOffset>();
  let last: Promise<void> = Promise.resolve();
  const commitWaiting = async (): Promise<void> => {
    if (waiting.size === 0) return;
    const positions = [...waiting.values()];
    waiting = new Map();
    try {
      await metrics.timed('commit', () => commit(positions));
    } catch (error) {
      offsets.failed(positions);
      log.warn('commit-failed', { error });
      return;
    }
    await probe?.('committed');
  };
  return {
    commit: () => {
      // Read now, while everything that is done is also on the bus; the next batch may be half-way when its turn comes.
      for (const position of offsets.positions()) waiting.set(streamOf(position), position);
      last = last.then(commitWaiting);
      // Whoever asks `committed` hears of a failing probe; nobody else throws here.
      last.catch(() => {});
    },
    committed: () => last,
  };
};
