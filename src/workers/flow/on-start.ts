/** REST asks for a flow: it is recorded once, answered, and begins to run in the same step. */
import { flowIdOf } from '../../identity/derive.ts';
import type { CpiMetadata } from '../../messages/db-to-all.cpi.ts';
import { answerTo } from '../../messages/grammar/envelope.ts';
import type { Outcome } from '../../messages/grammar/envelope.ts';
import { restToFlowStart } from '../../messages/rest-to-flow.start.ts';
import type { Hearing } from '../../shell/worker.ts';
import { note } from './engine/draft.ts';
import type { Draft } from './engine/draft.ts';
import type { FlowEvent, StartEvent } from './engine/event.ts';
import type { Facts } from './engine/facts.ts';
import { beginFlow } from './engine/lifecycle.ts';
import { platformProperties } from './engine/properties.ts';

type StartBody = StartEvent['body'];

export const onStart: Hearing<StartBody, FlowEvent> = {
  wire: restToFlowStart,
  toEvent: ({ key, id, replyTo, body, record }) => ({ type: 'start', key, id, at: record.timestamp, body, ...(replyTo === undefined ? {} : { replyTo }) }),
};

export const takeStart = (draft: Draft, event: StartEvent, facts: Facts): void => {
  const { head } = draft;
  if (head !== undefined) {
    const repeated = head.startId === event.id;
    return answer(draft, event, { type: 'done', value: repeated ? accepted(head.flowId, head.createdAt) : { type: 'duplicate', flowId: head.flowId } });
  }
  const refusal = begin(draft, event, facts);
  if (refusal !== undefined) answer(draft, event, refusal);
  else if (draft.later === undefined) answer(draft, event, { type: 'done', value: accepted(event.key, draft.now) });
};

const accepted = (flowId: string, timestamp: number) => ({ type: 'accepted', flowId, timestamp });

const answer = (draft: Draft, event: StartEvent, outcome: Outcome): void => {
  if (outcome.type === 'refused') note(draft, 'info', 'flow-start-refused', { flowId: event.key, code: outcome.code, message: outcome.message });
  // `answerTo` reads id and return address only.
  const record = answerTo({ ...event, body: undefined }, outcome);
  if (record !== undefined) draft.effects.push(record);
};

type Refusal = Extract<Outcome, { type: 'refused' }>;

/** Begins the flow, or says why not; `draft.later` says when it cannot be known yet. */
const begin = (draft: Draft, { key, id, body }: StartEvent, facts: Facts): Refusal | undefined => {
  const { shortHash } = body.holdingIdentity;
  if (key !== flowIdOf(shortHash, body.clientRequestId)) {
    return { type: 'refused', code: 'FLOW_START_INVALID', message: 'the key of the request is not the flow id of its virtual node and client request id' };
  }
  const node = facts.virtualNode(shortHash);
  if (node === undefined) return { type: 'refused', code: 'FLOW_VIRTUAL_NODE_NOT_FOUND', message: `there is no virtual node ${shortHash} on this cluster` };
  if (node.flowStartOperationalStatus === 'INACTIVE') {
    return { type: 'refused', code: 'FLOW_VIRTUAL_NODE_IN_MAINTENANCE', message: `virtual node ${shortHash} is in maintenance; set its flow start status to ACTIVE to start flows` };
  }
  const cpi = facts.cpi(node.cpiFullChecksum);
  if (cpi === undefined) {
    draft.later = `the CPI ${node.cpiFullChecksum} of virtual node ${shortHash} is not here yet`;
    return undefined;
  }
  const cpk = cpi.cpks.find(({ hash, flows }) => node.cpkHashes.includes(hash) && flows.some(({ kind, name }) => kind === 'startable' && name === body.flowClassName));
  if (cpk === undefined) return notStartable(body, cpi, node.cpkHashes);
  const { clientRequestId, flowClassName, startedBy, requestBody } = body;
  beginFlow(draft, {
    kind: 'rest',
    clientRequestId,
    startId: id,
    startedBy,
    flowClassName,
    node,
    cpkHash: cpk.hash,
    sessions: [],
    start: { type: 'input', json: requestBody, context: platformProperties(node, cpi) },
  });
  return undefined;
};

/** UTF-16 code units of the list of startable flows in a refusal. */
const startableFlowsCharsMax = 5_000;

const notStartable = ({ flowClassName }: StartBody, cpi: CpiMetadata, cpkHashes: readonly string[]): Refusal => {
  const startable = cpi.cpks.filter(({ hash }) => cpkHashes.includes(hash)).flatMap(({ flows }) => flows.filter(({ kind }) => kind === 'startable').map(({ name }) => name));
  return {
    type: 'refused',
    code: 'FLOW_CLASS_NOT_STARTABLE',
    message: `${flowClassName} is not a flow of CPI ${cpi.id.name} ${cpi.id.version} that REST may start`,
    details: {
      cpiName: cpi.id.name,
      cpiVersion: cpi.id.version,
      cpiSignerSummaryHash: cpi.id.signerSummaryHash,
      startableFlows: startable.join(',').slice(0, startableFlowsCharsMax),
    },
  };
};
