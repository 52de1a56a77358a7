/**
 * A flow's journal in pages, for people and for local replay. An item is shown as its JSON text; where that is longer than a page it
 * goes on in the next one, so that any journal can be read through records of any bound.
 */
import { flowIdOf } from '../../identity/derive.ts';
import type { BodyOf, ReplyOf } from '../../messages/grammar/wire.ts';
import type { FlowInspection, JournalPart, JournalPlace, restToFlowQuery } from '../../messages/rest-to-flow.query.ts';
import type { StateStore } from '../../shell/store.ts';
import type { StoredItem } from '../../shell/worker.ts';
import { flowStatusOf } from './engine/head.ts';
import type { FlowHead } from './engine/head.ts';

type Query = Extract<BodyOf<typeof restToFlowQuery>, { type: 'journal' }>;
type Page = NonNullable<ReplyOf<typeof restToFlowQuery>['journal']>;

export const inspectionOf = (head: FlowHead): FlowInspection => {
  const { flowId, kind, flowClassName, identity, startedBy, code, createdAt, updatedAt, operationCount, itemCount } = head;
  return {
    status: flowStatusOf(head),
    flowId,
    kind,
    flowClassName,
    x500Name: identity.x500Name,
    groupId: identity.groupId,
    startedBy,
    cpkHash: code.cpkHash,
    createdAt,
    updatedAt,
    errorAt: [...(head.error?.at ?? [])],
    operationCount,
    itemCount,
    sessions: head.sessions.map(({ id, role, counterparty, protocol, version, state, end, unread, early }) => ({
      id,
      role,
      counterparty,
      protocol,
      version,
      state,
      end: end?.message ?? null,
      unread: unread.length + early.length,
    })),
    pending: head.pending.map((pending) => ({ ...pending })),
  };
};

/** The flow of this client request id, or of this id, if it is this virtual node's. */
const findHead = async ({ shortHash, name }: Query, states: StateStore): Promise<FlowHead | undefined> => {
  const found = await states.load([flowIdOf(shortHash, name), name.toLowerCase()]);
  // This room alone writes these heads; a removed flow has none.
  const heads = found.flatMap(({ head }) => (head === null ? [] : [head as FlowHead]));
  return heads.find(({ identity }) => identity.shortHash === shortHash);
};

export const readJournal = async (query: Query, states: StateStore, charsMax: number): Promise<Page | undefined> => {
  const head = await findHead(query, states);
  if (head === undefined) return undefined;
  const items = (await states.loadItems([head.flowId])).get(head.flowId) ?? [];
  return { flow: inspectionOf(head), ...pageOf(items, query.from, charsMax) };
};

export const pageOf = (items: readonly StoredItem<unknown>[], from: JournalPlace, charsMax: number): { readonly parts: JournalPart[]; readonly next?: JournalPlace } => {
  const parts: JournalPart[] = [];
  let left = charsMax;
  for (const { position, value } of items) {
    if (position < from.position) continue;
    if (left <= 0) return { parts, next: { position, offset: 0 } };
    const whole = JSON.stringify(value);
    const offset = position === from.position ? from.offset : 0;
    const text = whole.slice(offset, offset + left);
    parts.push({ position, text });
    left -= text.length;
    if (offset + text.length < whole.length) return { parts, next: { position, offset: offset + text.length } };
  }
  return { parts };
};
