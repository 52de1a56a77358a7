/**
 * One member of a test network, as a cluster of its own: the flow room with its journal, the db and crypto rooms over memory, all
 * behind the real shell. What would survive a crash (bus, stores) stays; what would not is made anew by `boot`.
 */
import type { Clock } from '../host/clock.ts';
import { sha256Bytes } from './chance.ts';
import { utf8 } from '../cipher/bytes.ts';
import type { HoldingIdentity } from '../identity/holding-identity.ts';
import { allToCryptoKey, type PublicKeyInfo } from '../messages/all-to-crypto.key.ts';
import { allToCryptoSign } from '../messages/all-to-crypto.sign.ts';
import { allToMemberAnswer } from '../messages/all-to-member.answer.ts';
import { dbToAllCpi } from '../messages/db-to-all.cpi.ts';
import { dbToAllVirtualNode, type VirtualNode } from '../messages/db-to-all.virtual-node.ts';
import { dbToFlowCpk } from '../messages/db-to-flow.cpk.ts';
import { flowToDbEntity } from '../messages/flow-to-db.entity.ts';
import { flowToDbQuery } from '../messages/flow-to-db.query.ts';
import { flowToFlowWake } from '../messages/flow-to-flow.wake.ts';
import { answerTo, decode, encode } from '../messages/grammar/envelope.ts';
import type { OutRecord } from '../messages/grammar/record.ts';
import { memberToAllGroupParameters } from '../messages/member-to-all.group-parameters.ts';
import { memberToAllMember } from '../messages/member-to-all.member.ts';
import type { Log } from '../observability/log.ts';
import { createMetrics } from '../observability/metrics.ts';
import { shellLimits } from '../shell/config.ts';
import { createMemoryAnswerStore, createMemoryParkingLot, createMemoryStateStore } from '../shell/memory-store.ts';
import type { BatchPoint } from '../shell/operational.ts';
import type { AnswerStore, ParkingLot, StateStore } from '../shell/store.ts';
import { createMemoryKeys } from '../workers/crypto/memory-keys.ts';
import type { CryptoTx } from '../workers/crypto/crypto-tx.ts';
import type { RootKey } from '../workers/crypto/root-key.ts';
import { createCryptoWorker } from '../workers/crypto/worker.ts';
import { findSchemas } from '../workers/db/cpk-schemas.ts';
import { createDbWorker, type DbTx } from '../workers/db/worker.ts';
import { createFlowWorker, type FlowLimits, type Sandbox } from '../workers/flow/worker.ts';
import type { AnsweringRoom, RequestFate } from './faults.ts';
import { cpiOf, virtualNodeOf } from './members.ts';
import type { TestApp } from './app.ts';
import { shareOf } from './sandboxes.ts';
import { calmChance, createStepBus, noBusFaults, type StepBus } from './step-bus.ts';
import { openStepLoops, type StepLoop } from './step-loops.ts';
import { createStepView } from './step-view.ts';

/** The member's flow room dies here; the network makes it anew. */
export class MemberCrash extends Error {
  readonly operational = true;
}

export type MemberRoom = {
  readonly identity: HoldingIdentity;
  readonly bus: StepBus;
  readonly states: StateStore;
  readonly parking: ParkingLot;
  readonly vault: AnswerStore<DbTx>;
  online: boolean;
  loops(): readonly StepLoop[];
  /** Its flow room as another replica finds it: what is stored, and nothing in memory. */
  boot(): void;
  /** Publishes wakes for what is due and was not woken yet; says how many, and the time of what is due next. */
  wake(now: number): Promise<{ readonly count: number; readonly next: number | undefined }>;
  close(): void;
};

export type MemberRoomOptions = {
  readonly identity: HoldingIdentity;
  readonly app: TestApp;
  readonly clock: Clock;
  readonly log: Log;
  readonly sandbox: Sandbox;
  readonly rootKey: RootKey;
  readonly vault: AnswerStore<DbTx>;
  readonly limits: Partial<FlowLimits>;
  readonly requestFate: (room: AnsweringRoom) => RequestFate;
  readonly diesAt: (point: BatchPoint) => boolean;
  readonly schedule: (atMs: number, work: () => Promise<void>) => void;
};

/** Requests of flows that a fault may meet. */
const requestWires = [
  { room: 'db', wire: flowToDbEntity },
  { room: 'db', wire: flowToDbQuery },
  { room: 'crypto', wire: allToCryptoSign },
] as const;

/** What becomes of the requests among the records that a flow room publishes; the others pass. */
const meetRequest = async (record: OutRecord, bus: StepBus, { requestFate, schedule, clock }: MemberRoomOptions): Promise<void> => {
  const asked = requestWires.find(({ wire }) => wire.topic === record.topic);
  const fate: RequestFate = asked === undefined ? { type: 'pass' } : requestFate(asked.room);
  if (fate.type === 'lose') return;
  if (fate.type === 'delay') return schedule(clock.now() + fate.delayMs, async () => void (await bus.publish([record])));
  if (fate.type === 'pass') return void (await bus.publish([record]));
  const { type: _type, ...refusal } = fate;
  // Only requests of these wires have another fate than to pass.
  const decoded = decode<unknown>(asked!.wire, { ...record, partition: 0, offset: 0, timestamp: 0 });
  const answer = decoded.type === 'message' ? answerTo(decoded.delivery, { type: 'refused', ...refusal }) : undefined;
  if (answer !== undefined) await bus.publish([answer]);
};

