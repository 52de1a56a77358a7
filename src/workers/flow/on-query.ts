/** REST reads flows: the status of one, the newest of a virtual node, the journal of one, and the code it is pinned to. */
import { flowIdOf } from '../../identity/derive.ts';
import type { FlowStatus } from '../../messages/grammar/shapes.ts';
import type { BodyOf, ReplyOf } from '../../messages/grammar/wire.ts';
import { restToFlowQuery } from '../../messages/rest-to-flow.query.ts';
import type { StateStore, StoredState } from '../../shell/store.ts';
import type { View } from '../../shell/view.ts';
import type { Answering } from '../../shell/worker.ts';
import { flowStatusOf } from './engine/head.ts';
import type { FlowHead } from './engine/head.ts';
import type { CpkChunk } from './facts.ts';
import { readJournal } from './read-journal.ts';

type Query = BodyOf<typeof restToFlowQuery>;
type Reply = ReplyOf<typeof restToFlowQuery>;
export type QueryTx = { readonly states: StateStore };

export type OnQueryOptions = {
  /** Bounds the results, or the journal's text, in one answer, in UTF-16 code units. */
  readonly charsMax: number;
  readonly cpks: View<CpkChunk>;
};

export const createOnQuery = (options: OnQueryOptions): Answering<Query, Reply, QueryTx> => ({
  wire: restToFlowQuery,
  storesAnswers: false,
  answer: (requests, { states }) => Promise.all(requests.map(async ({ body }) => ({ outcome: { type: 'done' as const, value: await read(body, states, options) } }))),
});

const read = async (query: Query, states: StateStore, { charsMax, cpks }: OnQueryOptions): Promise<Reply> => {
  switch (query.type) {
    case 'status':
      return { flows: statusesOf(await states.load([flowIdOf(query.shortHash, query.clientRequestId)])) };
    case 'list': {
      const { shortHash: scope, status, countMax, after } = query;
      const listed = await states.list({ scope, countMax, ...(status === undefined ? {} : { status }), ...(after === undefined ? {} : { after }) });
      return { flows: within(statusesOf(listed), charsMax) };
    }
    case 'journal': {
      const journal = await readJournal(query, states, charsMax);
      return journal === undefined ? { flows: [] } : { flows: [], journal };
    }
    case 'code': {
      const code = codeOf(query, cpks);
      return code === undefined ? { flows: [] } : { flows: [], code };
    }
  }
};

const codeOf = ({ cpkHash, part, index }: Extract<Query, { type: 'code' }>, cpks: View<CpkChunk>): Reply['code'] => {
  const chunk = cpks.get(part === 'bundle' ? `${cpkHash}/${index}` : `${cpkHash}/map/${index}`);
  return chunk === undefined ? undefined : { count: part === 'bundle' ? chunk.count : chunk.sourceMapCount, bytes: chunk.bytes };
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
