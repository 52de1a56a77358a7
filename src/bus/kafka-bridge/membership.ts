/**
 * One member of a Kafka group, under a stable name (static membership) and with cooperative rebalances.
 *
 *     joining ──join, sync──▶ stable ──heartbeat: the group changes──▶ joining (still reading what it owns)
 *        ▲                      │ ├─heartbeat: unknown, or too late──▶ joining (owns nothing)
 *        └──────────────────────┘ └─heartbeat: another has the name──▶ fenced
 *
 * - **K1** a partition is let go of before its loss is told to the group, so that no two members read it (B3).
 * - **K2** what is gained begins at the committed offset, read after the gain (B4).
 * - **K3** a commit counts under the generation in which the partition is owned; the broker refuses others.
 */
import { heartbeatV4, joinGroupV9, leaveGroupV5, syncGroupV5, type Connection } from '@platformatic/kafka';
import { createHash } from 'node:crypto';
import type { BusError } from '../bus.ts';
import { pause, systemClock } from '../../host/clock.ts';
import { streamOf, type TopicPartition, type TopicPartitionOffset } from '../../messages/grammar/record.ts';
import { assign, decodeAssigned, decodeSubscription, encodeAssigned, encodeSubscription, protocolName, type GroupMember } from './assignor.ts';
import type { GroupTimes } from './config.ts';
import type { Coordinator, Speaker } from './coordinator.ts';
import { busErrorOf, kafkaCodeOf } from './failure.ts';

export type MembershipOptions = {
  readonly coordinator: Coordinator;
  readonly instance: string;
  /** Kafka's names. */
  readonly topics: readonly string[];
  readonly times: GroupTimes;
  /** Begins to read these; resolves when it stands where it shall begin (K2). */
  readonly gained: (places: readonly TopicPartition[]) => Promise<void>;
  readonly lost: (places: readonly TopicPartition[]) => void;
  /** Something that a poll may wait for has changed. */
  readonly changed: () => void;
};

/** Kafka's limits on the name of an instance. */
const groupInstanceOf = (instance: string): string => (/^[-._A-Za-z0-9]{1,200}$/.test(instance) ? instance : `x-${createHash('sha256').update(instance).digest('base64url')}`);

/** Heartbeats while partitions are on their way to somebody: the next round is near. */
const pendingHeartbeatMs = 25;

export class Membership {
  readonly #options: MembershipOptions;
  readonly #groupInstance: string;
  readonly #ending = new AbortController();
  readonly #running: Promise<void>;
  readonly #owned = new Map<string, TopicPartition>();
  #topics: readonly string[];
  #connection: Connection | undefined;
  #memberId = '';
  #generation = -1;
  #mustJoin = true;
  #pending = false;
  #fenced = false;
  #contactAt = Date.now();
  #failure: BusError | undefined;
  #rouse = new AbortController();

  constructor(options: MembershipOptions) {
    this.#options = options;
    this.#topics = options.topics.toSorted();
    this.#groupInstance = groupInstanceOf(options.instance);
    this.#running = this.#run();
  }

  /** Whether all that the member will have for now is there. */
  get settled(): boolean {
    return !this.#mustJoin && !this.#pending;
  }

  /** Another process has joined under this name. */
  get fenced(): boolean {
    return this.#fenced;
  }

  /** Why it is not in the group; `undefined` while nothing is known to be wrong. */
  get failure(): BusError | undefined {
    return this.#failure;
  }

