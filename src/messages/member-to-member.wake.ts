/** A registration or a network has something to repeat or to give up. Published by the shell, to the partition of the key. */
import * as z from 'zod';
import { timestampMs } from './grammar/shapes.ts';
import { wire } from './grammar/wire.ts';

export const memberToMemberWake = wire({
  topic: 'member-to-member.wake',
  from: ['member'],
  to: ['member'],
  key: 'holding identity short hash, or group id',
  retention: 'log',
  version: 1,
  body: z.object({ dueAt: timestampMs }),
});
