/** Answers to the requests that flow made. */
import { answerWireFor } from './grammar/envelope.ts';

export const allToFlowAnswer = answerWireFor('flow', ['db', 'crypto']);
