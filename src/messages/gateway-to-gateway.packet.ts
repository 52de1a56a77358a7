/** The HTTPS request between clusters: `POST` of a batch of packets as JSON; 200 once they are on the bus. */
import * as z from 'zod';
import type { PeerProtocol } from './grammar/wire.ts';
import { packetCharsMax, pairTag, unauthenticatedPacketCharsMax } from './link-manager-to-gateway.link-out.ts';

export const gatewayToGatewayPacket: PeerProtocol = { name: 'gateway-to-gateway.packet', from: 'gateway', to: 'gateway', version: 1 };

/** Bounds on one request: packets, and bytes of its body. */
export const packetsMax = 500;
export const packetRequestBytesMax = 8 * 1024 * 1024;

export const packetRequest = z.strictObject({
  v: z.literal(1),
  packets: z
    .array(
      z
        .strictObject({ tag: pairTag, packet: z.string().min(1).max(packetCharsMax), /** Of no session. */ unauthenticated: z.literal(true).optional() })
        .refine(({ packet, unauthenticated }) => unauthenticated !== true || packet.length <= unauthenticatedPacketCharsMax, 'too long for a packet of no session'),
    )
    .min(1)
    .max(packetsMax),
});
export type PacketRequest = z.infer<typeof packetRequest>;
