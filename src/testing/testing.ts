/**
 * What tests of applications import as `@cordage/testing`: a network of virtual nodes in one process, without server or database.
 *
 * Real are the flow engine with its journal behind the shell, the sandbox, the db room and the crypto room (over memory) and every
 * wire between them. Between members a message goes straight from one flow room to the other. Time stands still until the test
 * moves it; names, ids and keys are the same in every run.
 */
import type { BatchPoint } from '../shell/operational.ts';
import { createLog } from '../observability/log.ts';
import { deriveRootKey } from '../workers/crypto/root-key.ts';
import { allToLinkManagerSend } from '../messages/all-to-link-manager.send.ts';
import type { FlowLimits } from '../workers/flow/worker.ts';
import { openApp, type AppSource, type TestApp } from './app.ts';
import { leaseMemory, leasePostgres, type VaultLease } from './databases.ts';
import { createDelivery } from './delivery.ts';
import { createDriver, type Driver, type NetworkClock } from './driver.ts';
import { millisecondsOf, type Duration } from './duration.ts';
import { createFaults, type FaultPanel, type Faults } from './faults.ts';
import { askKeys, keysOf, openMemberRoom, type MemberRoom } from './member.ts';
import { factRecords, identityOfMember, keyOfMember, memberOf, virtualNodeOf } from './members.ts';
import { openTestNode, type TestLogLine, type TestNode } from './node.ts';
import { leaseHardened, leaseInline, type Lease } from './sandboxes.ts';
import type { StepLoop } from './step-loops.ts';

export type { AppSource } from './app.ts';
export type { Duration } from './duration.ts';
export type { AnsweringRoom, Faults, MessageFilter, TestMessage } from './faults.ts';
export { TestFlowError, type ResultOf, type TestFlow } from './flows.ts';
export type { StartOptions, TestLogLine, TestNode, TestVault } from './node.ts';

export type TestNetworkOptions<Name extends string = string> = {
  readonly app: AppSource;
  /** `Alice` stands for `CN=Alice, O=Alice, L=London, C=GB`; an X.500 name is taken as it is. Each becomes a property of the network. */
  readonly members: readonly Name[];
  /**
   * `hardened` is the sandbox of a cluster and the default for a project; `inline` runs the same code in this process, where a
   * debugger stops in it. Flow values run inline.
   */
  readonly sandbox?: 'hardened' | 'inline';
  /** `manual`: time moves by `advance` alone (default). `auto`: waiting for a flow's end lets time pass to whatever is due next. */
  readonly time?: 'manual' | 'auto';
  /**
   * `memory` (default), or `postgres` for applications with tables: a real server that comes with Cordage, started once a process, in a few
   * seconds, and a fresh database for each network, in some tenths of one.
   */
  readonly database?: 'memory' | 'postgres';
  /** Bounds of the flow room, for a test that wants them smaller. */
  readonly limits?: Partial<FlowLimits>;
};

type KeyOfName<Name extends string> = Name extends `${'CN' | 'O'}=${infer Common},${string}` ? Uncapitalize<Common> : Uncapitalize<Name>;

export type TestNetworkBase = AsyncDisposable & {
  /** A member by its property's name, its given name or its X.500 name. */
  node(member: string): TestNode;
  /** Milliseconds since the epoch, by the network's clock. */
  now(): number;
  /** Lets this much time pass; whatever comes due on the way happens at its time. */
  advance(duration: Duration): Promise<void>;
  /** Works until nothing is left to do at this moment. */
  settle(): Promise<void>;
  readonly faults: Faults;
  /** Ends the network. The sandbox is kept a moment for the next one. */
  close(): Promise<void>;
};

export type TestNetwork<Name extends string = string> = TestNetworkBase & { readonly [Member in Name as KeyOfName<Member>]: TestNode };

/** 1 January 2026: where every test begins. */
const beginning = Date.UTC(2026, 0, 1);

/** Its cost is a defence of keys that are worth something. */
const rootKey = deriveRootKey({ passphrase: 'test', salt: 'test', iterations: 1 });

type Member = { readonly given: string; readonly key: string; readonly room: MemberRoom; readonly log: TestLogLine[] };

/** What a network stands on: shared with other networks, before it and after it. */
type Ground = { readonly app: TestApp; readonly lease: Lease; readonly vaults: VaultLease };

