/**
 * Flow rooms behind the real shell, each with its own memory store, joined by a link that delivers at once. What the
 * other rooms do stands in other-rooms.ts.
 */
import { toBase64url } from '../../../../src/cipher/bytes.ts';
import { generateKeyPair } from '../../../../src/cipher/signature.ts';
import type { KeyPair } from '../../../../src/cipher/signature.ts';
import type { Clock } from '../../../../src/host/clock.ts';
import { flowIdOf } from '../../../../src/identity/derive.ts';
import type { CpiMetadata } from '../../../../src/messages/db-to-all.cpi.ts';
import type { VirtualNode } from '../../../../src/messages/db-to-all.virtual-node.ts';
import { flowToDbEntity } from '../../../../src/messages/flow-to-db.entity.ts';
import { flowToFlowWake } from '../../../../src/messages/flow-to-flow.wake.ts';
import { encode } from '../../../../src/messages/grammar/envelope.ts';
import type { Outcome } from '../../../../src/messages/grammar/envelope.ts';
import type { HeardRecord, InRecord, OutRecord } from '../../../../src/messages/grammar/record.ts';
import type { FlowDeclaration, FlowStatus } from '../../../../src/messages/grammar/shapes.ts';
import type { Member } from '../../../../src/messages/member-to-all.member.ts';
import { restToFlowStart } from '../../../../src/messages/rest-to-flow.start.ts';
import { createLog, silentLog } from '../../../../src/observability/log.ts';
import type { Log, LogLevel } from '../../../../src/observability/log.ts';
import { createMetrics } from '../../../../src/observability/metrics.ts';
import { shellLimits } from '../../../../src/shell/config.ts';
import type { ShellLimits } from '../../../../src/shell/config.ts';
import { createMachineBatch } from '../../../../src/shell/machine-batch.ts';
import type { Batch } from '../../../../src/shell/machine-batch.ts';
import { createMemoryParkingLot, createMemoryStateStore } from '../../../../src/shell/memory-store.ts';
import type { BatchPoint } from '../../../../src/shell/operational.ts';
import type { DirectWays } from '../../../../src/shell/direct.ts';
import type { ParkingLot, StateStore } from '../../../../src/shell/store.ts';
import type { View } from '../../../../src/shell/view.ts';
import type { Machine } from '../../../../src/shell/worker.ts';
import { createFlowWorker } from '../../../../src/workers/flow/worker.ts';
import type { FlowLimits, FlowViews, Sandbox } from '../../../../src/workers/flow/worker.ts';
import { groupId, identityOf, nameOf } from './identities.ts';
import { carry, entitiesDirectly } from './other-rooms.ts';
import type { Answered, Vaults } from './other-rooms.ts';

export type App = { readonly code: string; readonly flows: readonly FlowDeclaration[]; readonly hash?: string };

export const viewOf = <Body>(entries: Iterable<[string, Body]>): View<Body> & { readonly map: Map<string, Body> } => {
  const map = new Map(entries);
  return { map, get: (key) => map.get(key), entries: () => map.entries(), refresh: async () => {} };
};

const cpkHashDefault = 'A'.repeat(64);
const cpiChecksum = 'C'.repeat(64);
const cpiId = { name: 'app', version: '1', signerSummaryHash: 'SHA-256:00' };

const cpiOf = ({ flows, hash = cpkHashDefault }: App): CpiMetadata => ({
  id: cpiId,
  fullChecksum: cpiChecksum,
  groupId,
  groupPolicy: '{}',
  cpks: [{ hash, id: cpiId, flows: [...flows], timestamp: 0 }],
  timestamp: 0,
});

export const nodeOf = (common: string, hash = cpkHashDefault): VirtualNode => ({
  holdingIdentity: identityOf(common),
  cpiId,
  cpiFullChecksum: cpiChecksum,
  cpkHashes: [hash],
  flowStartOperationalStatus: 'ACTIVE',
  flowOperationalStatus: 'ACTIVE',
  flowP2pOperationalStatus: 'ACTIVE',
  vaultDbOperationalStatus: 'ACTIVE',
  vaultDmlConnectionId: 'x',
  vaultDdlConnectionId: null,
  cryptoDmlConnectionId: 'x',
  cryptoDdlConnectionId: null,
  uniquenessDmlConnectionId: 'x',
  uniquenessDdlConnectionId: null,
  version: 1,
  timestamp: 0,
});

