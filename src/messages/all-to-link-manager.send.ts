/** A room sends to another virtual node: at least once to its cluster, in order per pair, each message id once. */
import * as z from 'zod';
import { groupId, timestampMs, x500Name } from './grammar/shapes.ts';
import { wire } from './grammar/wire.ts';

/** Which room of the receiving cluster hears it. */
export const subsystem = z.enum(['flow', 'member']);

/** Bound on a payload, in UTF-16 code units. */
export const payloadCharsMax = 600_000;

export const allToLinkManagerSend = wire({
  topic: 'all-to-link-manager.send',
  from: ['flow', 'member'],
  to: ['link-manager'],
  key: 'pair tag',
  retention: 'log',
  version: 1,
  body: z.object({
    /** Derived by the sender; receivers and the outcome name it. */
    messageId: z.string().min(1).max(200),
    groupId,
    source: x500Name,
    destination: x500Name,
    subsystem,
    /** Record key on the receiving side's topic: for flows, the receiving flow's id; for the member room, a short hash or a group id. */
    receiverKey: z.string().min(1).max(200),
    /** Record key under which a flow hears that its message could not be delivered; the member room is not told, it asks again. */
    senderKey: z.string().min(1).max(200),
    /** After this nobody wants the message: it is dropped and the sender is told. */
    expiresAt: timestampMs,
    payload: z.string().max(payloadCharsMax),
    /** The receiver signs for it, and its signature is kept (`rest-to-link-manager.receipt`); not where both live on one cluster. */
    receipt: z.boolean().optional(),
  }),
});
