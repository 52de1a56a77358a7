/**
 * TLS certificate chains, as operators import them and crypto makes them: what gateways and REST servers serve with, and for whose keys
 * crypto gives those out.
 */
import * as z from 'zod';
import { base64url } from './grammar/shapes.ts';
import { wire } from './grammar/wire.ts';
import { certificateHolder } from './rest-to-db.certificate.ts';

export const tlsUsage = z.enum(['p2p-tls', 'rest-tls']);
export type TlsUsage = z.infer<typeof tlsUsage>;

export const tlsCertificate = z.object({
  usage: tlsUsage,
  holder: certificateHolder,
  alias: z.string().min(1).max(255),
  /** The leaf first. */
  pem: z.string().max(100_000),
  /** SubjectPublicKeyInfo of the leaf, DER: which key of crypto it belongs to. */
  publicKey: base64url,
});
export type TlsCertificate = z.infer<typeof tlsCertificate>;

export const dbToAllCertificate = wire({
  topic: 'db-to-all.certificate',
  from: ['db'],
  to: ['gateway', 'rest', 'crypto'],
  key: 'usage, holder and alias',
  retention: 'compacted',
  version: 1,
  body: tlsCertificate,
});
