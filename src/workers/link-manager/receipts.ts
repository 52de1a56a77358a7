/** Receipts in a step: those that crypto is to sign for the peer, and those that come for messages of ours. */
import { append, accept, digestOf, formatReceipt, judgeReceipt, receiptIdOf, receiptSigningInput, type OutboundMessage, type OwedReceipt, type WholeMessage } from './delivery/delivery.ts';
import type { Route } from './directory.ts';
import type { Head } from './head.ts';
import { refused } from './session/session.ts';
import { askToSign, refuse, setHead, type Turn } from './turn.ts';

type Remote = Extract<Route, { type: 'remote' }>;

/** Gives a message the next number and stores it. */
export const enqueue = (turn: Turn, head: Head, message: OutboundMessage): void => {
  const item = { position: head.outbound.next, value: message };
  append(turn.backlog, item);
  turn.itemsAdded.push(item);
  setHead(turn, { ...head, outbound: accept(head.outbound, message.expiresAt) });
};

// ── Those we owe ─────────────────────────────────────────────────────────────────────────────────────────────────────

const ask = (turn: Turn, { pair }: Head, remote: Remote, owed: OwedReceipt): void => {
  const data = receiptSigningInput({ groupId: pair.groupId, receiver: pair.ours, sender: pair.theirs }, owed);
  askToSign(turn, remote, { requestId: owed.requestId, data });
};

/** The message was handed on, and its sender wants a receipt. */
export const oweReceipt = (turn: Turn, head: Head, remote: Remote, { stream, message }: { stream: string; message: WholeMessage }): Head => {
  const owed: OwedReceipt = {
    requestId: receiptIdOf(stream, message.seq),
    messageId: message.messageId,
    digest: digestOf(message.payload),
    receivedAt: turn.now,
    keyHash: remote.peering.ownKeyHash,
    askedAt: turn.now,
  };
  ask(turn, head, remote, owed);
  return { ...head, receipts: { ...head.receipts, owed: [...head.receipts.owed, owed] } };
};

/** Asks again for signatures that do not come; one that another key would sign by now is of no use. */
export const repeatReceipts = (turn: Turn, head: Head, remote: Remote): Head => {
  const { owed } = head.receipts;
  const due = owed.filter(({ askedAt }) => turn.now >= askedAt + turn.deps.limits.signatureRepeatMs);
  if (due.length === 0) return head;
  const kept = owed.filter(({ keyHash }) => keyHash === remote.peering.ownKeyHash);
  for (const one of kept) if (due.includes(one)) ask(turn, head, remote, one);
  return { ...head, receipts: { ...head.receipts, owed: kept.map((one) => (due.includes(one) ? { ...one, askedAt: turn.now } : one)) } };
};

export const receiptsDueAt = ({ receipts }: Head, turn: Turn): number[] => receipts.owed.map(({ askedAt }) => askedAt + turn.deps.limits.signatureRepeatMs);

/** Crypto has signed, or would not. False where the answer is for no receipt. */
export const takeReceiptSignature = (turn: Turn, head: Head, requestId: string, signed: { signature: string } | { fault: string }): boolean => {
  const { receipts } = head;
  const found = receipts.owed.find((owed) => owed.requestId === requestId);
  if (found === undefined) return false;
  const next: Head = { ...head, receipts: { ...receipts, owed: receipts.owed.filter((owed) => owed !== found) } };
  if ('fault' in signed) {
    turn.deps.log.error('link-manager.receipt-unsigned', { tag: turn.key, messageId: found.messageId, reason: signed.fault });
    setHead(turn, next);
    return true;
  }
  enqueue(turn, next, {
    messageId: requestId, subsystem: 'receipt', receipt: false, receiverKey: 'receipt', senderKey: 'receipt',
    expiresAt: turn.now + turn.deps.limits.receiptTtlMs, payload: formatReceipt(found, signed.signature),
  });
  return true;
};

// ── Those we wait for ────────────────────────────────────────────────────────────────────────────────────────────────

/** `undefined` where too many are awaited. */
export const awaitReceipt = (turn: Turn, head: Head, message: OutboundMessage): Head | undefined => {
  const { limits } = turn.deps;
  const awaited = head.receipts.awaited.filter(({ until }) => turn.now < until);
  if (awaited.length >= limits.receiptsAwaitedMax) return undefined;
  const one = { messageId: message.messageId, digest: digestOf(message.payload), until: message.expiresAt + limits.receiptTtlMs };
  return { ...head, receipts: { ...head.receipts, awaited: [...awaited, one] } };
};

/** Of messages that nobody will receive no receipt is awaited. */
export const awaitNoMore = (head: Head, gone: ReadonlySet<string>): Head => {
  const awaited = head.receipts.awaited.filter(({ messageId }) => !gone.has(messageId));
  return awaited.length === head.receipts.awaited.length ? head : { ...head, receipts: { ...head.receipts, awaited } };
};

/** A receipt came. */
export const keepReceipt = async (turn: Turn, head: Head, remote: Remote, payload: string): Promise<Head> => {
  const { receipts, pair } = head;
  const parties = { groupId: pair.groupId, receiver: pair.theirs, sender: pair.ours };
  const judged = await judgeReceipt(payload, { receipts, parties, peerKeys: remote.peering.peerKeys });
  if (typeof judged === 'string') {
    refuse(turn, refused('bad-receipt', judged));
    return head;
  }
  turn.itemsAdded.push({ position: -receipts.next, value: judged });
  const dropped = receipts.next - turn.deps.limits.receiptsKeptMax;
  if (dropped > 0) turn.itemsRemoved.push(-dropped);
  return awaitNoMore({ ...head, receipts: { ...receipts, next: receipts.next + 1 } }, new Set([judged.messageId]));
};
