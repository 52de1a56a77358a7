/**
 * All consumer groups, and how their offsets reach the log.
 *
 * A commit is acknowledged from memory and rides on the next frame, or on one of its own after a short while. That is safe:
 * who commits has made its effects durable before, so a commit lost in a crash only brings deliveries again (W3).
 */
import { BusError } from '../bus.ts';
import type { TopicPartitionOffset } from '../../messages/grammar/record.ts';
import { Group } from './group.ts';
import type { ConsumeRequest, GroupView, LogRecord } from '../engine.ts';
import type { GroupPowers } from './group.ts';
import type { GroupEntry, LogEntry } from './log/entry.ts';
import type { Riders } from './log/log.ts';
import type { Partition } from './partition.ts';

export type GroupsOptions = Omit<GroupPowers, 'changed'> & {
  /** Asks the log to write what rides along. */
  readonly kick: () => void;
};

export class Groups implements Riders {
  readonly #options: GroupsOptions;
  readonly #groups = new Map<string, Group>();
  readonly #changed = new Set<Group>();
  #due = false;
  #cancelFlush: (() => void) | undefined;

  constructor(options: GroupsOptions) {
    this.#options = options;
  }

  consume(request: ConsumeRequest): Promise<readonly LogRecord[]> {
    return this.#get(request.group).consume(request);
  }

  commit(by: { group: string; instance: string; member?: string | undefined }, positions: readonly TopicPartitionOffset[] | 'consumed'): void {
    this.#get(by.group).commit(by, positions);
  }

  leave(by: { group: string; instance: string; member?: string | undefined }): void {
    const group = this.#groups.get(by.group);
    group?.leave(by);
    if (group?.forgettable === true) this.#groups.delete(by.group);
  }

  committed(group: string, partition: Partition): number | undefined {
    return this.#groups.get(group)?.committed(partition);
  }

  /** The group that needs the oldest record of a partition, and from which offset. */
  slowest(partition: Partition): { group: string | undefined; offset: number } {
    let slowest: { group: string | undefined; offset: number } = { group: undefined, offset: Number.POSITIVE_INFINITY };
    for (const group of this.#groups.values()) {
      const offset = group.floor(partition);
      if (offset < slowest.offset) slowest = { group: group.name, offset };
    }
    return slowest;
  }

  views(): readonly GroupView[] {
    return [...this.#groups.values()].filter(({ idle }) => !idle).map((group) => ({ name: group.name, instances: group.instances() }));
  }

  // ── What rides on the log ──

  take(): readonly LogEntry[] {
    if (this.#changed.size === 0) return [];
    const entries = [...this.#changed].map((group) => group.takeChanges());
    this.#changed.clear();
    this.#due = false;
    this.#cancelFlush?.();
    this.#cancelFlush = undefined;
    return entries;
  }

  due(): boolean {
    return this.#due && this.#changed.size > 0;
  }

  lost(): void {
    this.#due = false;
    for (const group of this.#groups.values()) group.markAllChanged();
  }

  /** The offsets are to be written at the log's next turn, with or without a frame. */
  flush(): void {
    this.#due = true;
    this.#options.kick();
  }

  snapshot(): ReturnType<Group['whole']>[] {
    return [...this.#groups.values()].map((group) => group.whole());
  }

  restore(entry: Omit<GroupEntry, 'type'>): void {
    this.#get(entry.group).restore(entry);
  }

  clampCommitted(): void {
    for (const group of this.#groups.values()) group.clampCommitted();
  }

  close(): void {
    for (const group of this.#groups.values()) group.close();
    this.#cancelFlush?.();
    this.flush();
  }

  #get(name: string): Group {
    const known = this.#groups.get(name);
    if (known !== undefined) return known;
    if (this.#groups.size >= this.#options.limits.groupsMax) this.#forgetOne();
    const group = new Group(name, { ...this.#options, changed: (changed) => this.#note(changed) });
    this.#groups.set(name, group);
    return group;
  }

  #forgetOne(): void {
    for (const [name, group] of this.#groups) {
      if (!group.forgettable) continue;
      this.#groups.delete(name);
      return;
    }
    throw new BusError('BUS_REFUSED', `the broker has ${this.#groups.size} consumer groups, the most there may be`);
  }

  #note(group: Group): void {
    this.#changed.add(group);
    this.#cancelFlush ??= this.#options.clock.after(this.#options.limits.commitFlushMsMax, () => {
      this.#cancelFlush = undefined;
      this.flush();
    });
  }
}
