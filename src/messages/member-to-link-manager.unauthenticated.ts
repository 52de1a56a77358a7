/**
 * A message for the manager of a network that does not know its sender yet, so that no session is possible: it is sent once, without
 * acknowledgement, and its sender repeats it until it is answered. What is secret in it is sealed by the sender.
 */
import * as z from 'zod';
import { groupId, x500Name } from './grammar/shapes.ts';
import { wire } from './grammar/wire.ts';

/** Bound on a payload, in UTF-16 code units: strangers may send such messages, so they are small. */
export const unauthenticatedPayloadCharsMax = 150_000;

export const memberToLinkManagerUnauthenticated = wire({
  topic: 'member-to-link-manager.unauthenticated',
  from: ['member'],
  to: ['link-manager'],
  key: 'pair tag',
  retention: 'log',
  version: 1,
  body: z.object({
    messageId: z.string().min(1).max(200),
    groupId,
    source: x500Name,
    destination: x500Name,
    /** Of the destination's gateway, which no member list tells yet. */
    address: z.url().max(2_000),
    payload: z.string().max(unauthenticatedPayloadCharsMax),
  }),
});
