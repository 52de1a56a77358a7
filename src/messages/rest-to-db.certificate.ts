/** Certificate chains of the cluster and of virtual nodes: import, list aliases, read one. */
import * as z from 'zod';
import { shortHash } from './grammar/shapes.ts';
import { wire } from './grammar/wire.ts';

export const certificateUsage = z.enum(['p2p-tls', 'p2p-session', 'rest-tls', 'code-signer']);
export type CertificateUsage = z.infer<typeof certificateUsage>;
/** Whose certificate it is: the cluster's (default), or a virtual node's. */
export const certificateHolder = z.union([z.literal('cluster'), shortHash]);
export type CertificateHolder = z.infer<typeof certificateHolder>;

const alias = z.string().min(1).max(255);

export const restToDbCertificate = wire({
  topic: 'rest-to-db.certificate',
  from: ['rest'],
  to: ['db'],
  key: 'usage',
  retention: 'log',
  version: 1,
  body: z.discriminatedUnion('type', [
    z.object({ type: z.literal('import'), usage: certificateUsage, holder: certificateHolder.optional(), alias, pem: z.string().max(100_000) }),
    z.object({ type: z.literal('list'), usage: certificateUsage, holder: certificateHolder.optional() }),
    /** Refused with DB_CERTIFICATE_NOT_FOUND. */
    z.object({ type: z.literal('get'), usage: certificateUsage, holder: certificateHolder.optional(), alias }),
  ]),
  reply: z.object({ aliases: z.array(z.string()).optional(), pem: z.string().optional() }),
});
