/** The cluster's TLS certificate chains, as operators import them and crypto makes them: what its gateways serve with. */
import * as z from 'zod';
import { base64url } from './grammar/shapes.ts';
import { wire } from './grammar/wire.ts';

export const tlsCertificate = z.object({
  alias: z.string().min(1).max(255),
  /** The leaf first. */
  pem: z.string().max(100_000),
  /** SubjectPublicKeyInfo of the leaf, DER: which key of crypto it belongs to. */
  publicKey: base64url,
});
export type TlsCertificate = z.infer<typeof tlsCertificate>;

export const dbToGatewayCertificate = wire({
  topic: 'db-to-gateway.certificate',
  from: ['db'],
  to: ['gateway'],
  key: 'alias',
  retention: 'compacted',
  version: 1,
  body: tlsCertificate,
});