const memberOf = (common: string, keys: readonly KeyPair[]): Member => ({
  groupId,
  x500Name: nameOf(common),
  status: 'ACTIVE',
  serial: 1,
  memberContext: { 'corda.name': nameOf(common) },
  mgmContext: {},
  endpoints: [],
  sessionKeys: keys.map(({ publicKey }) => ({ publicKey: toBase64url(publicKey), spec: 'EdDSA' })),
  ledgerKeys: [],
});

export const viewsOf = (nodes: readonly string[], members: readonly Member[], app: App): FlowViews => {
  const bytes = new TextEncoder().encode(app.code);
  const hash = app.hash ?? cpkHashDefault;
  return {
    virtualNodes: viewOf(nodes.map((common) => [identityOf(common).shortHash, nodeOf(common, hash)])),
    cpis: viewOf([[cpiChecksum, cpiOf(app)]]),
    cpks: viewOf([[`${hash}/0`, { hash, index: 0, count: 1, sourceMapCount: 0, bytes: toBase64url(bytes) }]]),
    members: viewOf(members.map((member) => [`${groupId}/${member.x500Name}`, member])),
    groupParameters: viewOf([]),
  };
};

/** The id of the message by which a world starts a flow, unless a test says otherwise. */
export const startIdOf = (clientRequestId: string): string => `start-${clientRequestId}`;

/** Batches without rest: a world that needs more goes round in circles. */
const roundsMax = 20_000;

export type WorldClock = Clock & { time: number };

export type Room = {
  readonly name: string;
  readonly states: StateStore;
  readonly parking: ParkingLot;
  readonly views: FlowViews;
  readonly queue: InRecord[];
  /** Delivered and not committed: delivered again after a crash (B4). */
  uncommitted: InRecord[];
  batch: Batch;
  /** A replica that takes over: nothing in memory, the same store. */
  restart(): void;
  /** The partitions go to another replica, which may have had them before: what it remembers is old then. */
  rebalance(): void;
};

/** What the shell takes for a fault of its loop. One that the process survives is met by going on. */
class Fault extends Error {
  readonly operational = true;
  readonly isDeath: boolean;
  constructor(point: BatchPoint, isDeath: boolean) {
    super(point);
    this.isDeath = isDeath;
  }
}

/** `true` is the death of the process. */
export type FaultAt = boolean | 'fault';

export type World = {
  readonly clock: WorldClock;
  readonly rooms: ReadonlyMap<string, Room>;
  readonly statuses: FlowStatus[];
  readonly answers: { readonly requestId: string; readonly outcome: Outcome }[];
  /** Every record that a room published, or asked the db room directly. */
  readonly published: OutRecord[];
  readonly logged: Record<string, unknown>[];
  readonly metricsText: () => string;
  /** `entity/id` to JSON text, of one member. */
  vault(common: string): Map<string, string>;
  /** What the db room has answered, by request id. */
  readonly answered: Answered;
  start(common: string, flowClassName: string, input: unknown, clientRequestId: string, messageId?: string): void;
  /** Puts a record in a room's queue as the bus would. */
  deliver(common: string, record: OutRecord): void;
  /** Works until nothing is left to do. */
  settle(): Promise<void>;
  advance(byMs: number): Promise<void>;
  statusOf(common: string, clientRequestId: string): FlowStatus | undefined;
  run(common: string, flowClassName: string, input?: unknown): Promise<FlowStatus>;
};

export type WorldOptions = {
  readonly members: readonly string[];
  readonly app: App;
  readonly sandbox: (common: string) => Sandbox;
  readonly limits?: Partial<FlowLimits>;
  /** Decides what becomes of a record on its way to a room: the copies that arrive, in order. */
  readonly route?: (record: OutRecord) => readonly OutRecord[];
  /** Copies that arrive when everything else has come to rest, without time passing. */
  readonly late?: (record: OutRecord) => readonly OutRecord[];
  readonly batchMax?: number;
  readonly shell?: Partial<ShellLimits>;
  /** By short hash; made anew where none are given. */
  readonly keys?: ReadonlyMap<string, KeyPair>;
  /** What is kept in `logged`. */
  readonly logLevel?: LogLevel;
  /** Stands before a room's machine. */
  readonly watch?: (common: string, machine: Machine<any, any, any>) => Machine<any, any, any>;
  /** Whether a room's process dies at this point of a batch, or the batch is broken off there and goes on. */
  readonly crashAt?: (room: string, point: BatchPoint) => FaultAt;
  /** Where the db room is asked directly: whether it leaves a request to the bus all the same. */
  readonly directDeclines?: () => boolean;
  /** Whether another replica has the room's partitions from now on. */
  readonly rebalances?: (room: string) => boolean;
  /** Of so many records that a room hears early, from which on the disk takes none, at first; `undefined` where nothing is heard early. */
  readonly loses?: (count: number) => number | undefined;
};