type World = { readonly clock: NetworkClock; readonly members: Member[]; readonly driver: Driver; readonly panel: FaultPanel; readonly inTurn: <Result>(work: () => Promise<Result>) => Promise<Result> };

const memberNamed = (members: readonly Member[], wanted: string): Member => {
  const found = members.find(({ given, key, room }) => wanted === given || wanted === key || wanted === room.identity.x500Name);
  if (found !== undefined) return found;
  throw new Error(`the test network has no member "${wanted}"; it has ${members.map(({ key }) => key).join(', ')}`);
};

/** What carries messages away from a member: the place of its link manager. */
const carrierOf = ({ bus, identity }: MemberRoom, take: (record: Parameters<ReturnType<typeof createDelivery>['take']>[0]) => Promise<void>): StepLoop => {
  const group = 'delivery';
  const topics = [allToLinkManagerSend.topic];
  const consumer = bus.consume({ group, instance: 'one', topics });
  return {
    name: `${identity.shortHash} ${group}`,
    ready: () => bus.waiting(group, topics) > 0,
    readyAt: () => undefined,
    step: async () => {
      for (const record of await consumer.poll({ timeoutMs: 0, recordsMax: 1 })) {
        await take(record);
        await consumer.commit([{ ...record, offset: record.offset + 1 }]);
      }
    },
  };
};

const openMember = async (given: string, { app, lease, vaults }: Ground, world: Omit<World, 'inTurn'>, limits: Partial<FlowLimits>): Promise<Member> => {
  const identity = identityOfMember(given);
  const { clock, driver, panel } = world;
  const said: TestLogLine[] = [];
  const log = createLog({
    level: 'debug',
    now: clock.now,
    write: (line) => {
      // Written by createLog; `flow-says` is what the flow room makes of a line of flow code.
      const { event, level, message, fields, flowId } = JSON.parse(line) as Record<'event' | 'level' | 'message' | 'flowId', string> & { fields?: unknown };
      if (event === 'flow-says') said.push({ level, message, flowId, ...(fields === undefined ? {} : { fields }) });
    },
  });
  const name = identity.x500Name;
  const room = await openMemberRoom({
    identity,
    app,
    clock,
    log,
    limits,
    sandbox: lease.sandbox,
    rootKey: await rootKey,
    vault: vaults.openStore(),
    requestFate: (answering) => panel.requestFate({ member: name, room: answering }),
    diesAt: (point: BatchPoint) => panel.diesAt(name, point),
    schedule: driver.schedule,
  });
  return { given, key: keyOfMember(given), room, log: said };
};

const createWorld = async (ground: Ground, { members: names, limits = {} }: TestNetworkOptions): Promise<World> => {
  const clock: NetworkClock = { time: beginning, now: () => clock.time, after: () => () => {} };
  const members: Member[] = [];
  const carriers: StepLoop[] = [];
  const roomNamed = (x500Name: string): MemberRoom | undefined => members.find(({ room }) => room.identity.x500Name === x500Name)?.room;
  const delivery = createDelivery({
    stationOf: (x500Name) => {
      const room = roomNamed(x500Name);
      return room === undefined ? undefined : { bus: room.bus, isOnline: () => room.online };
    },
    fateOf: (message) => panel.messageFate(message),
    schedule: (at, work) => driver.schedule(at, work),
    now: clock.now,
  });
  const driver = createDriver({ clock, members: () => members.map(({ room }) => room), carriers: () => carriers, release: delivery.release });
  const panel = createFaults({
    nameOf: (wanted) => memberNamed(members, wanted).room.identity.x500Name,
    crash: (name) => roomNamed(name)?.boot(),
    setOnline: (name, online) => {
      const room = roomNamed(name);
      if (room === undefined || room.online === online) return;
      room.online = online;
      if (!online) return;
      room.boot();
      driver.schedule(clock.time, () => delivery.reached(name));
    },
  });
  for (const name of names) members.push(await openMember(name, ground, { clock, members, driver, panel }, limits));
  for (const { room } of members) carriers.push(carrierOf(room, delivery.take));
  let last: Promise<unknown> = Promise.resolve();
  const inTurn = <Result>(work: () => Promise<Result>): Promise<Result> => {
    const mine = last.then(work);
    last = mine.catch(() => {});
    return mine;
  };
  return { clock, members, driver, panel, inTurn };
};

