/**
 * db-to-flow.eviction: a virtual node is being deleted. Its flows are woken, a page at a time, and the machine, which sees the mark of
 * the virtual node, ends those that run and forgets those that have ended (`overrule`, `outputOf`). A replica that does not see the mark
 * yet does nothing: db asks again until none is left.
 */
import { dbToFlowEviction } from '../../messages/db-to-flow.eviction.ts';
import { flowToFlowWake } from '../../messages/flow-to-flow.wake.ts';
import { encode } from '../../messages/grammar/envelope.ts';
import type { OutRecord } from '../../messages/grammar/record.ts';
import type { BodyOf, ReplyOf } from '../../messages/grammar/wire.ts';
import type { StateStore } from '../../shell/store.ts';
import type { Answered, Answering } from '../../shell/worker.ts';
import { hasEnded } from './engine/head.ts';
import type { FlowHead } from './engine/head.ts';

type Body = BodyOf<typeof dbToFlowEviction>;
type Reply = ReplyOf<typeof dbToFlowEviction>;
export type EvictionTx = { readonly states: StateStore };

const wake = (flowId: string, now: number): OutRecord => encode(flowToFlowWake, { key: flowId, id: `evict/${flowId}/${now}`, body: { dueAt: now } });

const evict = async ({ type, shortHash: scope }: Body, states: StateStore, countMax: number, now: number): Promise<Answered<Reply>> => {
  const running = await states.list({ scope, status: 'RUNNING', countMax });
  if (type === 'count') return { outcome: { type: 'done', value: { running: running.length, ended: 0 } } };
  const all = await states.list({ scope, countMax });
  // This room alone writes these heads.
  const ended = all.filter(({ head }) => hasEnded(head as FlowHead)).length;
  const keys = new Set([...running, ...all].map(({ key }) => key));
  return { outcome: { type: 'done', value: { running: running.length, ended } }, effects: [...keys].map((key) => wake(key, now)) };
};

export const createOnEviction = ({ countMax }: { readonly countMax: number }): Answering<Body, Reply, EvictionTx> => ({
  wire: dbToFlowEviction,
  storesAnswers: false,
  answer: (requests, { states }, now) => Promise.all(requests.map(({ body }) => evict(body, states, countMax, now))),
});
