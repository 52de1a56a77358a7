/** The gateway asks for a TLS key: see grammar/tls-key.ts. */
import { tlsKeyReply, tlsKeyRequest } from './grammar/tls-key.ts';
import { wire } from './grammar/wire.ts';

export const gatewayToCryptoTlsKey = wire({
  topic: 'gateway-to-crypto.tls-key',
  from: ['gateway'],
  to: ['crypto'],
  key: '`p2p`',
  retention: 'log',
  version: 1,
  body: tlsKeyRequest,
  reply: tlsKeyReply,
});
