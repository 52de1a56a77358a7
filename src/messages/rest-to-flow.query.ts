/**
 * REST reads what the flow room knows of flows: the status of one, a page of a virtual node's, newest first, the journal of one, and
 * the code that it is pinned to. Journals and code come in pages.
 */
import * as z from 'zod';
import { base64url, flowStatus, flowStatusName, shortHash, timestampMs } from './grammar/shapes.ts';
import { wire } from './grammar/wire.ts';

const cpkHash = z.string().regex(/^[0-9A-F]{64}$/);

/** Where a page of a journal begins: an item, and a place in its text, in UTF-16 code units. */
export const journalPlace = z.object({ position: z.int().min(0), offset: z.int().min(0) });
export type JournalPlace = z.infer<typeof journalPlace>;

/** What a flow is and what it waits for, beside its journal. */
export const flowInspection = z.object({
  status: flowStatus,
  flowId: z.string(),
  kind: z.enum(['rest', 'responder']),
  flowClassName: z.string(),
  x500Name: z.string(),
  groupId: z.string(),
  startedBy: z.string(),
  cpkHash: z.string(),
  createdAt: timestampMs,
  updatedAt: timestampMs,
  /** Places in the author's sources of the error, innermost first. */
  errorAt: z.array(z.string()),
  operationCount: z.int(),
  itemCount: z.int(),
  sessions: z.array(
    z.object({ id: z.string(), role: z.string(), counterparty: z.string(), protocol: z.string(), version: z.int().nullable(), state: z.string(), end: z.string().nullable(), unread: z.int() }),
  ),
  /** Operations that are not complete; what is known of one depends on its type. */
  pending: z.array(z.looseObject({ op: z.int(), type: z.string() })),
});
export type FlowInspection = z.infer<typeof flowInspection>;

/** Slices of items: JSON texts, of which one may go on in the next page. */
export const journalPart = z.object({ position: z.int(), text: z.string() });
export type JournalPart = z.infer<typeof journalPart>;

export const restToFlowQuery = wire({
  topic: 'rest-to-flow.query',
  from: ['rest'],
  to: ['flow'],
  key: 'holding identity short hash',
  retention: 'log',
  version: 1,
  body: z.discriminatedUnion('type', [
    z.object({ type: z.literal('status'), shortHash, clientRequestId: z.string().max(242) }),
    /** Newest first; `after` is the flow id of the last one of the page before. An empty page is the end. */
    z.object({ type: z.literal('list'), shortHash, status: flowStatusName.optional(), countMax: z.int().min(1).max(1000), after: z.string().max(242).optional() }),
    /** `name` is a client request id, or the id of any flow of this virtual node. */
    z.object({ type: z.literal('journal'), shortHash, name: z.string().max(242), from: journalPlace }),
    /** One chunk of a CPK's bundle, or of its source map. */
    z.object({ type: z.literal('code'), cpkHash, part: z.enum(['bundle', 'map']), index: z.int().min(0).max(100) }),
  ]),
  reply: z.object({
    /** Empty where there is no such flow. */
    flows: z.array(flowStatus),
    journal: z.object({ flow: flowInspection, parts: z.array(journalPart), /** Absent at the end. */ next: journalPlace.optional() }).optional(),
    /** Absent where there is no such chunk. */
    code: z.object({ count: z.int(), bytes: base64url }).optional(),
  }),
});
