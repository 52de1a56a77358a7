/** Hears `rest-to-link-manager.receipt`: somebody reads the receipts of a pair. */
import { answerTo, type Outcome } from '../../messages/grammar/envelope.ts';
import type { BodyOf } from '../../messages/grammar/wire.ts';
import { receiptsPerPageMax, restToLinkManagerReceipt, type Receipt } from '../../messages/rest-to-link-manager.receipt.ts';
import type { Hearing, ItemRange, StoredItem } from '../../shell/worker.ts';
import type { Head, LinkEvent, LinkItem } from './head.ts';
import type { Turn } from './turn.ts';

type Asked = Extract<LinkEvent, { type: 'receipts-asked' }>;

export const hearsReceipt: Hearing<BodyOf<typeof restToLinkManagerReceipt>, LinkEvent> = {
  wire: restToLinkManagerReceipt,
  toEvent: (request) => ({ type: 'receipts-asked', request }),
};

/** One receipt has some 700 bytes, with a large RSA key ten times as many. */
const receiptBytesMax = 8_000;

/** The newest stand first: receipt n is at -n. */
export const receiptsRange = (head: Head, { request }: Asked): ItemRange => {
  const before = Math.min(request.body.before ?? head.receipts.next, head.receipts.next);
  return { after: -before, countMax: receiptsPerPageMax, bytesMax: receiptsPerPageMax * receiptBytesMax };
};

const receiptsAmong = (items: readonly StoredItem<LinkItem>[]): Receipt[] =>
  items.flatMap(({ position, value }) => {
    if (!('type' in value) || position >= 0) return [];
    const { type: _type, ...rest } = value;
    return [{ number: -position, ...rest }];
  });

/** Reads alone: nothing of the state changes. */
export const onReceipt = (turn: Turn, { request }: Asked, items: readonly StoredItem<LinkItem>[] | undefined): void => {
  const { groupId, source, destination } = request.body;
  const { head } = turn;
  const isOurs = head?.pair.groupId === groupId && head.pair.ours === source && head.pair.theirs === destination;
  const outcome: Outcome = { type: 'done', value: { receipts: isOurs ? receiptsAmong(items ?? []) : [] } };
  const record = answerTo(request, outcome);
  if (record !== undefined) turn.effects.push(record);
};
