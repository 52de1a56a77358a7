/**
 * A cluster of the simulation: the real rooms in the real batches of the shell, on simulated bus, store, network and clock.
 * What would survive a crash (bus, stores) belongs to the cluster; what would not (workers, batches) is made anew by `boot`.
 */
import type { Clock } from '../../src/host/clock.ts';
import { dbToAllCpi } from '../../src/messages/db-to-all.cpi.ts';
import { dbToAllVirtualNode, type VirtualNode } from '../../src/messages/db-to-all.virtual-node.ts';
import { dbToFlowCpk } from '../../src/messages/db-to-flow.cpk.ts';
import { flowToDbEntity } from '../../src/messages/flow-to-db.entity.ts';
import type { InRecord } from '../../src/messages/grammar/record.ts';
import { memberToAllGroupParameters } from '../../src/messages/member-to-all.group-parameters.ts';
import { memberToAllMember } from '../../src/messages/member-to-all.member.ts';
import { memberToLinkManagerHostedIdentity } from '../../src/messages/member-to-link-manager.hosted-identity.ts';
import { silentLog, type Log } from '../../src/observability/log.ts';
import { createMetrics } from '../../src/observability/metrics.ts';
import { shellLimits } from '../../src/shell/config.ts';
import { createDirectAnswers, type DirectWays } from '../../src/shell/direct.ts';
import { createMemoryAnswerStore, createMemoryParkingLot, createMemoryStateStore } from '../../src/shell/memory-store.ts';
import type { Probe } from '../../src/shell/operational.ts';
import type { ParkingLot, StateStore } from '../../src/shell/store.ts';
import { createTimers } from '../../src/shell/timers.ts';
import type { Worker } from '../../src/shell/worker.ts';
import { createMemoryKeys } from '../../src/workers/crypto/memory-keys.ts';
import type { RootKey } from '../../src/workers/crypto/root-key.ts';
import { createCryptoWorker } from '../../src/workers/crypto/worker.ts';
import { createMemoryDb, writeAtOnceInMemory } from '../../src/workers/db/memory/memory-db.ts';
import { createOnEntity } from '../../src/workers/db/on-entity.ts';
import { createFlowWorker, createTrustingSandbox } from '../../src/workers/flow/worker.ts';
import { createLinkManagerWorker, type LinkKey } from '../../src/workers/link-manager/worker.ts';
import { createStepBus, type BusFaults, type StepBus } from '../../src/testing/step-bus.ts';
import { openStepLoops, type StepLoop } from '../../src/testing/step-loops.ts';
import { createStepView } from '../../src/testing/step-view.ts';
import type { Random } from './random.ts';
import { openSimGateway } from './sim-gateway.ts';
import type { SimNetwork } from './sim-network.ts';

export const simulatedRooms = ['flow', 'link-manager', 'gateway', 'crypto', 'db'] as const;
export type SimulatedRoom = (typeof simulatedRooms)[number];

export type SimCluster = {
  readonly bus: StepBus;
  readonly lots: readonly ParkingLot[];
  readonly flowStates: StateStore;
  /** Makes a virtual node's vault. */
  host(node: VirtualNode): Promise<void>;
  /** The loops of all rooms as they now stand. */
  loops(): readonly StepLoop[];
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
  readonly linkKey: LinkKey;
  readonly probe: (room: SimulatedRoom) => Probe;
  readonly log?: Log;
  readonly onAppend?: (record: InRecord) => void;
  /** Whether the flow room asks the db room as one of its own process; a crash ends one of them all the same, which is worse. */
  readonly asksDirectly?: boolean;
};

type Room = { readonly loops: readonly StepLoop[]; readonly end: () => void };

export const createSimCluster = (options: SimClusterOptions): SimCluster => {
  const { clock, random, network, origin, log = silentLog } = options;
  const { onAppend } = options;
  const bus = createStepBus({ clock, random, faults: options.faults, ...(onAppend === undefined ? {} : { onAppend }) });
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
    // Now and then something is in the way, as another replica may be.
    ['db', createMemoryAnswerStore(vault.makeTx, vault.rollback, async (tx, write) => random.chance(0.7) && writeAtOnceInMemory(tx, write))],
  ]);
  const limits = shellLimits({ recordsPerPollMax: 8 });
  const direct: DirectWays = options.asksDirectly === false ? new Map() : new Map([[flowToDbEntity.topic, createDirectAnswers({ room: 'db', answering: createOnEntity(), answers: answers.get('db')!, clock, log, metrics, limits })]]);

  const makeWorker = (room: SimulatedRoom): Worker => {
    switch (room) {
      case 'flow': {
        const views = {
          virtualNodes: createStepView(bus, dbToAllVirtualNode),
          cpis: createStepView(bus, dbToAllCpi),
          cpks: createStepView(bus, dbToFlowCpk),
          members: createStepView(bus, memberToAllMember),
          groupParameters: createStepView(bus, memberToAllGroupParameters),
        };
        return createFlowWorker({ views, sandbox: createTrustingSandbox(), direct, log, metrics });
      }
      case 'link-manager': {
        const views = {
          members: createStepView(bus, memberToAllMember),
          groupParameters: createStepView(bus, memberToAllGroupParameters),
          hostedIdentities: createStepView(bus, memberToLinkManagerHostedIdentity),
          virtualNodes: createStepView(bus, dbToAllVirtualNode),
        };
        return createLinkManagerWorker({ views, keys: [options.linkKey], clock, log, metrics, random: random.bytes });
      }
      case 'crypto':
        return createCryptoWorker({ rootKey: options.rootKey, log, clock, chance: random.bytes });
      case 'db':
        // Of db's wires the story needs this one; what the others would publish is part of its setting.
        return { room: 'db', answers: [createOnEntity()] };
      case 'gateway':
        return openSimGateway({ bus, network, origin, clock, log, metrics });
    }
  };

  const openRoom = (room: SimulatedRoom): Room => {
    const worker = makeWorker(room);
    const common = { bus, worker, origin, parking: lots.get(room)!, clock, log, metrics, limits, random: random.next, probe: options.probe(room) };
    const [store, answerStore] = [states.get(room), answers.get(room)];
    const answering = answerStore === undefined ? {} : { answers: answerStore };
    if (store === undefined) return { loops: openStepLoops({ ...common, ...answering }), end: () => undefined };
    const wake = worker.machine?.wake;
    const timers = wake === undefined ? undefined : createTimers({ ...common, room, wire: wake.wire, states: store, publish: bus.publish });
    timers?.start();
    return { loops: openStepLoops({ ...common, ...answering, states: store, ...(timers === undefined ? {} : { onSaved: timers.saved }) }), end: () => void timers?.stop() };
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
    host: async (node) => void (await vault.makeTx().virtualNodes.create(node, [])),
    loops: () => [...rooms.values()].flatMap(({ loops }) => loops),
    boot,
  };
};
