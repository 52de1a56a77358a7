/**
 * Crypto tells itself to go on with a rotation: each record is one step, a bounded number of keys in one transaction, whose effect is the
 * next. So it goes on after a crash where it was, and requests to sign come between.
 */
import * as z from 'zod';
import { wire } from './grammar/wire.ts';
import { rotationTenant } from './rest-to-crypto.rotation.ts';

export const cryptoToCryptoRotate = wire({
  topic: 'crypto-to-crypto.rotate',
  from: ['crypto'],
  to: ['crypto'],
  key: 'tenant, or `master`',
  retention: 'log',
  version: 1,
  body: z.object({ tenant: rotationTenant, requestId: z.string().max(100), step: z.int().nonnegative() }),
  reply: z.object({}),
});
