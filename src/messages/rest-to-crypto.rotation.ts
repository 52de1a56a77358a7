/**
 * Rotation of wrapping keys. `master`: the wrapping keys of all tenants are sealed anew, by the root key of today. A tenant: it gets a new
 * wrapping key, which its private keys are sealed by anew.
 */
import * as z from 'zod';
import { tenant } from './all-to-crypto.key.ts';
import { timestampMs } from './grammar/shapes.ts';
import { wire } from './grammar/wire.ts';

export const rotationTenant = z.union([z.literal('master'), tenant]);

export const rotationStatus = z.object({
  requestId: z.string(),
  initiatedAt: timestampMs,
  updatedAt: timestampMs,
  isDone: z.boolean(),
  /** Of `master` by tenant, else by alias of the wrapping key: how many keys are to be sealed anew, and how many are. */
  parts: z.array(z.object({ name: z.string(), total: z.int().nonnegative(), rotated: z.int().nonnegative() })),
});

export const restToCryptoRotation = wire({
  topic: 'rest-to-crypto.rotation',
  from: ['rest'],
  to: ['crypto'],
  key: 'tenant, or `master`',
  retention: 'log',
  version: 1,
  body: z.discriminatedUnion('type', [
    /** Refused with CRYPTO_ROTATION_UNDER_WAY, CRYPTO_TENANT_UNKNOWN, CRYPTO_ROOT_KEY_UNKNOWN (keys are sealed by a root key that this worker was not given). */
    z.object({ type: z.literal('start'), tenant: rotationTenant }),
    /** Refused with CRYPTO_ROTATION_UNKNOWN. */
    z.object({ type: z.literal('status'), tenant: rotationTenant }),
  ]),
  reply: rotationStatus,
});
