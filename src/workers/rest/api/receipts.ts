/** Receipts that other members signed for messages of a virtual node: ours, Corda has none. */
import * as z from 'zod';
import { pairTagOf } from '../../../identity/derive.ts';
import { parseX500, type X500Name } from '../../../identity/x500.ts';
import { restToLinkManagerReceipt } from '../../../messages/rest-to-link-manager.receipt.ts';
import { isoTime } from '../flow-body.ts';
import { optionalText, shortHash, text } from '../parameter.ts';
import { isRefusal } from '../refusal.ts';
import { findVirtualNode } from '../room.ts';
import { done, route } from '../routing/routing.ts';
import { dateTime, int64 } from './shapes.ts';

const tag = 'Link';

const receipt = z
  .object({
    number: int64,
    messageId: z.string(),
    /** SHA-256 of the payload. */
    digest: z.string(),
    receivedAt: dateTime,
    /** Milliseconds since the epoch: what was signed. */
    receivedAtMs: int64,
    keyHash: z.string(),
    publicKey: z.string(),
    signatureSpec: z.string(),
    signature: z.string(),
  })
  .meta({ id: 'LinkReceipt' });

const x500Text: z.ZodType<X500Name, string> = z.string().transform((given, context) => {
  const parsed = parseX500(given);
  if (parsed.type === 'name') return parsed.name;
  context.addIssue({ code: 'custom', message: parsed.reason });
  return z.NEVER;
});

const numberText = z
  .string()
  .regex(/^[1-9]\d{0,14}$/, 'the number of a receipt counts from 1')
  .transform(Number);

export const receiptsRoutes = [
  route({
    method: 'GET',
    path: '/link/{holdingidentityshorthash}/receipts',
    tag,
    summary: 'Reads what a member signed for messages that this virtual node sent it, newest first, a page at a time',
    ours: true,
    pathParameters: { holdingidentityshorthash: shortHash },
    queryParameters: { counterparty: text(x500Text), before: optionalText(numberText) },
    reply: z.object({ receipts: z.array(receipt) }).meta({ id: 'LinkReceipts' }),
    handle: async ({ room, path, query }) => {
      const node = await findVirtualNode(room, path.holdingidentityshorthash);
      if (isRefusal(node)) return node;
      const { groupId, x500Name: source } = node.holdingIdentity;
      const { counterparty: destination, before } = query;
      const outcome = await room.requests.ask(restToLinkManagerReceipt, {
        key: pairTagOf(groupId, source, destination),
        body: { groupId, source, destination, ...(before === undefined ? {} : { before }) },
        timeoutMs: room.limits.askTimeoutMs,
      });
      if (outcome.type === 'refused') return outcome;
      return done({
        receipts: outcome.value.receipts.map(({ receivedAt, spec, ...rest }) => ({ ...rest, receivedAt: isoTime(receivedAt), receivedAtMs: receivedAt, signatureSpec: spec })),
      });
    },
  }),
];
