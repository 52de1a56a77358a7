/** Answers to the requests that member made. */
import { answerWireFor } from './grammar/envelope.ts';

export const allToMemberAnswer = answerWireFor('member', ['crypto']);
