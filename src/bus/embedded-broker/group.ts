/**
 * A consumer group: its members, who of them reads what, and what they have committed.
 *
 *     (no member) ──first poll──▶ member ──leaves, or is silent for its session time-out──▶ (no member)
 *                                   └──the same instance polls as another member──▶ replaced at once
 *
 * - **G1** a partition is read by one member at a time: cursors are taken from the former owner before the next gets them.
 * - **G2** a new owner starts at the committed offset, so what was polled and not committed comes again (B4).
 * - **G3** a commit counts only for partitions that the member owns when it commits; the others are left out (their new
 *   owner decides).
 */
import { BusError } from '../bus.ts';
import type { Clock } from '../../host/clock.ts';
import type { Log as Logger } from '../../observability/log.ts';
import type { TopicPartitionOffset } from '../../messages/grammar/record.ts';
import { assignPartitions } from '../assignment.ts';
import type { ConsumeRequest, InstanceView, LogRecord, OffsetReset } from '../engine.ts';
import type { ColdFrames } from './cold-frames.ts';
import type { BrokerLimits } from './config.ts';
import type { GroupEntry } from './log/entry.ts';
import type { Partition } from './partition.ts';
import { pollReader } from './poll.ts';
import { Reader } from './reader.ts';
import type { TopicTable } from './topic-table.ts';

type Member = {
  readonly instance: string;
  readonly id: string | undefined;
  topics: ReadonlySet<string>;
  readonly reader: Reader;
  readonly reset: OffsetReset;
  readonly sessionTimeoutMs: number;
  readonly autoCommitMs: number | undefined;
  /** Counts polls: a newer one ends the one before it. */
  poll: number;
  polling: boolean;
  lastSeenAt: number;
  gone: boolean;
  cancelSession: (() => void) | undefined;
  cancelAutoCommit: (() => void) | undefined;
};

export type GroupPowers = {
  readonly topics: TopicTable;
  readonly clock: Clock;
  readonly cold: ColdFrames;
  readonly limits: BrokerLimits;
  readonly log: Logger;
  /** The group has something to write. */
  readonly changed: (group: Group) => void;
  readonly rebalanced: () => void;
};

export class Group {
  readonly name: string;
  readonly #powers: GroupPowers;
  readonly #members = new Map<string, Member>();
  /** Ids of replaced members, oldest first: they must not come back by themselves. */
  readonly #former = new Set<string>();
  readonly #committed = new Map<Partition, number>();
  readonly #uncommittedWork = new Set<Partition>();
  /** Topics whose records retention keeps for this group although it has committed nothing there. */
  readonly #heard = new Set<string>();
  #heardChanged = false;

  constructor(name: string, powers: GroupPowers) {
    this.name = name;
    this.#powers = powers;
  }

