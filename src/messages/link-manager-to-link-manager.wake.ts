/** A pair's timer is due (replay, expiry, handshake repeat). Published by the shell, to the partition of the pair's key. */
import * as z from 'zod';
import { timestampMs } from './grammar/shapes.ts';
import { wire } from './grammar/wire.ts';

export const linkManagerToLinkManagerWake = wire({
  topic: 'link-manager-to-link-manager.wake',
  from: ['link-manager'],
  to: ['link-manager'],
  key: 'pair tag',
  retention: 'log',
  version: 1,
  body: z.object({ dueAt: timestampMs }),
});
