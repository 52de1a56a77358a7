/** Hears `all-to-link-manager.send`: a room of this cluster sends to another virtual node. */
import { pairTagOf } from '../../identity/derive.ts';
import { allToLinkManagerSend } from '../../messages/all-to-link-manager.send.ts';
import type { Hearing } from '../../shell/worker.ts';
import { hasOutstanding, isRecent, printOf, remember, type OutboundMessage } from './delivery/delivery.ts';
import type { Pair } from './directory.ts';
import { newHead, type Head, type LinkEvent, type SendBody } from './head.ts';
import { awaitReceipt, enqueue } from './receipts.ts';
import { handOn, routeOf, setHead, tellUndelivered, type Turn } from './turn.ts';

export const hearsSend: Hearing<SendBody, LinkEvent> = {
  wire: allToLinkManagerSend,
  toEvent: ({ body }) => ({ type: 'send', message: body }),
};

/** The pair of a message, ours first, or why it cannot be one of this key. */
const headFor = (turn: Turn, message: SendBody): Head | undefined => {
  const { groupId, source, destination } = message;
  const pair: Pair = { groupId, ours: source, theirs: destination };
  const known = turn.head;
  if (known === undefined) return pairTagOf(groupId, source, destination) === turn.key ? newHead(pair, turn.deps.random) : undefined;
  if (known.pair.groupId !== groupId) return undefined;
  if (known.pair.ours === source && known.pair.theirs === destination) return known;
  if (known.pair.ours !== destination || known.pair.theirs !== source) return undefined;
  // Both live here, or the other one did: the pair is seen from the side that sends. Nothing may be waiting the other way.
  return hasOutstanding(known.outbound) ? known : { ...newHead(pair, turn.deps.random), recentIds: known.recentIds };
};

/** Why the message can never go, as far as one can tell now. */
const faultOf = (turn: Turn, head: Head, message: SendBody): string | undefined => {
  const { directory, limits } = turn.deps;
  const { groupId, source } = message;
  if (!directory.isHosted(groupId, source)) return `${source} of group ${groupId} is not registered at this cluster`;
  if (message.expiresAt <= turn.now) return 'its time had run out before it could be sent';
  if (head.outbound.next - 1 - head.outbound.floor >= limits.backlogMessagesMax) return `${limits.backlogMessagesMax} messages are waiting for this peer`;
  const route = routeOf(turn, head.pair);
  if (message.subsystem === 'flow' && route.type === 'hold' && route.suspended === true) return route.reason;
  if (head.pair.ours !== source) return 'messages are waiting in the other direction of a pair that moved between clusters';
  return undefined;
};

/** Gives a reason when the record cannot be handled by anybody, ever. */
export const onSend = (turn: Turn, message: SendBody): string | undefined => {
  const head = headFor(turn, message);
  if (head === undefined) return 'the record key is not the tag of the pair that the message names';
  const { messageId, subsystem, receiverKey, senderKey, expiresAt, payload } = message;
  const print = printOf(messageId);
  if (isRecent(head.recentIds, print)) {
    turn.deps.tally.repeated();
    return undefined;
  }
  const waiting: OutboundMessage = { messageId, subsystem, receipt: message.receipt === true, receiverKey, senderKey, expiresAt, payload };
  const fault = faultOf(turn, head, message);
  if (fault !== undefined) {
    tellUndelivered(turn, message, message, fault);
    return undefined;
  }
  const known = message.receipt === true && routeOf(turn, head.pair).type !== 'local' ? awaitReceipt(turn, head, waiting) : head;
  if (known === undefined) {
    tellUndelivered(turn, message, message, `${turn.deps.limits.receiptsAwaitedMax} receipts of this peer have not come`);
    return undefined;
  }
  const recentIds = remember(head.recentIds, print, turn.deps.limits.recentIdsMax);
  turn.deps.tally.sent(1);
  if (routeOf(turn, head.pair).type === 'local' && !hasOutstanding(head.outbound)) {
    setHead(turn, { ...head, recentIds });
    handOn(turn, `${messageId}/local`, message, message);
    return undefined;
  }
  enqueue(turn, { ...known, recentIds }, waiting);
  return undefined;
};
