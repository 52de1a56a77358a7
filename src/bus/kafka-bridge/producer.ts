/**
 * The way into Kafka: idempotent, acknowledged by all in-sync replicas, many callers in one request to each leader.
 *
 *     append ─▶ a queue for each partition ─▶ (next turn) one request to each leader ─▶ offsets
 *                       ▲                                    │
 *                       └── the next batch, when this one is done ◀──┘
 *
 * - **P1** a partition has one batch under way; the next leaves when it is done. So a repeat never overtakes, whoever leads.
 * - **P2** a repeat carries the producer's id, epoch and sequence of the first try, so that the broker knows it.
 * - **P3** where it is not known whether a batch was written and nobody repeats it, the partition's epoch rises: what still
 *   floats of the batch is refused by the broker once anything newer was written.
 */
import { initProducerIdV4, NumericMap, produceV11, type Connection } from '@platformatic/kafka';
import { BusError } from '../bus.ts';
import { streamOf } from '../../messages/grammar/record.ts';
import type { KafkaCluster } from './cluster.ts';
import { busErrorOf, errorOf, kafkaCodeOf, mayPass, responseOf } from './failure.ts';
import type { Outgoing } from './records.ts';

type ProduceResponse = produceV11.ProduceResponse;
type ProduceResponsePartition = produceV11.ProduceResponsePartition;
/** What one caller publishes; it hears when all is durable, or of the first failure. */
type Call = { readonly offsets: number[]; left: number; readonly done: (offsets: number[]) => void; readonly failed: (error: BusError) => void };
type Waiting = { readonly outgoing: Outgoing; readonly call: Call; readonly index: number };

type Batch = { readonly stream: Stream; readonly waiting: readonly Waiting[]; readonly deadline: number; tried: number };

/** One partition's way in. */
type Stream = {
  readonly topic: string;
  readonly partition: number;
  readonly queue: Waiting[];
  busy: boolean;
  epoch: number;
  sequence: number;
};

/** Batches of one epoch for one leader. */
type Shipment = { readonly leader: number; readonly epoch: number; readonly batches: Batch[] };

/** Kafka counts sequences and epochs in whole numbers of 31 and 15 bits. */
const sequenceEnd = 2 ** 31;
const epochMax = 2 ** 15 - 1;

/** Answers after which a batch starts anew under the next epoch: the broker has forgotten the producer, or never met it. */
const forgotten = new Set(['OUT_OF_ORDER_SEQUENCE_NUMBER', 'UNKNOWN_PRODUCER_ID', 'INVALID_PRODUCER_EPOCH', 'INVALID_PRODUCER_ID_MAPPING']);

export class KafkaProducer {
  readonly #cluster: KafkaCluster;
  readonly #streams = new Map<string, Stream>();
  readonly #ready = new Set<Stream>();
  readonly #lanes = new Map<number, Promise<Connection>>();
  /** Leaders that have a request under way. */
  readonly #sending = new Set<number>();
  #again: Batch[] = [];
  #producerId: Promise<bigint> | undefined;
  #queuedBytes = 0;
  #scheduled = false;
  #idle: (() => void)[] = [];
  #underWay = 0;

  constructor(cluster: KafkaCluster) {
    this.#cluster = cluster;
  }

  /** Offsets in the order of the records, when all are durable. Throws BusError; some may be written then. */
  append(records: readonly Outgoing[]): Promise<number[]> {
    if (this.#queuedBytes > this.#cluster.limits.produceQueueBytesMax) {
      throw new BusError('BUS_UNREACHABLE', `more is published than Kafka takes (${this.#queuedBytes} bytes wait); publish again later`);
    }
    return new Promise((done, failed) => {
      const call: Call = { offsets: Array.from({ length: records.length }, () => -1), left: records.length, done, failed };
      if (records.length === 0) return done(call.offsets);
      for (const [index, outgoing] of records.entries()) this.#enqueue({ outgoing, call, index });
      this.#schedule();
    });
  }

