/**
 * Delivery between the members of a test network: what a flow room hands to its link manager arrives at the other flow room, at
 * once unless a fault says otherwise. It stands for link managers, gateways and the sessions between them, and keeps their promise:
 * what has not arrived when it expires is reported to its sender.
 */
import { sessionMessage } from '../messages/flow-to-flow.session.ts';
import { allToLinkManagerSend } from '../messages/all-to-link-manager.send.ts';
import { decode, encode } from '../messages/grammar/envelope.ts';
import type { InRecord } from '../messages/grammar/record.ts';
import type { BodyOf } from '../messages/grammar/wire.ts';
import { linkManagerToFlowReceive } from '../messages/link-manager-to-flow.receive.ts';
import type { Fate, TestMessage } from './faults.ts';
import type { StepBus } from './step-bus.ts';

type Send = BodyOf<typeof allToLinkManagerSend>;

/** One end of the network: a member's bus, and whether it can be reached. */
export type Station = { readonly bus: StepBus; readonly isOnline: () => boolean };

export type DeliveryOptions = {
  /** By canonical X.500 name. */
  readonly stationOf: (x500Name: string) => Station | undefined;
  readonly fateOf: (message: TestMessage) => Fate;
  readonly schedule: (atMs: number, work: () => Promise<void>) => void;
  readonly now: () => number;
};

export type Delivery = {
  take(record: InRecord): Promise<void>;
  /** Messages to this member that waited for it. */
  reached(x500Name: string): Promise<void>;
  /** Lets what was to be overtaken go when nothing overtook it; false when there was none. */
  release(): Promise<boolean>;
};

/** As a test's filter sees it; what is no session message has only its addresses. */
const viewOf = ({ source: from, destination: to, payload }: Send): TestMessage => {
  const parsed = sessionMessage.safeParse(JSON.parse(payload));
  if (!parsed.success) return { from, to, sessionId: '', seq: 0, type: 'data' };
  const { sessionId, seq, content } = parsed.data;
  const base = { from, to, sessionId, seq, type: content.type };
  // A piece of a long value is no value.
  return content.type === 'data' && content.part === undefined ? { ...base, value: JSON.parse(content.json) as unknown } : base;
};

export const createDelivery = ({ stationOf, fateOf, schedule, now }: DeliveryOptions): Delivery => {
  const waiting = new Map<string, Send>();
  let overtaken: Send[] = [];

  const sayLost = async (send: Send, reason: string): Promise<void> => {
    const { messageId, groupId, source, destination, senderKey } = send;
    const body = { type: 'undelivered' as const, messageId, groupId, source, destination, reason };
    await stationOf(source)?.bus.publish([encode(linkManagerToFlowReceive, { key: senderKey, id: `${messageId}/undelivered`, body })]);
  };
  const arrive = async (send: Send): Promise<void> => {
    const { messageId, groupId, source, destination, payload, receiverKey, expiresAt } = send;
    const station = stationOf(destination);
    if (station?.isOnline() !== true) {
      if (!waiting.has(messageId)) schedule(expiresAt, async () => void (waiting.delete(messageId) && (await sayLost(send, 'it did not arrive before it expired'))));
      waiting.set(messageId, send);
      return;
    }
    const body = { type: 'message' as const, messageId, groupId, source, destination, payload };
    await station.bus.publish([encode(linkManagerToFlowReceive, { key: receiverKey, id: messageId, body })]);
  };
  const meet = async (fate: Fate, send: Send): Promise<void> => {
    switch (fate.type) {
      case 'pass':
        await arrive(send);
        break;
      case 'double':
        await arrive(send);
        await arrive(send);
        break;
      case 'lose':
        return schedule(send.expiresAt, () => sayLost(send, 'it did not arrive before it expired'));
      case 'delay':
        return schedule(now() + fate.delayMs, () => arrive(send));
      case 'overtaken':
        return void overtaken.push(send);
    }
    await release();
  };
  const release = async (): Promise<boolean> => {
    const late = overtaken;
    overtaken = [];
    for (const send of late) await arrive(send);
    return late.length > 0;
  };
  return {
    take: async (record) => {
      const decoded = decode(allToLinkManagerSend, record);
      if (decoded.type !== 'message') throw new Error(`the flow room sent what its wire does not allow: ${JSON.stringify(decoded)}`);
      const { body } = decoded.delivery;
      await meet(fateOf(viewOf(body)), body);
    },
    reached: async (x500Name) => {
      for (const [messageId, send] of waiting) {
        if (send.destination !== x500Name) continue;
        waiting.delete(messageId);
        await arrive(send);
      }
    },
    release,
  };
};
