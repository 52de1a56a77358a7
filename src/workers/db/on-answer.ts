/** all-to-db.answer: what other rooms answered to db's part of a deletion. Its effects are stored with it, so that a repeat sends them again. */
import { allToDbAnswer } from '../../messages/all-to-db.answer.ts';
import type { Answer } from '../../messages/grammar/envelope.ts';
import type { Log } from '../../observability/log.ts';
import type { Answering } from '../../shell/worker.ts';
import type { DbTx } from './db-tx.ts';
import { takeAnswer } from './virtual-node/deletion.ts';

export const onAnswer = (log: Log): Answering<Answer, never, DbTx> => ({
  wire: allToDbAnswer,
  answer: async (answers, tx, now) => {
    const taken = [];
    // Nobody waits for an answer to an answer; the shell sends what is owed.
    for (const { body } of answers) taken.push({ outcome: { type: 'done' as const, value: {} as never }, effects: await takeAnswer(tx, body, log, now) });
    return taken;
  },
});
