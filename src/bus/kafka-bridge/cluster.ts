/**
 * The bridge's view of a Kafka cluster: which brokers there are, who leads each partition, and connections to them.
 *
 * A connection answers its requests in order, so what may wait at the broker (fetches, joins, produces) has connections of its
 * own; short requests share one to each broker.
 */
import { isIP } from 'node:net';
import { Connection, metadataV12, type ConnectionOptions } from '@platformatic/kafka';
import { BusError } from '../bus.ts';
import { pause, systemClock } from '../../host/clock.ts';
import type { Log } from '../../observability/log.ts';
import type { BridgeLimits } from './config.ts';
import { busErrorOf, kafkaCodeOf, mayPass, responseOf } from './failure.ts';

export type KafkaSecurity = {
  /** PEM certificates that brokers must chain to; empty trusts what the platform trusts. */
  readonly tls?: { readonly ca?: string; readonly cert?: string; readonly key?: string } | undefined;
  readonly sasl?: { readonly username: string; readonly password: string } | undefined;
};

export type ClusterOptions = KafkaSecurity & {
  /** `host:port`, separated by commas. */
  readonly brokers: string;
  readonly clientId: string;
  readonly log: Log;
  readonly limits: BridgeLimits;
};

type MetadataResponse = metadataV12.MetadataResponse;
type Address = { readonly host: string; readonly port: number };
/** Leaders of a topic's partitions; -1 where there is none now. */
export type TopicLeaders = readonly number[];

export const parseBrokers = (text: string): Address[] =>
  text.split(',').map((part) => {
    const [, host, port] = /^\s*(.+):(\d{1,5})\s*$/.exec(part) ?? [];
    if (host === undefined) throw new BusError('BUS_REFUSED', `"${part}" is no address of a Kafka broker; give host:port, several separated by commas`);
    return { host: host.replace(/^\[|\]$/g, ''), port: Number(port) };
  });

/** What TLS asks a broker for by name (RFC 6066 knows no addresses). */
export const serverNameOf = (host: string): { tlsServerName?: true } => (isIP(host) === 0 ? { tlsServerName: true } : {});

export class KafkaCluster {
  readonly limits: BridgeLimits;
  readonly log: Log;
  readonly #clientId: string;
  readonly #connecting: ConnectionOptions;
  readonly #bootstrap: readonly Address[];
  readonly #shared = new Map<number, Promise<Connection>>();
  readonly #open = new Set<Connection>();
  readonly #closing = new AbortController();
  #brokers = new Map<number, Address>();
  #topics = new Map<string, TopicLeaders>();
  #refreshing: Promise<void> | undefined;
  #refreshedAt = 0;
  /** Why the last look at the cluster failed. */
  #ailment: string | undefined = 'Kafka was not reached yet';
  #turn = 0;