const flowViews = (bus: StepBus) => ({
  virtualNodes: createStepView(bus, dbToAllVirtualNode),
  cpis: createStepView(bus, dbToAllCpi),
  cpks: createStepView(bus, dbToFlowCpk),
  members: createStepView(bus, memberToAllMember),
  groupParameters: createStepView(bus, memberToAllGroupParameters),
});

/** The virtual node in its db room, with the tables of its application. */
const hostNode = async (tx: DbTx, node: VirtualNode, app: TestApp): Promise<void> => {
  await tx.cpis.put(cpiOf(app), [{ hash: app.hash, code: utf8(app.code), sourceMap: app.sourceMap, schema: app.schema ?? null }]);
  const created = await tx.virtualNodes.create(node, [...(await findSchemas(tx, [app.hash])).values()]);
  if (created.type === 'failed') throw new Error(`the vault of ${node.holdingIdentity.x500Name} could not be made: ${created.reason}`);
};

export const openMemberRoom = async (options: MemberRoomOptions): Promise<MemberRoom> => {
  const { identity, app, clock, log, rootKey, limits, vault, diesAt } = options;
  const { shortHash } = identity;
  const bus = createStepBus({ clock, random: calmChance, faults: noBusFaults });
  const metrics = createMetrics();
  const states = createMemoryStateStore({ now: clock.now });
  const parking = createMemoryParkingLot();
  const keys = createMemoryKeys();
  const share = shareOf(options.sandbox);
  const common = { bus, origin: shortHash, clock, log, metrics, parking, limits: shellLimits() };

  const openFlow = (): StepLoop[] => {
    const worker = createFlowWorker({ views: flowViews(bus), sandbox: share.sandbox, log, metrics, limits });
    const probe = (point: BatchPoint): void => {
      if (diesAt(point)) throw new MemberCrash(`${identity.x500Name} crashed at ${point}`);
    };
    const publish: StepBus['publish'] = async (records) => {
      for (const record of records) await meetRequest(record, bus, options);
      return records.map(({ topic }) => ({ topic, partition: 0, offset: 0 }));
    };
    return openStepLoops({ ...common, worker, states, publish, probe });
  };

  await vault.transact((tx) => hostNode(tx, virtualNodeOf(identity, app), app));
  const crypto = createCryptoWorker({ rootKey, log, clock, chance: sha256Bytes(shortHash) });
  const around = [
    ...openStepLoops({ ...common, worker: crypto, answers: createMemoryAnswerStore<CryptoTx>(keys.makeTx, keys.rollback) }),
    ...openStepLoops({ ...common, worker: createDbWorker({ log }), answers: vault }),
  ];
  let flow = openFlow();
  const woken = new Map<string, number>();
  return {
    identity,
    bus,
    states,
    parking,
    vault,
    online: true,
    loops: () => [...flow, ...around],
    boot: () => {
      share.forgetAll();
      flow = openFlow();
    },
    wake: async (now) => {
      const { keys: due, nextDueAt } = await states.due(now, 1_000);
      const fresh = due.filter(({ key, dueAt }) => woken.get(key) !== dueAt);
      for (const { key, dueAt } of fresh) woken.set(key, dueAt);
      await bus.publish(fresh.map(({ key, dueAt }) => encode(flowToFlowWake, { key, id: `${key}/${dueAt}`, body: { dueAt } })));
      return { count: fresh.length, next: nextDueAt ?? undefined };
    },
    close: () => {
      share.forgetAll();
      void crypto.close?.();
    },
  };
};

/** Asks the member's crypto room, over its wire, for a session key and a ledger key. The caller steps the loops until they are there. */
export const askKeys = async ({ bus, identity }: MemberRoom): Promise<void> => {
  const { shortHash: tenant } = identity;
  const replyTo = { topic: allToMemberAnswer.topic, key: tenant };
  const requests = (['SESSION_INIT', 'LEDGER'] as const).flatMap((category) => [
    { type: 'assign-hsm' as const, tenant, category },
    { type: 'generate' as const, tenant, category, alias: category.toLowerCase(), scheme: 'CORDA.EDDSA.ED25519' as const },
  ]);
  await bus.publish(requests.map((body, i) => encode(allToCryptoKey, { key: tenant, id: `keys/${i}`, body, replyTo })));
};

export const keysOf = ({ bus }: MemberRoom): PublicKeyInfo[] =>
  bus.records(allToMemberAnswer.topic).flatMap((record) => {
    const decoded = decode(allToMemberAnswer, record);
    if (decoded.type !== 'message') return [];
    const { outcome } = decoded.delivery.body;
    if (outcome.type === 'refused') throw new Error(`crypto made no key: ${outcome.code}: ${outcome.message}`);
    return allToCryptoKey.reply?.parse(outcome.value).keys ?? [];
  });
