/** A flow's time has come. What is due is read from its head, so the event itself says nothing. */
import { flowToFlowWake } from '../../messages/flow-to-flow.wake.ts';
import type { Machine } from '../../shell/worker.ts';
import type { FlowEvent } from './engine/event.ts';

export const onWake: NonNullable<Machine<never, never, FlowEvent>['wake']> = { wire: flowToFlowWake, toEvent: (dueAt) => ({ type: 'wake', dueAt }) };