/** A session key for each member, by short hash. */
export const memberKeys = async (members: readonly string[]): Promise<ReadonlyMap<string, KeyPair>> =>
  new Map(await Promise.all(members.map(async (common) => [identityOf(common).shortHash, await generateKeyPair('CORDA.EDDSA.ED25519')] as const)));

export const createWorld = async (options: WorldOptions): Promise<World> => {
  const { members, app, sandbox, limits, route = (record) => [record], late = () => [], batchMax = 500, crashAt = () => false } = options;
  const { shell, watch = (_common, machine) => machine, logLevel = 'debug', rebalances = () => false, loses = () => undefined } = options;
  const clock: WorldClock = { time: 1_000_000, now: () => clock.time, after: () => () => {} };
  const keys = options.keys ?? (await memberKeys(members));
  const roll = members.map((common) => memberOf(common, [keys.get(identityOf(common).shortHash)!]));
  const statuses: FlowStatus[] = [];
  const answers: World['answers'] = [];
  const published: OutRecord[] = [];
  const logged: Record<string, unknown>[] = [];
  const vaults: Vaults = new Map(members.map((common) => [identityOf(common).shortHash, new Map()]));
  const done: Answered = new Map();
  const direct: DirectWays = options.directDeclines === undefined ? new Map() : new Map([[flowToDbEntity.topic, entitiesDirectly(vaults, done, published, options.directDeclines)]]);
  const metrics = createMetrics();
  const log: Log = createLog({ level: logLevel, write: (line) => void logged.push(JSON.parse(line) as Record<string, unknown>), now: () => clock.time });
  const offsets = new Map<string, number>();
  const rooms = new Map<string, Room>();

  const deliver = (room: Room, record: OutRecord): void => {
    const offset = offsets.get(room.name + record.topic) ?? 0;
    offsets.set(room.name + record.topic, offset + 1);
    room.queue.push({ topic: record.topic, key: record.key, value: record.value, partition: 0, offset, timestamp: clock.time });
  };
  const stragglers: { readonly room: Room; readonly record: OutRecord }[] = [];
  const take = (room: Room, record: OutRecord): Promise<void> => carry({ room, rooms, deliver, statuses, answers, vaults, keys, done }, record);
  const send = async (room: Room, record: OutRecord): Promise<void> => {
    for (const copy of route(record)) await take(room, copy);
    for (const copy of late(record)) stragglers.push({ room, record: copy });
  };
  const publish = async (room: Room, records: readonly OutRecord[]): Promise<void> => {
    published.push(...records);
    for (const record of records) await send(room, record);
  };
  for (const common of members) {
    rooms.set(common, makeRoom(common, { views: viewsOf([common], roll, app), clock, log, metrics, sandbox, direct, limits, shell, watch, crashAt, publish }));
  }

  /** One batch; a process that dies in it is replaced by one that knows nothing. */
  const work = async (room: Room, records: readonly InRecord[]): Promise<void> => {
    const { heard, kept, lost } = hearEarly(records, loses(records.length));
    room.uncommitted.push(...kept);
    for (let polled = heard; ; polled = []) {
      try {
        await room.batch.handleBatch(polled);
        await room.batch.committed();
        break;
      } catch (error) {
        if (!(error instanceof Fault)) throw error;
        if (!error.isDeath) continue;
        room.restart();
        lost.unshift(...room.uncommitted.splice(0));
        break;
      }
    }
    room.queue.unshift(...lost);
  };
  const settle = async (): Promise<void> => {
    const busy = (): Room[] => [...rooms.values()].filter(({ queue, batch }) => queue.length > 0 || (batch.readyAt() ?? Infinity) < Infinity);
    let rounds = 0;
    for (let left = busy(); left.length > 0 || stragglers.length > 0; left = busy()) {
      if (++rounds > roundsMax) throw new Error(`the rooms do not come to rest: ${left.map(({ name, queue, batch }) => `${name} has ${queue.length} records and holds ${batch.heldCount()}`).join('; ')}`);
      if (left.length === 0) for (const { room, record } of stragglers.splice(0)) await take(room, record);
      for (const room of left) {
        if (rebalances(room.name)) room.rebalance();
        const waits = room.queue.length === 0;
        if (waits) clock.time = Math.max(clock.time, room.batch.readyAt() ?? 0);
        await work(room, room.queue.splice(0, batchMax));
      }
    }
  };
  const roomOf = (common: string): Room => rooms.get(common)!;
  const world: World = {
    clock,
    rooms,
    statuses,
    answers,
    published,
    logged,
    metricsText: () => metrics.text(),
    answered: done,
    vault: (common) => vaults.get(identityOf(common).shortHash)!,
    start: (common, flowClassName, input, clientRequestId, messageId = startIdOf(clientRequestId)) => {
      const holdingIdentity = identityOf(common);
      const body = { holdingIdentity, clientRequestId, flowClassName, requestBody: JSON.stringify(input) ?? 'null', startedBy: 'admin' };
      const key = flowIdOf(holdingIdentity.shortHash, clientRequestId);
      deliver(roomOf(common), encode(restToFlowStart, { key, id: messageId, body, replyTo: { topic: 'all-to-rest.answer', key: 'rest', partition: 0 } }));
    },
    deliver: (common, record) => deliver(roomOf(common), record),
    settle,
    advance: async (byMs) => {
      clock.time += byMs;
      for (const room of rooms.values()) {
        const { keys: due } = await room.states.due(clock.time, 1_000);
        for (const { key, dueAt } of due) deliver(room, encode(flowToFlowWake, { key, id: `${key}/${dueAt}`, body: { dueAt } }));
      }
      await settle();
    },
    statusOf: (common, clientRequestId) => statuses.findLast((status) => status.flowId === flowIdOf(identityOf(common).shortHash, clientRequestId)),
    run: async (common, flowClassName, input) => {
      const id = `run-${statuses.length}`;
      world.start(common, flowClassName, input, id);
      await settle();
      return world.statusOf(common, id)!;
    },
  };
  return world;
};