  /** Waits for what is under way. */
  async drain(): Promise<void> {
    if (this.#underWay > 0) await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  #enqueue(waiting: Waiting): void {
    const stream = this.#streamOf(waiting.outgoing);
    stream.queue.push(waiting);
    this.#queuedBytes += waiting.outgoing.bytes;
    this.#underWay++;
    if (!stream.busy) this.#ready.add(stream);
  }

  #streamOf({ message }: Outgoing): Stream {
    // Set when the record was made.
    const partition = message.partition!;
    const name = streamOf({ topic: message.topic, partition });
    const known = this.#streams.get(name);
    if (known !== undefined) return known;
    const stream = { topic: message.topic, partition, queue: [], busy: false, epoch: 0, sequence: 0 };
    this.#streams.set(name, stream);
    return stream;
  }

  /** After this turn's callers, so that what they publish is one request. */
  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#ship();
    });
  }

  #ship(): void {
    for (const shipment of this.#load()) {
      this.#sending.add(shipment.leader);
      void this.#send(shipment).finally(() => {
        this.#sending.delete(shipment.leader);
        this.#schedule();
      });
    }
  }

  /** What can leave now: for each leader that has nothing under way, repeats first. */
  #load(): Iterable<Shipment> {
    const shipments = new Map<number, Shipment & { bytes: number }>();
    const put = (stream: Stream, make: () => Batch): boolean => {
      // Without a leader any broker tells so, and the repeat looks anew.
      const leader = this.#cluster.leaderOf(stream.topic, stream.partition) ?? -1;
      if (this.#sending.has(leader)) return false;
      const shipment = shipments.get(leader) ?? { leader, epoch: stream.epoch, batches: [], bytes: 0 };
      if (shipment.epoch !== stream.epoch || shipment.bytes >= this.#cluster.limits.produceBytesMax) return false;
      const batch = make();
      shipment.batches.push(batch);
      shipment.bytes += batch.waiting.reduce((sum, { outgoing }) => sum + outgoing.bytes, 0);
      shipments.set(leader, shipment);
      return true;
    };
    this.#again = this.#again.filter((batch) => !put(batch.stream, () => batch));
    for (const stream of this.#ready) if (put(stream, () => this.#take(stream))) this.#ready.delete(stream);
    return shipments.values();
  }

  #take(stream: Stream): Batch {
    const { batchBytesMax, produceMsMax } = this.#cluster.limits;
    let bytes = 0;
    let count = 0;
    while (count < stream.queue.length) {
      bytes += stream.queue[count]!.outgoing.bytes;
      if (count > 0 && bytes > batchBytesMax) break;
      count++;
    }
    stream.busy = true;
    return { stream, waiting: stream.queue.splice(0, count), deadline: Date.now() + produceMsMax, tried: 0 };
  }

  async #send(shipment: Shipment): Promise<void> {
    const { batches } = shipment;
    try {
      this.#settle(batches, await this.#produce(shipment));
    } catch (error) {
      const response = responseOf<ProduceResponse>(error);
      if (response?.responses !== undefined) return this.#settle(batches, response);
      this.#lanes.delete(shipment.leader);
      for (const batch of batches) this.#failed(batch, error);
    }
    if (this.#again.length > 0) await this.#lookAgain();
  }

  async #produce({ leader, epoch, batches }: Shipment): Promise<ProduceResponse> {
    if (leader < 0) throw new BusError('BUS_UNREACHABLE', 'a partition has no leader now');
    const producerId = await (this.#producerId ??= this.#register());
    const sequences = new NumericMap();
    for (const { stream } of batches) sequences.set(`${stream.topic}:${stream.partition}`, stream.sequence);
    const messages = batches.flatMap(({ waiting }) => waiting.map(({ outgoing }) => outgoing.message));
    const acknowledgedByAll = -1;
    const answer = await produceV11.api.async(await this.#lane(leader), acknowledgedByAll, this.#cluster.limits.produceAttemptMsMax, messages, { producerId, producerEpoch: epoch, sequences });
    // `true` is the answer where none was asked for.
    if (typeof answer === 'boolean') throw new BusError('BUS_UNREACHABLE', 'Kafka did not acknowledge');
    return answer;
  }

  #lane(leader: number): Promise<Connection> {
    const known = this.#lanes.get(leader);
    if (known !== undefined) return known;
    const opening = this.#cluster.connect(leader);
    this.#lanes.set(leader, opening);
    const forget = (): void => {
      if (this.#lanes.get(leader) === opening) this.#lanes.delete(leader);
    };
    opening.then((connection) => connection.once('close', forget), forget);
    return opening;
  }

  #register(): Promise<bigint> {
    const registering = this.#cluster.insist('name a producer', this.#cluster.limits.produceMsMax, async () => {
      if (this.#cluster.topics().size === 0) await this.#cluster.refresh();
      const [leaders] = this.#cluster.topics().values();
      const broker = leaders?.find((one) => one >= 0);
      if (broker === undefined) throw new BusError('BUS_UNREACHABLE', 'Kafka has no broker that leads anything');
      const { producerId } = await initProducerIdV4.api.async(await this.#cluster.shared(broker), null, 0, -1n, -1);
      return producerId;
    });
    registering.catch(() => (this.#producerId = undefined));
    return registering;
  }

  #settle(batches: readonly Batch[], { responses }: ProduceResponse): void {
    const answers = new Map<string, ProduceResponsePartition>();
    for (const { name, partitionResponses } of responses) for (const answer of partitionResponses) answers.set(streamOf({ topic: name, partition: answer.index }), answer);
    for (const batch of batches) {
      const answer = answers.get(streamOf(batch.stream));
      if (answer?.errorCode === 0) this.#done(batch, Number(answer.baseOffset));
      else this.#failed(batch, answer === undefined ? new Error('the broker left a partition out of its answer') : errorOf(answer.errorCode, answer.errorMessage));
    }
  }

  #done(batch: Batch, offset: number): void {
    const { stream, waiting } = batch;
    stream.sequence = (stream.sequence + waiting.length) % sequenceEnd;
    this.#release(batch);
    for (const [i, { call, index }] of waiting.entries()) {
      call.offsets[index] = offset + i;
      if (--call.left === 0) call.done(call.offsets);
    }
  }

  #failed(batch: Batch, error: unknown): void {
    const { stream, waiting } = batch;
    const code = kafkaCodeOf(error) ?? '';
    if (forgotten.has(code)) this.#renew(stream);
    const again = (forgotten.has(code) || mayPass(error)) && Date.now() < batch.deadline && !this.#cluster.closed;
    this.#cluster.log[again ? 'debug' : 'warn']('bus.kafka_produce_failed', { topic: stream.topic, partition: stream.partition, records: waiting.length, again, error });
    if (again) {
      batch.tried++;
      this.#again.push(batch);
      return;
    }
    // P3
    this.#renew(stream);
    this.#release(batch);
    const failure = busErrorOf(error, `append to ${stream.topic}/${stream.partition}`);
    for (const { call } of waiting) call.failed(failure);
  }

  /** The partition's next batch is the first of a new epoch. */
  #renew(stream: Stream): void {
    stream.sequence = 0;
    stream.epoch++;
    if (stream.epoch <= epochMax) return;
    // A new producer has all epochs before it; batches under way keep the id that they left with.
    this.#producerId = undefined;
    for (const one of this.#streams.values()) Object.assign(one, { epoch: 0, sequence: 0 });
  }

  #release({ stream, waiting }: Batch): void {
    stream.busy = false;
    if (stream.queue.length > 0) this.#ready.add(stream);
    for (const { outgoing } of waiting) this.#queuedBytes -= outgoing.bytes;
    this.#underWay -= waiting.length;
    if (this.#underWay > 0) return;
    for (const resolve of this.#idle) resolve();
    this.#idle = [];
  }

  /** Before a repeat: who leads may have changed. */
  async #lookAgain(): Promise<void> {
    await this.#cluster.rest(Math.min(...this.#again.map(({ tried }) => tried)));
    await this.#cluster.refresh().catch(() => {});
  }
}
