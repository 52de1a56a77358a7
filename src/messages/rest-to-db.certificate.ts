/** Certificate chains of the cluster: import, list aliases, read one. */
import * as z from 'zod';
import { wire } from './grammar/wire.ts';

export const certificateUsage = z.enum(['p2p-tls', 'p2p-session', 'rest-tls', 'code-signer']);
export type CertificateUsage = z.infer<typeof certificateUsage>;
const alias = z.string().min(1).max(255);

export const restToDbCertificate = wire({
  topic: 'rest-to-db.certificate',
  from: ['rest'],
  to: ['db'],
  key: 'usage',
  retention: 'log',
  version: 1,
  body: z.discriminatedUnion('type', [
    z.object({ type: z.literal('import'), usage: certificateUsage, alias, pem: z.string().max(100_000) }),
    z.object({ type: z.literal('list'), usage: certificateUsage }),
    /** Refused with DB_CERTIFICATE_NOT_FOUND. */
    z.object({ type: z.literal('get'), usage: certificateUsage, alias }),
  ]),
  reply: z.object({ aliases: z.array(z.string()).optional(), pem: z.string().optional() }),
});
