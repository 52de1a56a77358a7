/** A flow's timer is due (sleep, time-out). Published by the shell, to the partition of the flow's key. */
import * as z from 'zod';
import { timestampMs } from './grammar/shapes.ts';
import { wire } from './grammar/wire.ts';

export const flowToFlowWake = wire({
  topic: 'flow-to-flow.wake',
  from: ['flow'],
  to: ['flow'],
  key: 'flow id',
  retention: 'log',
  version: 1,
  body: z.object({ dueAt: timestampMs }),
});
