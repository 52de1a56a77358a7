/**
 * A message from another virtual node, or the news that one of ours did not arrive.
 *
 * The link manager proves who the source is. Everything else a message says is a stranger's: it is believed only where it fits
 * the source, the key of the record and the session that we hold. What does not fit is refused: a log line, a count, no state.
 */
import { holdingIdentityOf } from '../../identity/holding-identity.ts';
import { responderFlowIdOf } from '../../identity/derive.ts';
import { parseX500 } from '../../identity/x500.ts';
import { sessionMessage } from '../../messages/flow-to-flow.session.ts';
import type { SessionMessage } from '../../messages/flow-to-flow.session.ts';
import { linkManagerToFlowReceive } from '../../messages/link-manager-to-flow.receive.ts';
import type { VirtualNode } from '../../messages/db-to-all.virtual-node.ts';
import type { BodyOf } from '../../messages/grammar/wire.ts';
import type { Hearing } from '../../shell/worker.ts';
import type { FlowLimits } from './config.ts';
import { note, putSession } from './engine/draft.ts';
import type { Draft } from './engine/draft.ts';
import type { FlowEvent, MessageEvent } from './engine/event.ts';
import type { Facts } from './engine/facts.ts';
import { hasEnded, isOnHold, sessionOf } from './engine/head.ts';
import type { FlowHead } from './engine/head.ts';
import { beginFlow } from './engine/lifecycle.ts';
import { inherited, platformProperties } from './engine/properties.ts';
import { chooseResponder } from './engine/protocol.ts';
import { acceptSession, loseSession, resetSeq, takeMessage, unreadCharsOf } from './engine/session.ts';
import type { Session, Taken } from './engine/session.ts';
import { messageIdOf, messageRecord } from './engine/session-record.ts';

export const onReceive: Hearing<BodyOf<typeof linkManagerToFlowReceive>, FlowEvent> = {
  wire: linkManagerToFlowReceive,
  toEvent: ({ id, body }) => {
    if (body.type === 'undelivered') return { type: 'undelivered', messageId: body.messageId, reason: body.reason };
    const { groupId, source, destination, payload } = body;
    return { type: 'message', id, groupId, source, destination, message: parseMessage(payload) };
  },
};

const parseMessage = (payload: string): SessionMessage | undefined => {
  let value: unknown;
  try {
    value = JSON.parse(payload);
  } catch {
    return undefined;
  }
  return sessionMessage.safeParse(value).data;
};

export const takeReceived = (draft: Draft, event: MessageEvent, facts: Facts): void => {
  const { message } = event;
  if (message === undefined) return refuse(draft, event, 'the payload is not a session message');
  if (draft.head !== undefined) return takeForFlow(draft, draft.head, event, message);
  if (message.init !== undefined && message.sender === 'initiator') return begin(draft, event, message, message.init, facts);
  refuse(draft, event, 'there is no such flow');
  if (nodeOf(event, facts) !== undefined) sayUnknown(draft, event, message);
};

const refuse = (draft: Draft, { groupId, source, destination, message }: MessageEvent, reason: string): void =>
  note(draft, 'warn', 'flow-session-message-refused', { flowId: draft.key, groupId, source, destination, sessionId: message?.sessionId, reason });

// ── A flow that is there ─────────────────────────────────────────────────────────────────────────────────────────────

/** A session is bounded by itself, and all sessions of a flow together. */
const takeBounded = (draft: Draft, head: FlowHead, session: Session, message: SessionMessage): Taken => {
  const { sessionUnreadMax: countMax, sessionUnreadCharsMax, flowUnreadCharsMax } = draft.limits;
  // Summed only where one message is a part of the whole worth asking for.
  const others = message.content.type === 'data' && message.content.json.length > flowUnreadCharsMax / 1_000 ? unreadCharsIn(head, session) : 0;
  return takeMessage(session, message, draft.now, { countMax, charsMax: Math.min(sessionUnreadCharsMax, Math.max(flowUnreadCharsMax - others, 0)) });
};

const unreadCharsIn = (head: FlowHead, except: Session): number =>
  head.sessions.reduce((sum, session) => (session === except ? sum : sum + unreadCharsOf(session)), 0);

const takeForFlow = (draft: Draft, head: FlowHead, event: MessageEvent, message: SessionMessage): void => {
  const { groupId, source, destination } = event;
  const session = sessionOf(head, message.sessionId);
  const isOurs = destination === head.identity.x500Name && groupId === head.identity.groupId;
  if (!isOurs || session === undefined || session.counterparty !== source || session.role === message.sender) {
    return refuse(draft, event, 'the message does not belong to a session of this flow with this source');
  }
  if (hasEnded(head) && !isOnHold(head)) {
    // The peer was told of our end; should that have been lost, it learns it now.
    if (message.seq > session.received) sayUnknown(draft, event, message);
    return note(draft, 'debug', 'flow-session-message-late', { flowId: draft.key, sessionId: message.sessionId });
  }
  const taken = takeBounded(draft, head, session, message);
  draft.heard.add(session.id);
  if (taken.session !== session) putSession(draft, head, taken.session, taken.outgoing);
  if (taken.news !== 'taken') note(draft, taken.news === 'overflow' ? 'warn' : 'debug', `flow-session-message-${taken.news}`, { flowId: draft.key, sessionId: session.id });
};

// ── A flow that begins ───────────────────────────────────────────────────────────────────────────────────────────────

type Init = NonNullable<SessionMessage['init']>;

