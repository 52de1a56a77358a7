/** Crypto made a certificate for one of its own keys (the first TLS certificate of a cluster); db keeps and shows it. */
import * as z from 'zod';
import { wire } from './grammar/wire.ts';

export const cryptoToDbCertificate = wire({
  topic: 'crypto-to-db.certificate',
  from: ['crypto'],
  to: ['db'],
  key: 'usage',
  retention: 'log',
  version: 1,
  body: z.object({ usage: z.literal('p2p-tls'), alias: z.string().max(255), pem: z.string().max(100_000) }),
});
