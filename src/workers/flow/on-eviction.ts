/**
 * db-to-flow.eviction: a virtual node is being deleted. Its flows are told, a page at a time (flow-to-flow.eviction), and the machine, which
 * sees the mark of the virtual node, ends those that run and forgets those that have ended (`overrule`, `outputOf`). A replica that does not
 * see the mark yet does nothing: db asks again until none is left.
 */
import { dbToFlowEviction } from '../../messages/db-to-flow.eviction.ts';
import { flowToFlowEviction } from '../../messages/flow-to-flow.eviction.ts';
import { encode, type Carried } from '../../messages/grammar/envelope.ts';
import type { OutRecord } from '../../messages/grammar/record.ts';
import type { BodyOf, ReplyOf } from '../../messages/grammar/wire.ts';
import type { StateStore } from '../../shell/store.ts';
import type { Answered, Answering, Hearing } from '../../shell/worker.ts';
import type { FlowEvent } from './engine/event.ts';
import { hasEnded } from './engine/head.ts';
import type { FlowHead } from './engine/head.ts';

type Body = BodyOf<typeof dbToFlowEviction>;
type Reply = ReplyOf<typeof dbToFlowEviction>;
export type EvictionTx = { readonly states: StateStore };

export const onFlowEviction: Hearing<BodyOf<typeof flowToFlowEviction>, FlowEvent> = { wire: flowToFlowEviction, toEvent: () => ({ type: 'eviction' }) };

const told = (flowId: string, shortHash: string, askedBy: string): OutRecord => encode(flowToFlowEviction, { key: flowId, id: `${askedBy}/${flowId}`, body: { shortHash } });

const evict = async ({ body: { type, shortHash: scope }, id }: Carried<Body>, states: StateStore, countMax: number): Promise<Answered<Reply>> => {
  const running = await states.list({ scope, status: 'RUNNING', countMax });
  if (type === 'count') return { outcome: { type: 'done', value: { running: running.length, ended: 0 } } };
  const all = await states.list({ scope, countMax });
  // This room alone writes these heads.
  const ended = all.filter(({ head }) => hasEnded(head as FlowHead)).length;
  const keys = new Set([...running, ...all].map(({ key }) => key));
  return { outcome: { type: 'done', value: { running: running.length, ended } }, effects: [...keys].map((key) => told(key, scope, id)) };
};

export const createOnEviction = ({ countMax }: { readonly countMax: number }): Answering<Body, Reply, EvictionTx> => ({
  wire: dbToFlowEviction,
  storesAnswers: false,
  answer: (requests, { states }) => Promise.all(requests.map((request) => evict(request, states, countMax))),
});
