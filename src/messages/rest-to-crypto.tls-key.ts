/** A REST server that speaks TLS asks for a TLS key: see grammar/tls-key.ts. */
import { tlsKeyReply, tlsKeyRequest } from './grammar/tls-key.ts';
import { wire } from './grammar/wire.ts';

export const restToCryptoTlsKey = wire({
  topic: 'rest-to-crypto.tls-key',
  from: ['rest'],
  to: ['crypto'],
  key: '`p2p`',
  retention: 'log',
  version: 1,
  body: tlsKeyRequest,
  reply: tlsKeyReply,
});