  /** Joins if need be, then waits for records of the partitions that the member owns. */
  async consume(request: ConsumeRequest): Promise<readonly LogRecord[]> {
    const member = this.#admit(request);
    const poll = ++member.poll;
    member.polling = true;
    // A poll that goes on for the same member would take what this one is to get.
    member.reader.wake();
    const { recordsMax, timeoutMs, signal } = request;
    const budget = { recordsMax, charsMax: this.#powers.limits.pollCharsMax };
    const ended = (): boolean => member.gone || member.poll !== poll;
    try {
      const records = await pollReader(member.reader, { budget, timeoutMs, signal, ended }, this.#powers);
      if (records.length > 0) this.#autoCommitLater(member);
      return records;
    } finally {
      if (!ended()) this.#pollEnded(member);
    }
  }

  /** `consumed`: all that was handed out. Returns nothing: a member does not learn which partitions it lost (G3). */
  commit(by: { instance: string; member?: string | undefined }, positions: readonly TopicPartitionOffset[] | 'consumed'): void {
    const member = this.#members.get(by.instance);
    const known = member !== undefined && (by.member === undefined || by.member === member.id);
    if (positions === 'consumed') {
      if (known) this.#commitConsumed(member);
      return;
    }
    const targets = positions.map(({ topic, partition, offset }) => ({ partition: this.#powers.topics.partition(topic, partition), offset }));
    for (const { partition, offset } of targets) {
      if (offset > partition.next) throw new BusError('BUS_REFUSED', `offset ${offset} lies behind the end (${partition.next}) of ${partition.topic}/${partition.number}`);
    }
    if (known) member.lastSeenAt = this.#powers.clock.now();
    // A tool may set the offsets of a group that nobody is in.
    const idle = this.#members.size === 0 && by.member === undefined;
    for (const { partition, offset } of targets) {
      if (idle || (known && member.reader.has(partition))) this.#setCommitted(partition, offset, by.member !== undefined);
    }
  }

  leave(by: { instance: string; member?: string | undefined }): void {
    const member = this.#members.get(by.instance);
    if (member === undefined || (by.member !== undefined && by.member !== member.id)) return;
    this.#remove(member);
    this.#rebalance();
  }

  /** The committed offset; `undefined` where there is none. */
  committed(partition: Partition): number | undefined {
    return this.#committed.get(partition);
  }

  /** The first offset that this group still needs. */
  floor(partition: Partition): number {
    return this.#committed.get(partition) ?? (this.#heard.has(partition.topic) ? partition.start : Number.POSITIVE_INFINITY);
  }

  get idle(): boolean {
    return this.#members.size === 0;
  }

  /** Nobody is in it and nothing is known of it. */
  get forgettable(): boolean {
    return this.idle && this.#committed.size === 0 && this.#heard.size === 0;
  }

  instances(): readonly InstanceView[] {
    return [...this.#members.values()].map((member) => ({
      name: member.instance,
      topics: [...member.topics].map((topic) => ({
        topic,
        partitions: this.#powers.topics.get(topic).partitions.filter((partition) => member.reader.has(partition)).map(({ number }) => number),
      })),
    }));
  }

  /** What changed since the last call. */
  takeChanges(): GroupEntry {
    const partitions = [...this.#uncommittedWork];
    const topics = this.#heardChanged ? this.#topicNumbers() : [];
    this.#uncommittedWork.clear();
    this.#heardChanged = false;
    const offsets = partitions.map((partition) => [partition.topicNumber, partition.number, this.#committed.get(partition) ?? 0] as const);
    return { type: 'group', group: this.name, topics, offsets };
  }

  /** Everything, for a snapshot or because a write was lost. */
  whole(): Omit<GroupEntry, 'type'> & { topics: number[]; offsets: [number, number, number][] } {
    return {
      group: this.name,
      topics: this.#topicNumbers(),
      offsets: [...this.#committed].map(([partition, offset]) => [partition.topicNumber, partition.number, offset]),
    };
  }

  markAllChanged(): void {
    for (const partition of this.#committed.keys()) this.#uncommittedWork.add(partition);
    this.#heardChanged = true;
    this.#powers.changed(this);
  }

  restore(entry: Omit<GroupEntry, 'type'>): void {
    const { topics } = this.#powers;
    for (const number of entry.topics) {
      const topic = topics.byNumber(number);
      if (topic !== undefined) this.#heard.add(topic.name);
    }
    for (const [number, partitionNumber, offset] of entry.offsets) {
      const partition = topics.byNumber(number)?.partitions[partitionNumber];
      if (partition !== undefined) this.#committed.set(partition, offset);
    }
  }

  /** After recovery: an offset behind the end would hide what comes next. */
  clampCommitted(): void {
    for (const [partition, offset] of this.#committed) if (offset > partition.next) this.#committed.set(partition, partition.next);
  }

  /** Ends all members without telling the log. */
  close(): void {
    for (const member of this.#members.values()) this.#end(member);
    this.#members.clear();
  }

  #admit(request: ConsumeRequest): Member {
    const { instance, member: id, topics } = request;
    for (const topic of topics) this.#powers.topics.get(topic);
    if (id !== undefined && this.#former.has(id)) {
      throw new BusError('BUS_REFUSED', `instance ${instance} of group ${this.name} was taken over by another process of the same name; give each replica a name of its own`);
    }
    const present = this.#members.get(instance);
    if (present !== undefined && (id === undefined || id === present.id)) {
      this.#listen(present, topics);
      return present;
    }
    if (present === undefined && this.#members.size >= this.#powers.limits.membersMax) {
      throw new BusError('BUS_REFUSED', `group ${this.name} has ${this.#members.size} members, the most there may be`);
    }
    if (request.reset === 'none') this.#refuseUncommitted(topics);
    if (present !== undefined) this.#replace(present);
    const member = this.#newMember(request);
    this.#members.set(instance, member);
    this.#hear(member);
    this.#rebalance();
    return member;
  }

  #newMember({ instance, member, topics, reset, sessionTimeoutMs, autoCommitMs, early = false }: ConsumeRequest): Member {
    return {
      instance,
      id: member,
      topics: new Set(topics),
      reader: new Reader({ early }),
      reset,
      sessionTimeoutMs,
      autoCommitMs,
      poll: 0,
      polling: false,
      lastSeenAt: this.#powers.clock.now(),
      gone: false,
      cancelSession: undefined,
      cancelAutoCommit: undefined,
    };
  }

  #refuseUncommitted(topics: readonly string[]): void {
    const missing = topics.flatMap((topic) => this.#powers.topics.get(topic).partitions).find((partition) => !this.#committed.has(partition));
    if (missing === undefined) return;
    throw new BusError('BUS_REFUSED', `group ${this.name} has committed nothing in ${missing.topic}/${missing.number}, and the consumer asked for no reset`);
  }

  #listen(member: Member, topics: readonly string[]): void {
    if (topics.length === member.topics.size && topics.every((topic) => member.topics.has(topic))) return;
    member.topics = new Set(topics);
    this.#hear(member);
    this.#rebalance();
  }

  /** From now on retention waits for this group, where it reads from the earliest record. */
  #hear({ topics, reset }: Member): void {
    if (reset !== 'earliest') return;
    for (const topic of topics) {
      if (this.#heard.has(topic)) continue;
      this.#heard.add(topic);
      this.#heardChanged = true;
    }
    if (this.#heardChanged) this.#powers.changed(this);
  }

  /** G1: all that is lost is taken away before anything is given. */
  #rebalance(): void {
    const { topics } = this.#powers;
    const owners = assignPartitions([...this.#members.values()], (topic) => topics.get(topic).partitions.length);
    for (const member of this.#members.values()) {
      for (const partition of member.reader.partitions) {
        if (owners.get(partition.topic)?.[partition.number] !== member.instance) member.reader.remove(partition);
      }
    }
    for (const [topic, instances] of owners) {
      for (const [number, instance] of instances.entries()) {
        const member = this.#members.get(instance)!;
        const partition = topics.get(topic).partitions[number]!;
        if (!member.reader.has(partition)) member.reader.add(partition, this.#firstPosition(partition, member.reset));
      }
    }
    for (const { reader } of this.#members.values()) if (reader.ready) reader.wake();
    this.#powers.rebalanced();
  }

  /** G2 */
  #firstPosition(partition: Partition, reset: OffsetReset): number {
    const committed = this.#committed.get(partition);
    if (committed !== undefined) return Math.max(committed, partition.start);
    return reset === 'latest' ? partition.next : partition.start;
  }

  #replace(member: Member): void {
    this.#end(member);
    this.#members.delete(member.instance);
    if (member.id === undefined) return;
    this.#former.add(member.id);
    const [oldest] = this.#former;
    if (this.#former.size > this.#powers.limits.formerMembersMax && oldest !== undefined) this.#former.delete(oldest);
  }

  #remove(member: Member): void {
    if (member.autoCommitMs !== undefined) this.#commitConsumed(member);
    this.#end(member);
    this.#members.delete(member.instance);
  }

  #end(member: Member): void {
    member.gone = true;
    member.cancelSession?.();
    member.cancelAutoCommit?.();
    member.reader.close();
  }

  #pollEnded(member: Member): void {
    member.polling = false;
    member.lastSeenAt = this.#powers.clock.now();
    if (member.cancelSession === undefined) this.#watchSession(member, member.sessionTimeoutMs);
  }

  /** One timer a member, set again for what is left when it fires. */
  #watchSession(member: Member, delayMs: number): void {
    member.cancelSession = this.#powers.clock.after(delayMs, () => {
      member.cancelSession = undefined;
      if (member.gone || member.polling) return;
      const left = member.lastSeenAt + member.sessionTimeoutMs - this.#powers.clock.now();
      if (left > 0) return this.#watchSession(member, left);
      this.#powers.log.warn('bus.session_expired', { group: this.name, instance: member.instance, silentMs: member.sessionTimeoutMs });
      this.#remove(member);
      this.#rebalance();
    });
  }

  #autoCommitLater(member: Member): void {
    if (member.autoCommitMs === undefined || member.cancelAutoCommit !== undefined) return;
    member.cancelAutoCommit = this.#powers.clock.after(member.autoCommitMs, () => {
      member.cancelAutoCommit = undefined;
      if (!member.gone) this.#commitConsumed(member);
    });
  }

  #commitConsumed(member: Member): void {
    member.lastSeenAt = this.#powers.clock.now();
    for (const partition of member.reader.partitions) {
      const position = member.reader.position(partition);
      if (position !== undefined && position > 0) this.#setCommitted(partition, position, false);
    }
  }

  #setCommitted(partition: Partition, offset: number, onlyForward: boolean): void {
    const before = this.#committed.get(partition);
    if (before === offset || (onlyForward && before !== undefined && offset < before)) return;
    this.#committed.set(partition, offset);
    this.#uncommittedWork.add(partition);
    this.#powers.changed(this);
  }

  #topicNumbers(): number[] {
    return [...this.#heard].flatMap((name) => this.#powers.topics.find(name)?.number ?? []);
  }
}
