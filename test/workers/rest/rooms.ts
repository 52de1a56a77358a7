/**
 * The rooms behind rest, as its wires show them: each answers what a test told it to, over the bus. The flow room keeps
 * flows, since starts, queries and statuses must agree.
 */
import type { Bus, Consumer } from '../../../src/bus/bus.ts';
import { flowIdOf } from '../../../src/identity/derive.ts';
import { allToCryptoKey } from '../../../src/messages/all-to-crypto.key.ts';
import { flowToRestStatus } from '../../../src/messages/flow-to-rest.status.ts';
import { answerTo, decode, encode, type Outcome } from '../../../src/messages/grammar/envelope.ts';
import type { InRecord } from '../../../src/messages/grammar/record.ts';
import type { FlowStatus, FlowStatusName } from '../../../src/messages/grammar/shapes.ts';
import type { BodyOf, ReplyOf, Wire } from '../../../src/messages/grammar/wire.ts';
import { restToCryptoCsr } from '../../../src/messages/rest-to-crypto.csr.ts';
import { restToCryptoRotation } from '../../../src/messages/rest-to-crypto.rotation.ts';
import { restToDbCertificate } from '../../../src/messages/rest-to-db.certificate.ts';
import { restToDbConfig } from '../../../src/messages/rest-to-db.config.ts';
import { restToDbCpi } from '../../../src/messages/rest-to-db.cpi.ts';
import { restToDbRbac } from '../../../src/messages/rest-to-db.rbac.ts';
import { restToCryptoTransfer } from '../../../src/messages/rest-to-crypto.transfer.ts';
import { restToDbTransfer } from '../../../src/messages/rest-to-db.transfer.ts';
import { restToDbVirtualNode } from '../../../src/messages/rest-to-db.virtual-node.ts';
import { restToFlowQuery } from '../../../src/messages/rest-to-flow.query.ts';
import { restToFlowStart } from '../../../src/messages/rest-to-flow.start.ts';
import { restToFlowKill } from '../../../src/messages/rest-to-flow.kill.ts';
import { restToFlowRedrive } from '../../../src/messages/rest-to-flow.redrive.ts';
import { restToLinkManagerReceipt } from '../../../src/messages/rest-to-link-manager.receipt.ts';
import { restToMemberLookup } from '../../../src/messages/rest-to-member.lookup.ts';
import { restToMemberMgm } from '../../../src/messages/rest-to-member.mgm.ts';
import { restToMemberNetwork } from '../../../src/messages/rest-to-member.network.ts';
import { restToMemberRegistration } from '../../../src/messages/rest-to-member.registration.ts';

/** `silent`: the room does not answer, as if its worker were down. */
type Answerer<Body> = (body: Body) => Outcome | 'silent' | Promise<Outcome | 'silent'>;

export const doneWith = (value: unknown): Outcome => ({ type: 'done', value });
export const refusedWith = (code: string, message = 'because the test says so', details?: Record<string, string>): Outcome => ({ type: 'refused', code, message, ...(details === undefined ? {} : { details }) });

const wires = [
  allToCryptoKey,
  restToCryptoCsr,
  restToCryptoRotation,
  restToDbCertificate,
  restToDbConfig,
  restToDbCpi,
  restToDbRbac,
  restToDbVirtualNode,
  restToFlowKill,
  restToFlowQuery,
  restToFlowRedrive,
  restToFlowStart,
  restToLinkManagerReceipt,
  restToMemberLookup,
  restToMemberRegistration,
  restToMemberMgm,
  restToMemberNetwork,
  restToDbTransfer,
  restToCryptoTransfer,
] as const;

export type Rooms = {
  /** From now on requests on this wire are answered so. */
  on<W extends (typeof wires)[number]>(wire: W, answer: Answerer<BodyOf<W>>): void;
  /** Bodies that came on this wire, in order. */
  heard<W extends (typeof wires)[number]>(wire: W): BodyOf<W>[];
  /** Ids of the messages that brought them. */
  heardIds(wire: (typeof wires)[number]): readonly string[];
  readonly flows: Flows;
  close(): Promise<void>;
};

export type Flows = {
  /** Puts the flow into this state and tells rest, as the flow room does. */
  move(shortHash: string, clientRequestId: string, flowStatus: FlowStatusName, more?: Partial<FlowStatus>): Promise<void>;
  /** Called for every start, before it is answered. */
  onStart: ((body: BodyOf<typeof restToFlowStart>) => void) | undefined;
};

