/** Bounds on what one answer carries. */
import type { Outcome } from '../../messages/grammar/envelope.ts';
import { replyCharsMax } from './config.ts';

/** The value as an outcome, or a refusal that says what to do when it would not fit into one record. */
export const boundedReply = <Value>(value: Value): Outcome<Value> => {
  const chars = JSON.stringify(value).length;
  if (chars <= replyCharsMax) return { type: 'done', value };
  const message = `the list is ${chars} characters long and an answer carries ${replyCharsMax}; read it from the compacted topic instead`;
  return { type: 'refused', code: 'DB_REPLY_TOO_LARGE', message };
};
