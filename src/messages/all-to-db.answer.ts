/** Answers to the requests that db made when it deletes a virtual node. */
import { answerWireFor } from './grammar/envelope.ts';

export const allToDbAnswer = answerWireFor('db', ['flow', 'member']);
