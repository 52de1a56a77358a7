/** What the room says of its steps: lines in the log, counts for the operator. */
import type { Log } from '../../observability/log.ts';
import type { Metrics } from '../../observability/metrics.ts';
import type { Draft } from './engine/draft.ts';
import { hasEnded } from './engine/head.ts';
import type { LogLine } from './sandbox/sandbox.ts';

export type Report = {
  step(draft: Draft): void;
  /** So many steps are made again, since an answer was another than foreseen. */
  undone(count: number): void;
  held(count: number): void;
};

export const createReport = (log: Log, metrics: Metrics): Report => {
  const events = metrics.counter('cordage_flow_events_total', 'What happened to flows, by event (refused messages and starts among them).');
  const ended = metrics.counter('cordage_flow_ended_total', 'Flows that ended, by status and kind.');
  const undone = metrics.counter('cordage_flow_steps_undone_total', 'Steps that were made again, write by write, since a write was refused that they had gone on over.');
  const held = metrics.gauge('cordage_flow_held', 'Flows held in memory.');
  return {
    step: (draft) => {
      for (const { level, event, fields } of draft.notes) {
        events.add(1, { event });
        log[level](event, fields);
      }
      if (draft.later !== undefined) return log.debug('flow-step-later', { flowId: draft.key, reason: draft.later });
      for (const line of draft.logs) writeLine(log, draft, line);
      const { head, before } = draft;
      if (head !== undefined && hasEnded(head) && (before === undefined || !hasEnded(before))) ended.add(1, { status: head.status, kind: head.kind });
    },
    undone: (count) => {
      if (count > 0) undone.add(count);
    },
    held: (count) => held.set(count),
  };
};

/** A line that flow code wrote. */
const writeLine = (log: Log, { key, head }: Draft, { level, message, fields }: LogLine): void =>
  log[level]('flow-says', {
    message,
    flowId: key,
    flowClassName: head?.flowClassName,
    holdingIdentityShortHash: head?.identity.shortHash,
    // JSON text that the fiber wrote.
    ...(fields === undefined ? {} : { fields: JSON.parse(fields) as unknown }),
  });
