/** Packets that arrived over HTTPS; nothing in them is trusted yet. */
import * as z from 'zod';
import { wire } from './grammar/wire.ts';
import { packetCharsMax, pairTag } from './link-manager-to-gateway.link-out.ts';

export const gatewayToLinkManagerLinkIn = wire({
  topic: 'gateway-to-link-manager.link-in',
  from: ['gateway'],
  to: ['link-manager'],
  key: 'pair tag',
  retention: 'log',
  version: 1,
  body: z.object({ tag: pairTag, packet: z.string().max(packetCharsMax), /** A stranger may have sent it: the gateway has counted it. */ unauthenticated: z.literal(true).optional() }),
});
