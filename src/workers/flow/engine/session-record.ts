/** A session message as the link manager is asked to send it. */
import { pairTagOf } from '../../../identity/derive.ts';
import { allToLinkManagerSend, payloadCharsMax } from '../../../messages/all-to-link-manager.send.ts';
import { sessionDataCharsMax } from '../../../messages/flow-to-flow.session.ts';
import type { SessionMessage } from '../../../messages/flow-to-flow.session.ts';
import { encode, recordValueCharsMax } from '../../../messages/grammar/envelope.ts';
import type { OutRecord } from '../../../messages/grammar/record.ts';
import type { FlowHead, FlowIdentity } from './head.ts';
import type { Outgoing, Session } from './session.ts';

/** The message itself, as the peer's flow room reads it. */
export const sessionMessageOf = (head: FlowHead, session: Session, { seq, content }: Outgoing): SessionMessage => {
  const { id: sessionId, role: sender } = session;
  if (sender === 'responder') return { v: 1, sessionId, sender, seq, content, ...(session.version === null ? {} : { version: session.version }) };
  // A receiver without state learns from one or the other where its refusal goes.
  if (seq > 1) return { v: 1, sessionId, sender, seq, senderFlowId: head.flowId, content };
  const init = {
    protocol: session.protocol,
    versions: [...session.versions],
    initiatorFlowId: head.flowId,
    initiatorFlowClassName: head.flowClassName,
    context: { ...session.context },
    ...(session.timeoutMs === undefined ? {} : { timeoutMs: session.timeoutMs }),
    ...(session.requireClose === true ? { requireClose: true } : {}),
  };
  return { v: 1, sessionId, sender, seq, init, content };
};

export type Postage = { readonly now: number; readonly ttlMs: number };

type Addresses = {
  readonly identity: Pick<FlowIdentity, 'x500Name' | 'groupId'>;
  readonly counterparty: string;
  readonly receiverKey: string;
  readonly senderKey: string;
  readonly receipt?: boolean;
};

export const messageRecord = (addresses: Addresses, messageId: string, message: SessionMessage, { now, ttlMs }: Postage): OutRecord => {
  const { identity, counterparty, receiverKey, senderKey, receipt = false } = addresses;
  const { x500Name: source, groupId } = identity;
  return encode(allToLinkManagerSend, {
    key: pairTagOf(groupId, source, counterparty),
    id: messageId,
    body: {
      messageId,
      groupId,
      source,
      destination: counterparty,
      subsystem: 'flow',
      receiverKey,
      senderKey,
      expiresAt: now + ttlMs,
      payload: JSON.stringify(message),
      ...(receipt ? { receipt } : {}),
    },
  });
};

/** The id of a session message: the news that it was not delivered names it. */
export const messageIdOf = (sessionId: string, sender: string, seq: number): string => `${sessionId}/${sender}/${seq}`;

export const sessionRecord = (head: FlowHead, session: Session, outgoing: Outgoing, postage: Postage): OutRecord => {
  const addresses = { identity: head.identity, counterparty: session.counterparty, receiverKey: session.peerFlowId, senderKey: head.flowId, receipt: session.receipts === true };
  return messageRecord(addresses, messageIdOf(session.id, session.role, outgoing.seq), sessionMessageOf(head, session, outgoing), postage);
};

/** UTF-16 code units that a close riding with the data, and a version, may add to a message that fitted. */
const slackChars = 100;

/**
 * UTF-16 code units of one piece of a value: a piece fits whatever it is made of. Each quote is escaped once in the payload and
 * again in its record, so it may take four times its length, beside the init and its properties.
 */
const pieceCharsMax = 200_000;

/** The pieces in which a value travels: one where it fits in one message. */
export const piecesOf = (head: FlowHead, session: Session, outgoing: Outgoing, json: string): readonly string[] => {
  if (fitsInOne(head, session, outgoing, json)) return [json];
  const pieces: string[] = [];
  for (let from = 0; from < json.length; ) {
    let to = Math.min(from + pieceCharsMax, json.length);
    // A character of two code units stays whole: half of it is no text for a database.
    if (to < json.length && (json.charCodeAt(to - 1) & 0xfc00) === 0xd800) to -= 1;
    pieces.push(json.slice(from, to));
    from = to;
  }
  return pieces;
};

const fitsInOne = (head: FlowHead, session: Session, outgoing: Outgoing, json: string): boolean => {
  if (json.length > sessionDataCharsMax) return false;
  // Short texts fit in any case.
  if (json.length * 4 < payloadCharsMax / 2) return true;
  const payload = JSON.stringify(sessionMessageOf(head, session, outgoing));
  const record = sessionRecord(head, session, outgoing, { now: 0, ttlMs: 0 });
  return payload.length + slackChars <= payloadCharsMax && record.value.length + slackChars * 4 <= recordValueCharsMax;
};
