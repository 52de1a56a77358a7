/** What Cordage shows of a flow beyond its status: its journal, and the code that it is pinned to. For `cordage flow inspect` and `replay`. */
import * as z from 'zod';
import { flowInspection, journalPart, restToFlowQuery, type JournalPlace } from '../../../messages/rest-to-flow.query.ts';
import { flowUnknown } from '../flow-lookup.ts';
import { clientRequestIdText, optionalText, shortHash, text } from '../parameter.ts';
import { isRefusal, refuse } from '../refusal.ts';
import { findVirtualNode } from '../room.ts';
import { done, route } from '../routing/routing.ts';

const tag = 'Flow Management';

/** `<position>.<offset>`: where the last page ended. */
const placeText: z.ZodType<JournalPlace, string> = z
  .string()
  .regex(/^\d{1,9}\.\d{1,9}$/, 'a place in a journal is the "next" of the page before')
  .transform((given) => {
    const [position, offset] = given.split('.').map(Number);
    return { position: position!, offset: offset! };
  });

const journalPage = z
  .object({
    flow: flowInspection,
    /** Items as JSON texts, in order; texts of one position belong together. */
    parts: z.array(journalPart),
    next: z.string().nullable(),
  })
  .meta({ id: 'FlowJournalPage' });

const codeChunk = z.object({ count: z.int(), bytes: z.string() }).meta({ id: 'FlowCodeChunk' });

const indexText = z
  .string()
  .regex(/^\d{1,3}$/, 'a chunk is counted from 0')
  .transform(Number);

export const flowJournalRoutes = [
  route({
    method: 'GET',
    path: '/flow/{holdingidentityshorthash}/{clientrequestid}/journal',
    tag,
    summary: 'Reads the journal of a flow, a page at a time: by client request id, or by flow id',
    ours: true,
    pathParameters: { holdingidentityshorthash: shortHash, clientrequestid: text(clientRequestIdText) },
    queryParameters: { from: optionalText(placeText) },
    reply: journalPage,
    handle: async ({ room, path, query }) => {
      const node = await findVirtualNode(room, path.holdingidentityshorthash);
      if (isRefusal(node)) return node;
      const { requests, limits } = room;
      const { shortHash: key } = node.holdingIdentity;
      const body = { type: 'journal' as const, shortHash: key, name: path.clientrequestid, from: query.from ?? { position: 0, offset: 0 } };
      const outcome = await requests.ask(restToFlowQuery, { key, body, timeoutMs: limits.askTimeoutMs });
      if (outcome.type === 'refused') return outcome;
      const { journal } = outcome.value;
      if (journal === undefined) return flowUnknown({ shortHash: key, clientRequestId: path.clientrequestid });
      const { flow, parts, next } = journal;
      return done({ flow, parts, next: next === undefined ? null : `${next.position}.${next.offset}` });
    },
  }),
  route({
    method: 'GET',
    path: '/cpk/{cpkhash}/{part}/{index}',
    tag,
    summary: "Reads a chunk of a CPK's code: of its `bundle`, or of the `map` from the bundle to its sources",
    ours: true,
    pathParameters: { cpkhash: text(z.string().regex(/^[0-9A-F]{64}$/, 'a CPK hash has 64 upper-case hex digits')), part: text(z.enum(['bundle', 'map'])), index: text(indexText) },
    reply: codeChunk,
    handle: async ({ room, path }) => {
      const { requests, limits } = room;
      const { cpkhash: cpkHash, part, index } = path;
      const outcome = await requests.ask(restToFlowQuery, { key: cpkHash, body: { type: 'code', cpkHash, part, index }, timeoutMs: limits.askTimeoutMs });
      if (outcome.type === 'refused') return outcome;
      const { code } = outcome.value;
      return code === undefined ? refuse('REST_CODE_UNKNOWN', `There is no chunk ${index} of the ${part} of CPK ${cpkHash}`) : done(code);
    },
  }),
];
