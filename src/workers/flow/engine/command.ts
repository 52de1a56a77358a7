/** What REST may command of a flow that is there. A repeat of a command gets the same answer (W3). */
import { flowIdOf } from '../../../identity/derive.ts';
import { answerTo } from '../../../messages/grammar/envelope.ts';
import type { Outcome } from '../../../messages/grammar/envelope.ts';
import { note } from './draft.ts';
import type { Draft } from './draft.ts';
import type { CommandEvent } from './event.ts';
import { hasEnded } from './head.ts';
import type { FlowHead } from './head.ts';
import { killFlow, redriveFault, resumeFlow } from './lifecycle.ts';

export const obey = (draft: Draft, event: CommandEvent): void => {
  const outcome = outcomeOf(draft, event);
  if (outcome.type === 'refused') note(draft, 'info', `flow-${event.type}-refused`, { flowId: event.key, code: outcome.code, message: outcome.message });
  // `answerTo` reads id and return address only.
  const record = answerTo({ ...event, body: undefined }, outcome);
  if (record !== undefined) draft.effects.push(record);
};

const outcomeOf = (draft: Draft, event: CommandEvent): Outcome => {
  const { head } = draft;
  const { shortHash, clientRequestId, key, id } = event;
  if (head === undefined || head.kind !== 'rest' || key !== flowIdOf(shortHash, clientRequestId)) {
    return { type: 'refused', code: 'FLOW_UNKNOWN', message: `no flow of virtual node ${shortHash} has the client request id ${clientRequestId}` };
  }
  if (head.commandId === id) return done(head);
  return event.type === 'kill' ? kill(draft, head, event) : redrive(draft, head, event);
};

const done = ({ flowId, updatedAt, since, status }: FlowHead): Outcome => ({ type: 'done', value: { flowId, timestamp: status === 'KILLED' ? updatedAt : since } });

const kill = (draft: Draft, head: FlowHead, { id, by }: CommandEvent): Outcome => {
  if (hasEnded(head)) return { type: 'refused', code: 'FLOW_ENDED', message: `the flow has ended already: it is ${head.status}` };
  draft.head = { ...head, commandId: id };
  killFlow(draft, `the flow was killed by ${by}`);
  return done(draft.head);
};

const redrive = (draft: Draft, head: FlowHead, { id }: CommandEvent): Outcome => {
  const fault = redriveFault(head);
  if (fault !== undefined) return { type: 'refused', code: 'FLOW_NOT_REDRIVABLE', message: fault };
  resumeFlow(draft, head, id);
  return done(draft.head!);
};
