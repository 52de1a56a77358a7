/** The state of one pair, as the store keeps it, and the events that change it. */
import type { Delivery, Outcome } from '../../messages/grammar/envelope.ts';
import { allToLinkManagerSend } from '../../messages/all-to-link-manager.send.ts';
import type { BodyOf } from '../../messages/grammar/wire.ts';
import type { memberToLinkManagerUnauthenticated } from '../../messages/member-to-link-manager.unauthenticated.ts';
import type { restToLinkManagerReceipt } from '../../messages/rest-to-link-manager.receipt.ts';
import { newInbound, newOutbound, noReceipts, type Inbound, type KeptReceipt, type Outbound, type OutboundMessage, type Receipts } from './delivery/delivery.ts';
import type { Pair } from './directory.ts';
import { newStream, noSessions, type Sessions } from './session/session.ts';

/** Of the stored form. There is one reader: a state of another version is refused. */
export const headVersion = 2;

export type Head = {
  readonly v: typeof headVersion;
  readonly pair: Pair;
  readonly sessions: Sessions;
  readonly outbound: Outbound;
  readonly inbound: Inbound;
  readonly receipts: Receipts;
  /** Prints of the ids of the last messages sent, so that a sender's repeat is known. */
  readonly recentIds: string;
};

/** What a pair stores beside its head: messages at positive positions, receipts at negative ones. */
export type LinkItem = OutboundMessage | KeptReceipt;

export type SendBody = BodyOf<typeof allToLinkManagerSend>;

export type LinkEvent =
  | { readonly type: 'send'; readonly message: SendBody }
  | { readonly type: 'link-in'; readonly tag: string; readonly packet: string; readonly unauthenticated?: true | undefined }
  | { readonly type: 'unauthenticated'; readonly message: BodyOf<typeof memberToLinkManagerUnauthenticated> }
  | { readonly type: 'answer'; readonly requestId: string; readonly outcome: Outcome }
  | { readonly type: 'receipts-asked'; readonly request: Delivery<BodyOf<typeof restToLinkManagerReceipt>> }
  | { readonly type: 'wake'; readonly dueAt: number };

export const newHead = (pair: Pair, random: (length: number) => Uint8Array): Head => ({
  v: headVersion,
  pair,
  sessions: noSessions,
  outbound: newOutbound(newStream(random)),
  inbound: newInbound,
  receipts: noReceipts,
  recentIds: '',
});