  get owned(): readonly TopicPartition[] {
    return [...this.#owned.values()];
  }

  owns(place: TopicPartition): boolean {
    return this.#owned.has(streamOf(place));
  }

  get speaker(): Speaker {
    return { memberId: this.#memberId, generation: this.#generation, groupInstance: this.#groupInstance };
  }

  subscribe(topics: readonly string[]): void {
    this.#topics = topics.toSorted();
    this.rejoin();
  }

  /** At once, not at the next heartbeat. */
  rejoin(): void {
    this.#mustJoin = true;
    this.#rouse.abort();
  }

  /** As if it had lost everything: each partition comes anew, at its committed offset. */
  rejoinFromNothing(): void {
    this.#letGo(this.owned);
    this.rejoin();
  }

  /** What the owned partitions' positions are in; those of others are left out. */
  async commit(positions: readonly TopicPartitionOffset[]): Promise<void> {
    const { coordinator } = this.#options;
    const { cluster } = coordinator;
    await cluster.insist('commit', cluster.limits.answerMsMax, async () => {
      const owned = positions.filter((position) => this.owns(position));
      if (owned.length === 0) return;
      try {
        await coordinator.commit(this.speaker, owned);
      } catch (error) {
        const code = kafkaCodeOf(error);
        if (code === 'UNKNOWN_MEMBER_ID' || code === 'FENCED_INSTANCE_ID') return this.rejoin();
        // Under the next generation it counts, for what is still owned.
        if (code === 'ILLEGAL_GENERATION') this.rejoin();
        throw error;
      }
    });
  }

  /** Leaves the group at once. */
  async leave(): Promise<void> {
    if (this.#ending.signal.aborted) return this.#running;
    this.#end();
    const { coordinator } = this.#options;
    const members = [{ memberId: this.#memberId, groupInstanceId: this.#groupInstance, reason: null }];
    try {
      if (!this.#fenced) await coordinator.ask((connection) => leaveGroupV5.api.async(connection, coordinator.group, members));
    } catch (error) {
      coordinator.cluster.log.debug('bus.kafka_leave_failed', { group: coordinator.group, error, next: 'the session time-out does it' });
    }
    this.#disconnect();
    await this.#running;
  }

  /** Ends without a word to the group: the name keeps its partitions until the session is over. */
  abandon(): void {
    this.#end();
    this.#disconnect();
  }

  #end(): void {
    this.#ending.abort();
    this.#rouse.abort();
    this.#letGo(this.owned);
  }

  async #run(): Promise<void> {
    const { signal } = this.#ending;
    for (let tried = 0; !signal.aborted && !this.#fenced; ) {
      try {
        if (this.#mustJoin) await this.#join();
        else await this.#beat();
        tried = 0;
      } catch (error) {
        if (signal.aborted || this.#options.coordinator.cluster.closed) return;
        if (this.#meet(error)) await this.#options.coordinator.cluster.rest(tried++);
      }
    }
  }

  async #join(): Promise<void> {
    const { coordinator, times } = this.#options;
    const { group, cluster } = coordinator;
    this.#connection ??= await coordinator.connect();
    const metadata = encodeSubscription({ topics: this.#topics, owned: this.owned, generation: this.#generation });
    const joined = await joinGroupV9.api.async(
      this.#connection, group, times.sessionTimeoutMs, times.rebalanceTimeoutMs, this.#memberId, this.#groupInstance, 'consumer', [{ name: protocolName, metadata }], null,
    );
    if (this.#ending.signal.aborted) return;
    this.#memberId = joined.memberId;
    this.#generation = joined.generationId;
    let shares: { memberId: string; assignment: Buffer }[] = [];
    if (joined.leader === joined.memberId && !joined.skipAssignment) {
      const members: GroupMember[] = joined.members.map(({ memberId, groupInstanceId, metadata: bytes }) => ({ memberId, instance: groupInstanceId ?? memberId, ...decodeSubscription(bytes) }));
      if (members.some(({ topics }) => topics.some((topic) => !cluster.topics().has(topic)))) await cluster.refresh();
      shares = [...assign(members, (topic) => cluster.topics().get(topic)?.length ?? 0)].map(([memberId, assigned]) => ({ memberId, assignment: encodeAssigned(assigned) }));
    }
    const synced = await syncGroupV5.api.async(this.#connection, group, this.#generation, this.#memberId, this.#groupInstance, 'consumer', protocolName, shares);
    this.#contactAt = Date.now();
    await this.#apply(decodeAssigned(synced.assignment));
  }

  async #apply({ places, pending, topics }: ReturnType<typeof decodeAssigned>): Promise<void> {
    const wanted = new Set(places.map(streamOf));
    const revoked = this.owned.filter((place) => !wanted.has(streamOf(place)));
    const fresh = places.filter((place) => !this.owns(place));
    this.#letGo(revoked);
    if (fresh.length > 0) await this.#options.gained(fresh);
    if (this.#ending.signal.aborted) return;
    for (const place of fresh) this.#owned.set(streamOf(place), place);
    this.#pending = pending;
    this.#mustJoin = revoked.length > 0 || topics.join() !== this.#topics.join();
    this.#failure = undefined;
    const { coordinator, instance } = this.#options;
    coordinator.cluster.log.debug('bus.kafka_assigned', { group: coordinator.group, instance, generation: this.#generation, owned: this.#owned.size, revoked: revoked.length, pending });
    this.#options.changed();
  }

  async #beat(): Promise<void> {
    const { coordinator, times } = this.#options;
    this.#rouse = new AbortController();
    await pause(systemClock, this.#pending ? pendingHeartbeatMs : times.heartbeatMs, this.#rouse.signal);
    if (this.#ending.signal.aborted || this.#mustJoin) return;
    this.#connection ??= await coordinator.connect();
    await heartbeatV4.api.async(this.#connection, coordinator.group, this.#generation, this.#memberId, this.#groupInstance);
    this.#contactAt = Date.now();
  }

  /** What an error means; true when the next try shall wait. */
  #meet(error: unknown): boolean {
    const { coordinator, instance, times } = this.#options;
    const code = kafkaCodeOf(error);
    switch (code) {
      case 'REBALANCE_IN_PROGRESS':
        this.#mustJoin = true;
        return false;
      case 'FENCED_INSTANCE_ID':
        this.#fenced = true;
        coordinator.cluster.log.warn('bus.kafka_fenced', { group: coordinator.group, instance, meaning: 'another bridge has joined under this name' });
        this.#lose();
        return false;
      case 'UNKNOWN_MEMBER_ID':
        this.#memberId = '';
        this.#lose();
        return false;
      case 'ILLEGAL_GENERATION':
        this.#lose();
        return false;
      default:
        this.#failure = busErrorOf(error, `join the group ${coordinator.group}`);
        coordinator.note(error);
        this.#disconnect();
        coordinator.cluster.log.debug('bus.kafka_group_failed', { group: coordinator.group, instance, error });
        // By now the others have what was ours.
        if (Date.now() - this.#contactAt > times.sessionTimeoutMs) this.#lose();
        this.#options.changed();
        void coordinator.cluster.refreshIfOld().catch(() => {});
        return true;
    }
  }

  #lose(): void {
    this.#mustJoin = true;
    this.#generation = -1;
    this.#letGo(this.owned);
    this.#options.changed();
  }

  /** K1 */
  #letGo(places: readonly TopicPartition[]): void {
    if (places.length === 0) return;
    for (const place of places) this.#owned.delete(streamOf(place));
    this.#options.lost(places);
  }

  #disconnect(): void {
    const connection = this.#connection;
    this.#connection = undefined;
    if (connection !== undefined) this.#options.coordinator.cluster.discard(connection);
  }
}
