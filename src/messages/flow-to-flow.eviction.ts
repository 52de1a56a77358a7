/** A flow's virtual node is being deleted: it is to look, and to go. */
import * as z from 'zod';
import { shortHash } from './grammar/shapes.ts';
import { wire } from './grammar/wire.ts';

export const flowToFlowEviction = wire({
  topic: 'flow-to-flow.eviction',
  from: ['flow'],
  to: ['flow'],
  key: 'flow id',
  retention: 'log',
  version: 1,
  body: z.object({ shortHash }),
});