/** Records as a room hears them before they are durable: those from a place on are lost by the disk, and come again. */
const hearEarly = (records: readonly InRecord[], from: number | undefined): { heard: readonly HeardRecord[]; kept: readonly InRecord[]; lost: InRecord[] } => {
  if (from === undefined) return { heard: records, kept: records, lost: [] };
  // At the end of a turn, when the room may be in the midst of its step.
  const written = new Promise<void>((resolve) => void setImmediate(resolve));
  const failed = new Promise<void>((_, reject) => void setImmediate(() => reject(new Error('the disk is full'))));
  failed.catch(() => {});
  const heard = records.map((record, i) => ({ ...record, durable: i < from ? written : failed }));
  return { heard, kept: records.slice(0, from), lost: records.slice(from) };
};

type RoomParts = {
  readonly views: FlowViews;
  readonly clock: WorldClock;
  readonly log: Log;
  readonly metrics: ReturnType<typeof createMetrics>;
  readonly sandbox: (common: string) => Sandbox;
  readonly direct: DirectWays;
  readonly limits: Partial<FlowLimits> | undefined;
  readonly shell: Partial<ShellLimits> | undefined;
  readonly watch: (common: string, machine: Machine<any, any, any>) => Machine<any, any, any>;
  readonly crashAt: (room: string, point: BatchPoint) => FaultAt;
  readonly publish: (room: Room, records: readonly OutRecord[]) => Promise<void>;
};

const makeRoom = (common: string, { views, clock, log, metrics, sandbox, direct, limits, shell, watch, crashAt, publish }: RoomParts): Room => {
  const states = createMemoryStateStore({ now: () => clock.time });
  const parking = createMemoryParkingLot();
  const assemble = (): Batch =>
    createMachineBatch({
      room: 'flow',
      machine: watch(common, createFlowWorker({ views, sandbox: sandbox(common), direct, log, metrics, ...(limits === undefined ? {} : { limits }) }).machine!),
      states,
      parking,
      publish: async (records) => {
        await publish(room, records);
        return records.map((_, i) => ({ topic: 'x', partition: 0, offset: i }));
      },
      commit: async (positions) => {
        const done = new Map(positions.map(({ topic, offset }) => [topic, offset]));
        room.uncommitted = room.uncommitted.filter(({ topic, offset }) => offset >= (done.get(topic) ?? 0));
      },
      probe: (point) => {
        const fault = crashAt(common, point);
        if (fault !== false) throw new Fault(point, fault !== 'fault');
      },
      clock,
      log: silentLog,
      metrics,
      limits: shellLimits(shell),
      random: () => 0.5,
    });
  let other: Batch | undefined;
  const room: Room = {
    name: common,
    states,
    parking,
    views,
    queue: [],
    uncommitted: [],
    // Made below, since its ports name the room.
    batch: undefined as unknown as Batch,
    restart: () => void (room.batch = assemble()),
    rebalance: () => {
      const taking = other ?? assemble();
      other = room.batch;
      room.batch = taking;
      room.queue.unshift(...room.uncommitted.splice(0));
    },
  };
  room.batch = assemble();
  return room;
};
