/** The flow room tells every rest worker how a flow that REST started fares: push, and waits for a result, ride on it. It begins with RUNNING: that it was requested is plain then. */
import { flowStatus } from './grammar/shapes.ts';
import { wire } from './grammar/wire.ts';

export const flowToRestStatus = wire({
  topic: 'flow-to-rest.status',
  from: ['flow'],
  to: ['rest'],
  key: 'flow id',
  retention: 'log',
  version: 1,
  body: flowStatus,
});
