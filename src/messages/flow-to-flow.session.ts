/**
 * Session messages between two flows, carried as the payload of `all-to-link-manager.send`.
 *
 * The initiator's first message carries `init`. `seq` counts from 1 in each direction; receivers drop repeats and put
 * gaps in order. The responder's flow id is derived from the session id and the counterparty, so a message needs no mapper.
 */
import * as z from 'zod';
import type { PeerProtocol } from './grammar/wire.ts';

export const flowToFlowSession: PeerProtocol = { name: 'flow-to-flow.session', from: 'flow', to: 'flow', version: 1 };

/** Bound on one session payload's JSON text, in UTF-16 code units. */
export const sessionDataCharsMax = 500_000;

/** Pieces of one value. */
export const sessionPartsMax = 100;

/** The longest silence an initiator may ask for: a leap year, in milliseconds. */
export const sessionTimeoutMsMax = 366 * 24 * 60 * 60 * 1_000;

export const sessionMessage = z.object({
  v: z.literal(1),
  sessionId: z.uuid(),
  /** Who sent it, seen from the session. */
  sender: z.enum(['initiator', 'responder']),
  seq: z.int().positive(),
  init: z
    .object({
      protocol: z.string().min(1).max(250),
      versions: z.array(z.int().positive()).min(1).max(100),
      initiatorFlowId: z.uuid(),
      initiatorFlowClassName: z.string().max(250),
      /** Context properties copied to the responder. */
      context: z.record(z.string().max(300), z.string().max(20_000)),
      /** How long the session may be silent, where the initiator says so. */
      timeoutMs: z.int().positive().max(sessionTimeoutMsMax).optional(),
      /** The initiator's close waits for the responder's. */
      requireClose: z.boolean().optional(),
    })
    .optional(),
  /** On an initiator's later messages: where a receiver without state says that it has none. */
  senderFlowId: z.uuid().optional(),
  /** On a responder's messages: the protocol version that it chose. */
  version: z.int().positive().optional(),
  content: z.discriminatedUnion('type', [
    /**
     * `closes`: the sender has nothing more to say; a close that rides with its last data. `part`: the text is one piece of a
     * value; its pieces follow each other.
     */
    z.object({
      type: z.literal('data'),
      json: z.string().max(sessionDataCharsMax),
      closes: z.boolean().optional(),
      part: z.object({ index: z.int().nonnegative(), count: z.int().min(2).max(sessionPartsMax) }).optional(),
    }),
    /** Says nothing to the flow: it begins the responder, or tells the version. `asks`: the receiver's engine answers with another. */
    z.object({ type: z.literal('info'), asks: z.boolean() }),
    z.object({ type: z.literal('close') }),
    z.object({ type: z.literal('error'), code: z.string().max(100), message: z.string().max(2_000) }),
  ]),
});
export type SessionMessage = z.infer<typeof sessionMessage>;
