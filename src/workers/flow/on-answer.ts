/** Another room answers a request that an operation of a flow made. */
import { allToFlowAnswer } from '../../messages/all-to-flow.answer.ts';
import type { Answer, Outcome } from '../../messages/grammar/envelope.ts';
import type { Hearing } from '../../shell/worker.ts';
import type { Draft } from './engine/draft.ts';
import type { FlowEvent } from './engine/event.ts';
import { operationOf } from './engine/external.ts';
import { takeAnswer } from './engine/request.ts';

export const onAnswer: Hearing<Answer, FlowEvent> = {
  wire: allToFlowAnswer,
  toEvent: ({ body }) => ({ type: 'answer', requestId: body.requestId, outcome: body.outcome }),
};

export const takeAnswered = (draft: Draft, requestId: string, outcome: Outcome): void =>
  takeAnswer(draft, draft.head === undefined ? undefined : operationOf(draft.head, requestId), outcome);