  constructor(options: ClusterOptions) {
    const { limits, tls, sasl } = options;
    this.limits = limits;
    this.log = options.log;
    this.#clientId = options.clientId;
    this.#bootstrap = parseBrokers(options.brokers);
    this.#connecting = {
      connectTimeout: limits.connectMsMax,
      requestTimeout: limits.answerMsMax + Math.max(limits.fetchMsMax, limits.produceAttemptMsMax),
      ...(tls === undefined ? {} : { tls: { ...tls } }),
      ...(sasl === undefined ? {} : { sasl: { mechanism: 'SCRAM-SHA-512', ...sasl } }),
    };
  }

  /** Why Kafka cannot be used now; `undefined` when it can. */
  get ailment(): string | undefined {
    return this.#ailment;
  }

  get closed(): boolean {
    return this.#closing.signal.aborted;
  }

  topics(): ReadonlyMap<string, TopicLeaders> {
    return this.#topics;
  }

  /** Looks again if nobody did lately: a topic may be new. */
  async refreshIfOld(ageMsMax: number = this.limits.topicsAgeMsMax): Promise<void> {
    if (Date.now() - this.#refreshedAt >= ageMsMax) await this.refresh();
  }

  /** Reads brokers, topics and leaders anew; who asks meanwhile shares the answer. Throws BusError. */
  refresh(): Promise<void> {
    this.#refreshing ??= this.#refresh().finally(() => (this.#refreshing = undefined));
    return this.#refreshing;
  }

  async #refresh(): Promise<void> {
    try {
      this.#learn(await this.#askAnyone());
      this.#refreshedAt = Date.now();
      this.#ailment = undefined;
    } catch (error) {
      const failure = busErrorOf(error, 'tell its brokers and topics');
      this.#ailment = failure.message;
      throw failure;
    }
  }

  /** The brokers that are known first, then those of the settings: one of them suffices. */
  async #askAnyone(): Promise<MetadataResponse> {
    let failure: unknown;
    const ids = [...this.#brokers.keys()];
    for (let i = 0; i < ids.length; i++) {
      try {
        return await this.#metadata(await this.shared(ids[(i + this.#turn) % ids.length]!));
      } catch (error) {
        failure = error;
        this.#turn++;
      }
    }
    for (const address of this.#bootstrap) {
      try {
        const connection = await this.#connect(address);
        return await this.#metadata(connection).finally(() => this.discard(connection));
      } catch (error) {
        failure = error;
      }
    }
    throw failure;
  }

  async #metadata(connection: Connection): Promise<MetadataResponse> {
    try {
      return await metadataV12.api.async(connection, null, false, false);
    } catch (error) {
      // A partition without a leader is told as an error beside the rest.
      const response = responseOf<MetadataResponse>(error);
      if (response === undefined) throw error;
      return response;
    }
  }

  #learn({ brokers, topics }: MetadataResponse): void {
    const known = new Map<number, Address>();
    for (const { nodeId, host, port } of brokers) known.set(nodeId, { host, port });
    this.#brokers = known;
    const leaders = new Map<string, TopicLeaders>();
    for (const { name, partitions, isInternal } of topics) {
      if (typeof name !== 'string' || partitions.length === 0 || isInternal) continue;
      const ordered = partitions.toSorted((one, other) => one.partitionIndex - other.partitionIndex);
      leaders.set(name, ordered.map(({ leaderId }) => leaderId));
    }
    this.#topics = leaders;
  }

  /** Who leads it now, as far as is known. */
  leaderOf(topic: string, partition: number): number | undefined {
    const leader = this.#topics.get(topic)?.[partition];
    return leader === undefined || leader < 0 ? undefined : leader;
  }

  /** The connection to a broker for requests that are answered at once. */
  shared(broker: number): Promise<Connection> {
    const known = this.#shared.get(broker);
    if (known !== undefined) return known;
    const opening = this.connect(broker);
    this.#shared.set(broker, opening);
    const forget = (): void => {
      if (this.#shared.get(broker) === opening) this.#shared.delete(broker);
    };
    opening.then((connection) => connection.once('close', forget), forget);
    return opening;
  }

  /** The shared connection to any broker. */
  async any(): Promise<Connection> {
    if (this.#brokers.size === 0) await this.refresh();
    const ids = [...this.#brokers.keys()];
    const id = ids[this.#turn % Math.max(ids.length, 1)];
    if (id === undefined) throw new BusError('BUS_UNREACHABLE', 'Kafka names no brokers');
    try {
      return await this.shared(id);
    } catch (error) {
      this.#turn++;
      throw error;
    }
  }

  /** A connection for one use only; `discard` it. */
  async connect(broker: number): Promise<Connection> {
    const address = this.#brokers.get(broker);
    if (address === undefined) throw new BusError('BUS_UNREACHABLE', `Kafka has no broker ${broker} now`);
    return this.#connect(address);
  }

  async #connect({ host, port }: Address): Promise<Connection> {
    if (this.closed) throw new BusError('BUS_CLOSED', 'the bridge is closed');
    const connection = new Connection(this.#clientId, { ...this.#connecting, ...serverNameOf(host) });
    // Who waits for an answer hears of it there.
    connection.on('error', () => {});
    this.#open.add(connection);
    connection.once('close', () => this.#open.delete(connection));
    try {
      await connection.connect(host, port);
      return connection;
    } catch (error) {
      this.discard(connection);
      throw error;
    }
  }

  /** Ends a connection, and with it what waits on it. */
  discard(connection: Connection): void {
    this.#open.delete(connection);
    void connection.close().catch(() => {});
  }

  /** Some tries with pauses between, until the time is over; what is known of the cluster is read anew between them. */
  async insist<Answer>(what: string, msMax: number, attempt: () => Promise<Answer>): Promise<Answer> {
    const deadline = Date.now() + msMax;
    for (let tried = 0; ; tried++) {
      try {
        return await attempt();
      } catch (error) {
        if (this.closed) throw new BusError('BUS_CLOSED', 'the bridge is closed', { cause: error });
        if (!mayPass(error) || Date.now() >= deadline) throw busErrorOf(error, what);
        this.log.debug('bus.kafka_retry', { what, tried, code: kafkaCodeOf(error), error });
        await this.rest(tried);
        await this.refresh().catch(() => {});
      }
    }
  }

  /** A pause before the next try; ends when the bridge does. */
  rest(tried: number): Promise<void> {
    return pause(systemClock, Math.min(this.limits.retryMsMin * 2 ** Math.min(tried, 10), this.limits.retryMsMax), this.#closing.signal);
  }

  close(): void {
    this.#closing.abort();
    for (const connection of this.#open) this.discard(connection);
  }
}
