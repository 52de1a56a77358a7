/** Answers to the requests that link-manager made. */
import { answerWireFor } from './grammar/envelope.ts';

export const allToLinkManagerAnswer = answerWireFor('link-manager', ['crypto']);
