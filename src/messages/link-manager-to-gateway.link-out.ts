/** Packets for another cluster's gateway. The link manager repeats what is not acknowledged, so the gateway may drop. */
import * as z from 'zod';
import { groupId } from './grammar/shapes.ts';
import { wire } from './grammar/wire.ts';

/** Bound on one packet, in UTF-16 code units. */
export const packetCharsMax = 900_000;

/** A pair of identities in one group, hashed: what a gateway may key on, since it cannot read more. */
export const pairTag = z.string().regex(/^[A-Za-z0-9_-]{43}$/);

/** Of a packet that is no session's, which strangers may send: such packets are small. */
export const unauthenticatedPacketCharsMax = 200_000;

export const linkManagerToGatewayLinkOut = wire({
  topic: 'link-manager-to-gateway.link-out',
  from: ['link-manager'],
  to: ['gateway'],
  key: 'pair tag',
  retention: 'log',
  version: 1,
  body: z.object({
    address: z.url().max(2_000),
    groupId,
    tag: pairTag,
    packet: z.string().max(packetCharsMax),
    unauthenticated: z.literal(true).optional(),
    /** In a group with mutual TLS: which certificate is shown, as `<holder>/<alias>`; without it the gateway's first. */
    certificate: z.string().max(300).optional(),
  }),
});
