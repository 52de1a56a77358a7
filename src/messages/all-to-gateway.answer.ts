/** Answers to the requests that gateway made. */
import { answerWireFor } from './grammar/envelope.ts';

export const allToGatewayAnswer = answerWireFor('gateway', ['crypto']);
