/**
 * The HTTP clients that consume in groups. The bridge heartbeats to Kafka for each as long as it polls; one that is silent for
 * its session time-out, or whose place another life of the instance takes, is out.
 */
import { BusError } from '../bus.ts';
import type { ConsumeRequest, GroupView, LogRecord, MemberName } from '../engine.ts';
import type { Clock } from '../../host/clock.ts';
import type { TopicPartition, TopicPartitionOffset } from '../../messages/grammar/record.ts';
import type { KafkaCluster } from './cluster.ts';
import type { GroupTimes } from './config.ts';
import { Coordinator, nobody } from './coordinator.ts';
import type { Names } from './names.ts';
import { latestTime, listOffsets } from './offsets.ts';
import { pollReader } from './poll.ts';
import { Seat } from './seat.ts';

/** One life of an instance on its seat. */
type Member = {
  readonly group: string;
  readonly instance: string;
  readonly id: string | undefined;
  readonly seat: Seat;
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

export type ConsumersOptions = {
  readonly cluster: KafkaCluster;
  readonly names: Names;
  readonly clock: Clock;
  readonly times: GroupTimes;
  readonly rebalanced: () => void;
};

const keyOf = ({ group, instance }: MemberName): string => JSON.stringify([group, instance]);

export class Consumers {
  readonly #options: ConsumersOptions;
  readonly #members = new Map<string, Member>();
  /** Ids of replaced members, oldest first: they must not come back by themselves. */
  readonly #former = new Set<string>();
  readonly #coordinators = new Map<string, Coordinator>();

  constructor(options: ConsumersOptions) {
    this.#options = options;
  }

  async consume(request: ConsumeRequest): Promise<readonly LogRecord[]> {
    const { cluster, clock } = this.#options;
    const member = await this.#admit(request);
    const { seat } = member;
    const poll = ++member.poll;
    member.polling = true;
    // A poll that goes on for the same member would take what this one is to get.
    seat.reader.wake();
    const ended = (): boolean => member.gone || member.poll !== poll || seat.membership.fenced;
    const { recordsMax, timeoutMs, signal } = request;
    const budget = { recordsMax, charsMax: cluster.limits.pollCharsMax };
    try {
      const records = await pollReader(seat.reader, { budget, timeoutMs, signal, ended, settled: () => seat.settled(), ends: () => seat.ends() }, { clock, limits: cluster.limits });
      if (records.length > 0) this.#autoCommitLater(member);
      return records;
    } finally {
      if (seat.membership.fenced && !member.gone) this.#forgetFenced(member);
      else if (!ended()) this.#pollEnded(member);
    }
  }

  /** A member does not learn which partitions it lost: their new owner decides. */
  async commit(by: MemberName, positions: readonly TopicPartitionOffset[] | 'consumed'): Promise<void> {
    const member = this.#members.get(keyOf(by));
    const known = member !== undefined && (by.member === undefined || by.member === member.id);
    if (known) member.lastSeenAt = this.#options.clock.now();
    if (positions === 'consumed') return known ? member.seat.commitConsumed() : undefined;
    await this.#refuseBeyond(positions, known ? member : undefined);
    if (known) return member.seat.commit(positions, by.member !== undefined);
    const idle = member === undefined && by.member === undefined;
    if (idle) await this.#commitForNobody(by.group, positions);
  }

  /** What a member was handed lies before the end; other offsets are looked up. */
  async #refuseBeyond(positions: readonly TopicPartitionOffset[], member: Member | undefined): Promise<void> {
    const { cluster, names } = this.#options;
    const asked = positions.filter((position) => position.offset > (member?.seat.reader.position(position) ?? -1)).map((position) => ({ ...position, topic: names.topic(position.topic) }));
    const known = asked.filter(({ topic }) => cluster.topics().has(topic));
    if (known.length < asked.length) throw new BusError('BUS_UNKNOWN_TOPIC', 'a commit names a topic that Kafka does not have');
    if (asked.length === 0) return;
    const ends = await listOffsets(cluster, latestTime, asked);
    const beyond = asked.find(({ offset }, i) => offset > ends[i]!);
    if (beyond !== undefined) throw new BusError('BUS_REFUSED', `offset ${beyond.offset} lies behind the end of ${beyond.topic}/${beyond.partition}`);
  }

  /** A tool may set the offsets of a group that nobody is in; Kafka refuses where somebody is. */
  async #commitForNobody(group: string, positions: readonly TopicPartitionOffset[]): Promise<void> {
    const { cluster, names } = this.#options;
    const kafka = positions.map((position) => ({ ...position, topic: names.topic(position.topic) }));
    await cluster.insist('commit', cluster.limits.answerMsMax, () => this.#coordinatorOf(group).commit(nobody, kafka));
  }

  committed(group: string, places: readonly TopicPartition[]): Promise<number[]> {
    const { names } = this.#options;
    return this.#coordinatorOf(group).committed(places.map(({ topic, partition }) => ({ topic: names.topic(topic), partition })));
  }

  async leave(by: MemberName): Promise<void> {
    const member = this.#members.get(keyOf(by));
    if (member === undefined || (by.member !== undefined && by.member !== member.id)) return;
    await this.#remove(member);
  }

  views(): readonly GroupView[] {
    const groups = new Map<string, GroupView & { readonly instances: GroupView['instances'][number][] }>();
    for (const { group, instance, seat } of this.#members.values()) {
      const view = groups.get(group) ?? { name: group, instances: [] };
      const partitions = (topic: string): number[] => seat.reader.partitions.filter((place) => place.topic === topic).map(({ partition }) => partition).toSorted((one, other) => one - other);
      view.instances.push({ name: instance, topics: [...seat.topics].map((topic) => ({ topic, partitions: partitions(topic) })) });
      groups.set(group, view);
    }
    return [...groups.values()];
  }

  /** Ends the polls and leaves all groups. */
  async close(): Promise<void> {
    await Promise.all([...this.#members.values()].map((member) => this.#remove(member)));
  }

  async #admit(request: ConsumeRequest): Promise<Member> {
    const { instance, group, member: id, topics, reset } = request;
    const taken = (): boolean => id !== undefined && this.#former.has(id);
    if (taken()) throw takenOver(request);
    const key = keyOf(request);
    const known = this.#members.get(key);
    if (known !== undefined && (id === undefined || id === known.id)) {
      known.seat.subscribe(topics);
      return known;
    }
    if (known === undefined && this.#members.size >= this.#options.cluster.limits.consumersMax) {
      throw new BusError('BUS_REFUSED', `the bridge has ${this.#members.size} consumers, the most there may be`);
    }
    if (reset === 'none') await this.#refuseUncommitted(group, topics);
    // Others may have come meanwhile.
    const present = this.#members.get(key);
    if (taken()) throw takenOver(request);
    if (present !== undefined) this.#replace(present);
    const member = this.#newMember(request, present?.seat ?? new Seat({ ...this.#options, group, instance, topics, reset }));
    if (present !== undefined) {
      member.seat.subscribe(topics);
      member.seat.rewind();
    }
    this.#members.set(key, member);
    return member;
  }

  #newMember({ group, instance, member, sessionTimeoutMs, autoCommitMs }: ConsumeRequest, seat: Seat): Member {
    const lastSeenAt = this.#options.clock.now();
    return { group, instance, id: member, seat, sessionTimeoutMs, autoCommitMs, poll: 0, polling: false, lastSeenAt, gone: false, cancelSession: undefined, cancelAutoCommit: undefined };
  }

  async #refuseUncommitted(group: string, topics: readonly string[]): Promise<void> {
    const { cluster, names } = this.#options;
    const places = topics.flatMap((topic) => (cluster.topics().get(names.topic(topic)) ?? []).map((_, partition) => ({ topic, partition })));
    const offsets = await this.committed(group, places);
    const missing = places.find((_, i) => offsets[i]! < 0);
    if (missing === undefined) return;
    throw new BusError('BUS_REFUSED', `group ${group} has committed nothing in ${missing.topic}/${missing.partition}, and the consumer asked for no reset`);
  }

  /** Its seat is its successor's. */
  #replace(member: Member): void {
    this.#end(member);
    member.seat.reader.wake();
    if (member.id !== undefined) this.#remember(member.id);
  }

  #remember(id: string): void {
    this.#former.add(id);
    const [oldest] = this.#former;
    if (this.#former.size > this.#options.cluster.limits.formerMembersMax && oldest !== undefined) this.#former.delete(oldest);
  }

  /** The instance lives at another bridge now. */
  #forgetFenced(member: Member): void {
    this.#end(member);
    if (member.id !== undefined) this.#remember(member.id);
    this.#members.delete(keyOf(member));
    void member.seat.leave();
  }

  async #remove(member: Member): Promise<void> {
    this.#end(member);
    if (this.#members.get(keyOf(member)) === member) this.#members.delete(keyOf(member));
    if (member.autoCommitMs !== undefined) await member.seat.commitConsumed().catch((error: unknown) => this.#options.cluster.log.warn('bus.kafka_auto_commit_failed', { group: member.group, error }));
    await member.seat.leave();
  }

  #end(member: Member): void {
    member.gone = true;
    member.cancelSession?.();
    member.cancelAutoCommit?.();
  }

  #pollEnded(member: Member): void {
    member.polling = false;
    member.lastSeenAt = this.#options.clock.now();
    if (member.cancelSession === undefined) this.#watchSession(member, member.sessionTimeoutMs);
  }

  /** One timer a member, set again for what is left when it fires. */
  #watchSession(member: Member, delayMs: number): void {
    const { clock, cluster } = this.#options;
    member.cancelSession = clock.after(delayMs, () => {
      member.cancelSession = undefined;
      if (member.gone || member.polling) return;
      const left = member.lastSeenAt + member.sessionTimeoutMs - clock.now();
      if (left > 0) return this.#watchSession(member, left);
      cluster.log.warn('bus.session_expired', { group: member.group, instance: member.instance, silentMs: member.sessionTimeoutMs });
      void this.#remove(member);
    });
  }

  #autoCommitLater(member: Member): void {
    if (member.autoCommitMs === undefined || member.cancelAutoCommit !== undefined) return;
    const { clock, cluster } = this.#options;
    member.cancelAutoCommit = clock.after(member.autoCommitMs, () => {
      member.cancelAutoCommit = undefined;
      if (!member.gone) member.seat.commitConsumed().catch((error: unknown) => cluster.log.warn('bus.kafka_auto_commit_failed', { group: member.group, error }));
    });
  }

  #coordinatorOf(group: string): Coordinator {
    const { cluster, names } = this.#options;
    const known = this.#coordinators.get(group);
    if (known !== undefined) return known;
    const one = new Coordinator(cluster, names.group(group));
    this.#coordinators.set(group, one);
    const [oldest] = this.#coordinators.keys();
    if (this.#coordinators.size > cluster.limits.consumersMax && oldest !== undefined) this.#coordinators.delete(oldest);
    return one;
  }
}

const takenOver = ({ instance, group }: MemberName): BusError =>
  new BusError('BUS_REFUSED', `instance ${instance} of group ${group} was taken over by another process of the same name; give each replica a name of its own`);
