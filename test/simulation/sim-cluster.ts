/**
 * A cluster of the simulation: the real rooms in the real batches of the shell, on simulated bus, store, network and clock.
 * What would survive a crash (bus, stores) belongs to the cluster; what would not (workers, batches) is made anew by `boot`.
 */
import type { Consumer } from '../../src/bus/bus.ts';
import type { Clock } from '../../src/host/clock.ts';
import { dbToAllCpi } from '../../src/messages/db-to-all.cpi.ts';
import { dbToAllVirtualNode, type VirtualNode } from '../../src/messages/db-to-all.virtual-node.ts';
import { dbToFlowCpk } from '../../src/messages/db-to-flow.cpk.ts';
import type { InRecord } from '../../src/messages/grammar/record.ts';
import { memberToAllGroupParameters } from '../../src/messages/member-to-all.group-parameters.ts';
import { memberToAllMember } from '../../src/messages/member-to-all.member.ts';
import { memberToLinkManagerHostedIdentity } from '../../src/messages/member-to-link-manager.hosted-identity.ts';
import { silentLog, type Log } from '../../src/observability/log.ts';
import { createMetrics } from '../../src/observability/metrics.ts';
import { createAnswerBatch } from '../../src/shell/answer-batch.ts';
import { shellLimits } from '../../src/shell/config.ts';
import { createMachineBatch, machineTopics, type Batch } from '../../src/shell/machine-batch.ts';
import { createMemoryAnswerStore, createMemoryParkingLot, createMemoryStateStore } from '../../src/shell/memory-store.ts';
import type { Probe } from '../../src/shell/operational.ts';
import { createPumpBatch } from '../../src/shell/pump-batch.ts';
import type { ParkingLot, StateStore } from '../../src/shell/store.ts';
import { createTimers } from '../../src/shell/timers.ts';
import type { Worker } from '../../src/shell/worker.ts';
import { createMemoryKeys } from '../../src/workers/crypto/memory-keys.ts';
import type { RootKey } from '../../src/workers/crypto/root-key.ts';
import { createCryptoWorker } from '../../src/workers/crypto/worker.ts';
import { createMemoryDb } from '../../src/workers/db/memory/memory-db.ts';
import { onEntity } from '../../src/workers/db/on-entity.ts';
import { createFlowWorker, createTrustingSandbox } from '../../src/workers/flow/worker.ts';
import { createLinkManagerWorker } from '../../src/workers/link-manager/worker.ts';
import type { Random } from './random.ts';
import { createSimBus, type BusFaults, type SimBus } from './sim-bus.ts';
import { openSimGateway } from './sim-gateway.ts';
import type { SimNetwork } from './sim-network.ts';
import { createSimView } from './sim-view.ts';

export const simulatedRooms = ['flow', 'link-manager', 'gateway', 'crypto', 'db'] as const;
export type SimulatedRoom = (typeof simulatedRooms)[number];

/** One loop of a room: what the shell's own loop does, a step at a time. */
export type SimLoop = { readonly name: string; ready(now: number): boolean; step(): Promise<void> };

export type SimCluster = {
  readonly bus: SimBus;
  readonly lots: readonly ParkingLot[];
  readonly flowStates: StateStore;
  /** Makes a virtual node's vault. */
  host(node: VirtualNode): Promise<void>;
  /** The loops of all rooms as they now stand. */
  loops(): readonly SimLoop[];
  /** Makes a room anew from what is stored, as after a crash. */
  boot(room: SimulatedRoom): void;
};

export type SimClusterOptions = {
  readonly origin: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly network: SimNetwork;
  readonly faults: BusFaults;
  readonly rootKey: RootKey;
  readonly probe: (room: SimulatedRoom) => Probe;
  readonly log?: Log;
  readonly onAppend?: (record: InRecord) => void;
};

type Room = { readonly loops: readonly SimLoop[]; readonly end: () => void };

