/** corda.flow: how flows are run. */
import * as z from 'zod';
import { section, whole } from './field.ts';

const day = 24 * 60 * 60_000;

export const flowSection = section({
  says: 'How flows are run: what they may ask for, and how long they wait.',
  schema: z.strictObject({
    processing: z
      .strictObject({
        maxRetryAttempts: whole({ byDefault: 5, min: 0, max: 1_000, says: 'How often an operation is asked again that a worker could not do now.' }),
        maxRetryDelay: whole({ byDefault: 16_000, min: 1_000, max: 600_000, unit: 'ms', says: 'Longest wait between two such tries.' }),
        maxRetryWindowDuration: whole({ byDefault: 300_000, min: 1_000, max: day, unit: 'ms', says: 'How long an operation that nobody answers is waited for before it fails.' }),
      })
      .prefault({}),
    session: z
      .strictObject({
        timeout: whole({ byDefault: 1_800_000, min: 1_000, max: 365 * day, unit: 'ms', says: 'Silence after which an open session fails.' }),
        p2pTTL: whole({ byDefault: 300_000, min: 10_000, max: 30 * day, unit: 'ms', says: 'How long a message to another member may be under way.' }),
        maxPayloadSize: whole({ byDefault: 4_000_000, min: 1, max: 4_000_000, unit: 'UTF-16 code units', says: 'Longest value that a flow may send in one message.' }),
      })
      .prefault({}),
  }),
  ignored: {
    'processing.maxFlowSleepDuration': 'a flow may sleep as long as it likes: nothing is held meanwhile',
    'processing.maxIdleTime': 'an idle flow holds nothing',
    'processing.cleanupTime': 'nothing is left behind that would need it; see corda.rest flowStatusCleanupTimeMs',
    'processing.fiberTimeout': 'a turn is bounded by the processor time it uses, which is no setting',
    'processing.poolSize': 'sandboxes are counted by CORDAGE_FLOW_SANDBOXES',
    'session.messageResendWindow': 'the link manager repeats messages by itself; see corda.p2p.linkManager',
    'session.heartbeatTimeout': 'sessions need no heartbeats',
    'session.missingCounterpartyTimeout': 'a counterparty that is not known yet is waited for as long as p2pTTL says',
    'session.cleanupTime': 'sessions end with their flow',
    event: 'see processing',
  },
});
