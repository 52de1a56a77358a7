/** REST reads flow statuses: one by client request id, or the newest of a virtual node. */
import { flowIdOf } from '../../identity/derive.ts';
import type { FlowStatus } from '../../messages/grammar/shapes.ts';
import type { BodyOf, ReplyOf } from '../../messages/grammar/wire.ts';
import { restToFlowQuery } from '../../messages/rest-to-flow.query.ts';
import type { StateStore, StoredState } from '../../shell/store.ts';
import type { Answering } from '../../shell/worker.ts';
import { flowStatusOf } from './engine/head.ts';
import type { FlowHead } from './engine/head.ts';

type Query = BodyOf<typeof restToFlowQuery>;
export type QueryTx = { readonly states: StateStore };

/** `charsMax` bounds the results in one answer, in UTF-16 code units. */
export const createOnQuery = ({ charsMax }: { readonly charsMax: number }): Answering<Query, ReplyOf<typeof restToFlowQuery>, QueryTx> => ({
  wire: restToFlowQuery,
  storesAnswers: false,
  answer: (requests, { states }) =>
    Promise.all(
      requests.map(async ({ body }) => ({ outcome: { type: 'done' as const, value: { flows: within(await read(body, states), charsMax) } } })),
    ),
});

const read = async (query: Query, states: StateStore): Promise<FlowStatus[]> => {
  if (query.type === 'status') return statusesOf(await states.load([flowIdOf(query.shortHash, query.clientRequestId)]));
  const { shortHash: scope, status, countMax } = query;
  return statusesOf(await states.list({ scope, countMax, ...(status === undefined ? {} : { status }) }));
};

// This room alone writes these heads.
const statusesOf = (states: readonly StoredState[]): FlowStatus[] => states.map(({ head }) => flowStatusOf(head as FlowHead));

/** The newest flows whose results fit in one answer; at least one, since each result was bounded when it was kept. */
const within = (flows: readonly FlowStatus[], charsMax: number): FlowStatus[] => {
  let chars = 0;
  const fitting = flows.findIndex(({ flowResult, flowError }, i) => {
    chars += 500 + (flowResult?.length ?? 0) + (flowError?.message.length ?? 0);
    return i > 0 && chars > charsMax;
  });
  return fitting < 0 ? [...flows] : flows.slice(0, fitting);
};
