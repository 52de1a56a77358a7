/**
 * The packets two link managers exchange through their gateways: the four handshake messages, data and acknowledgements.
 * Codec, transcript and keys stand in `src/workers/link-manager/session`; the text form is JSON with base64url fields.
 */
import type { PeerProtocol } from './grammar/wire.ts';

export const linkManagerToLinkManagerSession: PeerProtocol = {
  name: 'link-manager-to-link-manager.session',
  from: 'link-manager',
  to: 'link-manager',
  version: 2,
};