/** Keys are made by the crypto rooms; what db and member would then publish is published here. */
const setUp = async ({ members, driver }: World, app: TestApp): Promise<void> => {
  for (const { room } of members) await askKeys(room);
  await driver.settle();
  const roll = members.map(({ room }) => memberOf(room.identity, keysOf(room)));
  for (const { room } of members) {
    await room.bus.publish(factRecords(virtualNodeOf(room.identity, app), app, roll));
    // Views are caught up when a worker is made.
    room.boot();
  }
};

/** A sandbox of its own starts while the project is bundled. */
const openAppAndSandbox = async ({ app: source, sandbox }: Pick<TestNetworkOptions, 'app' | 'sandbox'>): Promise<{ app: TestApp; lease: Lease }> => {
  const movable = typeof source === 'string' || source instanceof URL;
  if (!movable && sandbox === 'hardened') throw new Error('flow values run inline only: a process of its own needs the project; give its folder as `app`');
  if (!movable || sandbox === 'inline') {
    const app = await openApp(source);
    return { app, lease: leaseInline(app) };
  }
  const lease = leaseHardened();
  try {
    return { app: await openApp(source), lease };
  } catch (error) {
    await lease.release();
    throw error;
  }
};

const release = async ({ lease, vaults }: Ground): Promise<void> => {
  await lease.release();
  await vaults.release();
};

const openGround = async (options: TestNetworkOptions): Promise<Ground> => {
  const { app, lease } = await openAppAndSandbox(options);
  try {
    if (options.database === 'postgres') return { app, lease, vaults: await leasePostgres() };
    if (app.hasTables) throw new Error("the application has tables (its entry exports migrations), which need a database: open the network with database: 'postgres'");
    return { app, lease, vaults: leaseMemory() };
  } catch (error) {
    await lease.release();
    throw error;
  }
};

const openWorld = async (ground: Ground, options: TestNetworkOptions): Promise<World> => {
  try {
    const world = await createWorld(ground, options);
    await setUp(world, ground.app);
    return world;
  } catch (error) {
    await release(ground);
    throw error;
  }
};

const reserved = new Set(['node', 'now', 'advance', 'settle', 'faults', 'close']);

const checkNames = (names: readonly string[]): void => {
  if (names.length === 0) throw new Error('a test network needs a member: members: [\'Alice\', \'Bob\']');
  const keys = names.map(keyOfMember);
  const bad = keys.find((key, i) => reserved.has(key) || keys.indexOf(key) !== i);
  if (bad !== undefined) throw new Error(`two things of the test network would be called "${bad}"; name its members apart`);
};

/**
 * Opens a network. Close it when the test ends: `await using network = await testNetwork({ … })`, or `await network.close()`.
 *
 * @example
 * ```ts
 * await using network = await testNetwork({ app: './cordage.json', members: ['Alice', 'Bob'] });
 * const flow = await network.alice.start('com.example.Ping', { to: network.bob.name });
 * expect(await flow.result()).toBe('pong');
 * ```
 */
export const testNetwork = async <const Name extends string>(options: TestNetworkOptions<Name>): Promise<TestNetwork<Name>> => {
  checkNames(options.members);
  const ground = await openGround(options);
  const world = await openWorld(ground, options);
  const { clock, driver, members, panel, inTurn } = world;
  const workUntil = (done: () => Promise<boolean>): Promise<void> =>
    inTurn(() => (options.time === 'auto' ? driver.pass(Infinity, done) : driver.settle(done)));
  const nodes = new Map(members.map((member) => [member.key, openTestNode({ member: member.room, workUntil }, member.log)]));
  let closed: Promise<void> | undefined;
  const close = async (): Promise<void> => {
    for (const { room } of members) room.close();
    await release(ground);
  };
  const base: TestNetworkBase = {
    node: (wanted) => nodes.get(memberNamed(members, wanted).key)!,
    now: clock.now,
    advance: (duration) => inTurn(() => driver.pass(clock.time + millisecondsOf(duration))),
    settle: () => inTurn(() => driver.settle()),
    faults: panel.faults,
    close: () => (closed ??= inTurn(close)),
    [Symbol.asyncDispose]: () => (closed ??= inTurn(close)),
  };
  // One property for each of the names, as the type says.
  return { ...base, ...Object.fromEntries(nodes) } as TestNetwork<Name>;
};
