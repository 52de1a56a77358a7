/**
 * REST reads the receipts that a member signed for messages which one of ours sent it, the newest first. Of a pair the last ones are
 * kept; a page ends where there are no more, and `before` goes on behind it.
 */
import * as z from 'zod';
import { base64url, groupId, timestampMs, x500Name } from './grammar/shapes.ts';
import { wire } from './grammar/wire.ts';

/** A member's word that a message reached it. What was signed stands in docs/protocol.md, section 6. */
export const receipt = z.object({
  /** Counts from 1 in each pair. */
  number: z.int().positive(),
  messageId: z.string(),
  /** SHA-256 of the payload's UTF-8. */
  digest: base64url,
  /** By the receiver's clock. */
  receivedAt: timestampMs,
  /** SHA-256 of the SubjectPublicKeyInfo of the session key that signed. */
  keyHash: base64url,
  /** SubjectPublicKeyInfo, and the spec of the signature: the member list may name another key by now. */
  publicKey: base64url,
  spec: z.string(),
  signature: base64url,
});
export type Receipt = z.infer<typeof receipt>;

/** Receipts of one page. */
export const receiptsPerPageMax = 100;

export const restToLinkManagerReceipt = wire({
  topic: 'rest-to-link-manager.receipt',
  from: ['rest'],
  to: ['link-manager'],
  key: 'pair tag',
  retention: 'log',
  version: 1,
  body: z.object({
    groupId,
    /** Who sent the messages, and who received them. */
    source: x500Name,
    destination: x500Name,
    /** Only receipts with a smaller number; absent for the newest. */
    before: z.int().positive().optional(),
  }),
  reply: z.object({ receipts: z.array(receipt).max(receiptsPerPageMax) }),
});
