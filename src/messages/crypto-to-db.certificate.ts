/** Crypto made a certificate for one of its own keys (the TLS certificates of a cluster that imported none); db keeps and shows it. */
import * as z from 'zod';
import { tlsUsage } from './db-to-all.certificate.ts';
import { wire } from './grammar/wire.ts';

export const cryptoToDbCertificate = wire({
  topic: 'crypto-to-db.certificate',
  from: ['crypto'],
  to: ['db'],
  key: 'usage',
  retention: 'log',
  version: 1,
  body: z.object({ usage: tlsUsage, alias: z.string().max(255), pem: z.string().max(100_000) }),
});