export const createSimCluster = (options: SimClusterOptions): SimCluster => {
  const { clock, random, network, origin, log = silentLog } = options;
  const { onAppend } = options;
  const bus = createSimBus({ clock, random, faults: options.faults, ...(onAppend === undefined ? {} : { onAppend }) });
  const metrics = createMetrics();
  const lots = new Map<string, ParkingLot>(simulatedRooms.map((room) => [room, createMemoryParkingLot()]));
  const states = new Map<string, StateStore>([
    ['flow', createMemoryStateStore({ now: clock.now })],
    ['link-manager', createMemoryStateStore({ now: clock.now })],
  ]);
  const keys = createMemoryKeys();
  const vault = createMemoryDb();
  const answers = new Map([
    ['crypto', createMemoryAnswerStore<unknown>(keys.makeTx, keys.rollback as (tx: unknown) => void)],
    ['db', createMemoryAnswerStore<unknown>(vault.makeTx, vault.rollback)],
  ]);
  const limits = shellLimits({ recordsPerPollMax: 8 });

  const makeWorker = (room: SimulatedRoom): Worker => {
    switch (room) {
      case 'flow': {
        const views = {
          virtualNodes: createSimView(bus, dbToAllVirtualNode),
          cpis: createSimView(bus, dbToAllCpi),
          cpks: createSimView(bus, dbToFlowCpk),
          members: createSimView(bus, memberToAllMember),
          groupParameters: createSimView(bus, memberToAllGroupParameters),
        };
        return createFlowWorker({ views, sandbox: createTrustingSandbox(), log, metrics });
      }
      case 'link-manager': {
        const views = {
          members: createSimView(bus, memberToAllMember),
          groupParameters: createSimView(bus, memberToAllGroupParameters),
          hostedIdentities: createSimView(bus, memberToLinkManagerHostedIdentity),
          virtualNodes: createSimView(bus, dbToAllVirtualNode),
        };
        return createLinkManagerWorker({ views, clock, log, metrics, random: random.bytes });
      }
      case 'crypto':
        return createCryptoWorker({ rootKey: options.rootKey, log, clock, chance: random.bytes });
      case 'db':
        // Of db's wires the story needs this one; what the others would publish is part of its setting.
        return { room: 'db', answers: [onEntity] };
      case 'gateway':
        return openSimGateway({ bus, network, origin, clock, log, metrics, groupParameters: createSimView(bus, memberToAllGroupParameters) });
    }
  };

  const loopOf = (group: string, topics: readonly string[], makeBatch: (commit: Consumer['commit']) => Batch): SimLoop => {
    const consumer = bus.consume({ group, instance: 'one', topics });
    const batch = makeBatch((positions) => consumer.commit(positions));
    // After an operational fault the shell's loop calls the batch again, whether records come or not.
    let unfinished = false;
    return {
      name: `${origin} ${group}`,
      ready: (now) => unfinished || bus.waiting(group, topics) > 0 || (batch.readyAt() ?? Infinity) <= now,
      step: async () => {
        const records = unfinished ? [] : await consumer.poll({ timeoutMs: 0, recordsMax: limits.recordsPerPollMax });
        unfinished = true;
        await batch.handleBatch(records);
        unfinished = false;
        await batch.committed();
      },
    };
  };

  const openRoom = (room: SimulatedRoom): Room => {
    const worker = makeWorker(room);
    const common = { room, parking: lots.get(room)!, publish: bus.publish, clock, log, metrics, limits, random: random.next, probe: options.probe(room) };
    const loops: SimLoop[] = [];
    let end = (): void => undefined;
    const { machine } = worker;
    const store = states.get(room);
    if (machine !== undefined && store !== undefined) {
      const timers = machine.wake === undefined ? undefined : createTimers({ ...common, wire: machine.wake.wire, states: store });
      timers?.start();
      end = () => void timers?.stop();
      loops.push(loopOf(room, machineTopics(machine), (commit) => createMachineBatch({ ...common, machine, states: store, commit, ...(timers === undefined ? {} : { onSaved: timers.saved }) })));
    }
    const answerStore = answers.get(room);
    if (answerStore !== undefined) {
      for (const answering of worker.answers ?? []) {
        loops.push(loopOf(`${room}/${answering.wire.topic}`, [answering.wire.topic], (commit) => createAnswerBatch({ ...common, answering, answers: answerStore, commit })));
      }
    }
    for (const pump of worker.pumps ?? []) loops.push(loopOf(`${room}/${pump.wire.topic}`, [pump.wire.topic], (commit) => createPumpBatch({ ...common, pump, commit })));
    return { loops, end };
  };

  const rooms = new Map<SimulatedRoom, Room>();
  const boot = (room: SimulatedRoom): void => {
    rooms.get(room)?.end();
    rooms.set(room, openRoom(room));
  };
  for (const room of simulatedRooms) boot(room);
  return {
    bus,
    lots: [...lots.values()],
    flowStates: states.get("flow")!,
    host: async (node) => void (await vault.makeTx().virtualNodes.create(node)),
    loops: () => [...rooms.values()].flatMap(({ loops }) => loops),
    boot,
  };
};