/** Why a stranger's properties are not taken. */
const contextFault = (context: Init['context'], { contextCountMax, contextCharsMax }: FlowLimits): string | undefined => {
  const entries = Object.entries(context);
  if (entries.length > contextCountMax) return `the context has more than ${contextCountMax} properties`;
  const chars = entries.reduce((sum, [name, value]) => sum + name.length + value.length, 0);
  return chars > contextCharsMax ? `the context has more than ${contextCharsMax} characters` : undefined;
};

const optionsOf = ({ timeoutMs, requireClose }: Init): Pick<Session, 'timeoutMs' | 'requireClose'> => ({
  ...(timeoutMs === undefined ? {} : { timeoutMs }),
  ...(requireClose === true ? { requireClose } : {}),
});

const begin = (draft: Draft, event: MessageEvent, message: SessionMessage, init: Init, facts: Facts): void => {
  const { groupId, source, destination } = event;
  const { sessionId } = message;
  if (draft.key !== responderFlowIdOf(groupId, destination, source, sessionId)) {
    return refuse(draft, event, 'the key is not the flow id that answers this session between these members');
  }
  const fault = contextFault(init.context, draft.limits);
  if (fault !== undefined) return refuse(draft, event, fault);
  const node = nodeOf(event, facts);
  // Nobody here could answer in its name.
  if (node === undefined) return refuse(draft, event, 'the destination is no virtual node of this cluster');
  if (node.flowP2pOperationalStatus === 'INACTIVE') {
    refuse(draft, event, 'the virtual node is in maintenance');
    return sayError(draft, event, message, 'SESSION_REFUSED', 'the member is not taking sessions now');
  }
  const cpi = facts.cpi(node.cpiFullChecksum);
  if (cpi === undefined) {
    draft.later = `the CPI ${node.cpiFullChecksum} of virtual node ${node.holdingIdentity.shortHash} is not here yet`;
    return;
  }
  const responder = chooseResponder(cpi, node.cpkHashes, init.protocol, init.versions);
  if (responder.type === 'none') {
    refuse(draft, event, responder.reason);
    return sayError(draft, event, message, 'SESSION_REFUSED', responder.reason);
  }
  const { flowClassName, cpkHash, version } = responder;
  const naming = { id: sessionId, counterparty: source, peerFlowId: init.initiatorFlowId, protocol: init.protocol, versions: [version], version, ...optionsOf(init) };
  beginFlow(draft, {
    kind: 'responder',
    clientRequestId: null,
    // Not the session's id, which a counterparty may use again: what an earlier flow of it was told may be long untrue.
    startId: event.id,
    startedBy: source,
    flowClassName,
    node,
    cpkHash,
    sessions: [acceptSession(naming, draft.now)],
    start: { type: 'session', sessionId, counterparty: source, protocolVersion: version, context: { ...inherited(init.context), ...platformProperties(node, cpi) } },
  });
  takeForFlow(draft, draft.head!, event, message);
};

const nodeOf = ({ groupId, destination }: MessageEvent, facts: Facts): VirtualNode | undefined => {
  const name = parseX500(destination);
  return name.type === 'name' && name.name === destination ? facts.virtualNode(holdingIdentityOf(name.name, groupId).shortHash) : undefined;
};

// ── Answers without state ────────────────────────────────────────────────────────────────────────────────────────────

/** Tells the sender of data that nobody here knows its session. Closes and errors are never answered (S4). */
const sayUnknown = (draft: Draft, event: MessageEvent, message: SessionMessage): void => {
  if (message.content.type === 'data') sayError(draft, event, message, 'SESSION_UNKNOWN', 'no flow of the counterparty holds this session');
};

const sayError = (draft: Draft, event: MessageEvent, message: SessionMessage, code: string, text: string): void => {
  if (message.content.type === 'error') return;
  const { groupId, source, destination } = event;
  const { sessionId } = message;
  const peer = message.sender === 'initiator' ? 'responder' : 'initiator';
  const initiatorFlowId = message.init?.initiatorFlowId ?? message.senderFlowId;
  const receiverKey = message.sender === 'initiator' ? initiatorFlowId : responderFlowIdOf(groupId, source, destination, sessionId);
  if (receiverKey === undefined) return;
  const addresses = { identity: { x500Name: destination, groupId }, counterparty: source, receiverKey, senderKey: draft.key };
  const error: SessionMessage = { v: 1, sessionId, sender: peer, seq: resetSeq, content: { type: 'error', code, message: text } };
  const messageId = `${messageIdOf(sessionId, peer, message.seq)}/refused`;
  draft.effects.push(messageRecord(addresses, messageId, error, { now: draft.now, ttlMs: draft.limits.messageTtlMs }));
};

// ── What did not arrive ──────────────────────────────────────────────────────────────────────────────────────────────

export const takeUndelivered = (draft: Draft, messageId: string, reason: string): void => {
  const { head } = draft;
  const [sessionId, , seq] = messageId.split('/');
  const session = head === undefined || sessionId === undefined ? undefined : sessionOf(head, sessionId);
  if (head === undefined || (hasEnded(head) && !isOnHold(head)) || session === undefined || messageId !== messageIdOf(session.id, session.role, Number(seq))) {
    return note(draft, 'debug', 'flow-undelivered-ignored', { flowId: draft.key, messageId });
  }
  note(draft, 'info', 'flow-session-undelivered', { flowId: draft.key, messageId, reason });
  putSession(draft, head, loseSession(session, reason));
};