const createFlows = (bus: Bus) => {
  const flows = new Map<string, FlowStatus>();
  const nameOf = (shortHash: string, clientRequestId: string): string => `${shortHash}/${clientRequestId}`;
  const put = (shortHash: string, clientRequestId: string, flowStatus: FlowStatusName, more: Partial<FlowStatus> = {}): FlowStatus => {
    const flowId = flowIdOf(shortHash, clientRequestId);
    const status: FlowStatus = { holdingIdentityShortHash: shortHash, clientRequestId, flowId, flowStatus, flowResult: null, flowError: null, timestamp: Date.now(), ...more };
    flows.set(nameOf(shortHash, clientRequestId), status);
    return status;
  };
  const tell = (status: FlowStatus) => bus.publish([encode(flowToRestStatus, { key: status.flowId!, id: `${status.flowId}/${status.flowStatus}`, body: status })]);
  const self: Flows = {
    onStart: undefined,
    move: async (shortHash, clientRequestId, flowStatus, more) => {
      await tell(put(shortHash, clientRequestId, flowStatus, more));
    },
  };
  const start: Answerer<BodyOf<typeof restToFlowStart>> = (body) => {
    const { shortHash } = body.holdingIdentity;
    const flowId = flowIdOf(shortHash, body.clientRequestId);
    if (flows.has(nameOf(shortHash, body.clientRequestId))) return doneWith({ type: 'duplicate', flowId } satisfies ReplyOf<typeof restToFlowStart>);
    const { timestamp } = put(shortHash, body.clientRequestId, 'START_REQUESTED');
    self.onStart?.(body);
    return doneWith({ type: 'accepted', flowId, timestamp } satisfies ReplyOf<typeof restToFlowStart>);
  };
  const query: Answerer<BodyOf<typeof restToFlowQuery>> = (body) => {
    if (body.type === 'status') {
      const found = flows.get(nameOf(body.shortHash, body.clientRequestId));
      return doneWith({ flows: found === undefined ? [] : [found] });
    }
    // Journals and code are a test's own to answer.
    if (body.type !== 'list') return doneWith({ flows: [] });
    const listed = [...flows.values()].filter((flow) => flow.holdingIdentityShortHash === body.shortHash && (body.status === undefined || flow.flowStatus === body.status));
    return doneWith({ flows: listed.reverse().slice(0, body.countMax) });
  };
  return { self, start, query };
};

export const openRooms = (bus: Bus): Rooms => {
  // Wires of different bodies share the table; `on` keeps each with its own.
  const answerers = new Map<string, Answerer<any>>();
  const heard = new Map<string, unknown[]>(wires.map(({ topic }) => [topic, []]));
  const heardIds = new Map<string, string[]>(wires.map(({ topic }) => [topic, []]));
  const flows = createFlows(bus);
  answerers.set(restToFlowStart.topic, flows.start);
  answerers.set(restToFlowQuery.topic, flows.query);
  const ending = new AbortController();

  const answer = async (wire: Wire<any, any>, record: InRecord): Promise<void> => {
    const decoded = decode(wire, record);
    if (decoded.type !== 'message') throw new Error(`rest said something unreadable on ${wire.topic}: ${JSON.stringify(decoded)}`);
    heard.get(wire.topic)!.push(decoded.delivery.body);
    heardIds.get(wire.topic)!.push(decoded.delivery.id);
    const outcome = (await answerers.get(wire.topic)?.(decoded.delivery.body)) ?? 'silent';
    const reply = outcome === 'silent' ? undefined : answerTo(decoded.delivery, outcome);
    if (reply !== undefined) await bus.publish([reply]);
  };
  const listen = async (consumer: Consumer): Promise<void> => {
    while (!ending.signal.aborted) {
      const records = await consumer.poll({ timeoutMs: 60_000, recordsMax: 1_000, signal: ending.signal }).catch(() => []);
      for (const record of records) await answer(wires.find(({ topic }) => topic === record.topic)!, record);
    }
    await consumer.close();
  };
  const listening = wires.map((wire) => listen(bus.consume({ group: `test-${wire.topic}`, instance: 'one', topics: [wire.topic] })));
  return {
    on: (wire, answerer) => void answerers.set(wire.topic, answerer),
    // The bodies were decoded by the wire that names them.
    heard: (wire) => heard.get(wire.topic) as BodyOf<typeof wire>[],
    heardIds: ({ topic }) => heardIds.get(topic)!,
    flows: flows.self,
    close: async () => {
      ending.abort();
      await Promise.all(listening);
    },
  };
};
