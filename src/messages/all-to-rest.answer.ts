/** Answers to the requests that rest made. */
import { answerWireFor } from './grammar/envelope.ts';

export const allToRestAnswer = answerWireFor('rest', ['flow', 'db', 'crypto', 'member', 'link-manager']);
