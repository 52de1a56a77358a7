/**
 * A buyer orders, the seller countersigns, and both store the same order with both signatures.
 *
 *     buyer: com.cordage.samples.PlaceOrder       seller: com.cordage.samples.AcceptOrder
 *       sign the order
 *       sendAndReceive({ order, signature }) ───▶   check the order, check the buyer's signature
 *                                                   countersign, store
 *                                            ◀───   { type: 'accepted', signature }, or { type: 'declined', reason }
 *       check the seller's signature, store
 *
 * Start it with `{ "otherMember": "<X.500 name>", "item": "tea", "quantity": 12 }`; the result is the order's id and status. Read what a
 * node has stored with `com.cordage.samples.FindOrders`, on either side, and `{ "item": "tea" }`.
 *
 * The platform replays flows: after a crash the code runs again over the journal of what its operations answered, so it signs once,
 * sends once and stores once, however often a machine dies.
 */
import * as z from 'zod/mini';
import { entity, parse, responderFlow, startableFlow, subFlow, type FlowContext, type Signature } from '../../../src/flow-sdk/flow-sdk.ts';

const ordering = { name: 'com.cordage.samples.ordering', versions: [1] };

/** The most a seller delivers of one thing, in pieces. */
const quantityMax = 100;

// ── What is agreed, sent and stored ──────────────────────────────────────────────────────────────────────────────────

const name = z.string().check(z.minLength(1), z.maxLength(600));
const order = z.strictObject({
  id: z.uuid(),
  buyer: name,
  seller: name,
  item: z.string().check(z.minLength(1), z.maxLength(100)),
  quantity: z.int().check(z.positive()),
  /** Milliseconds since the epoch, by the buyer's clock. */
  placedAt: z.number(),
});
type Order = z.infer<typeof order>;

const signature = z.object({ signature: z.string(), publicKey: z.string(), spec: z.string() });
const proposal = z.strictObject({ order, signature });
const reply = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('accepted'), signature }),
  z.strictObject({ type: z.literal('declined'), reason: z.string().check(z.maxLength(500)) }),
]);

const storedOrder = z.strictObject({ ...order.shape, buyerSignature: signature, sellerSignature: signature });

/** Equal on both sides. Queries match top-level fields, so an order's fields stand at the top. */
const orders = entity<z.infer<typeof storedOrder>>({ name: 'com.cordage.samples.Order', id: ({ id }) => id, schema: storedOrder });

/** What is signed: both sides must write the same text, so the fields stand in one order. */
const textToSign = ({ id, buyer, seller, item, quantity, placedAt }: Order): string => JSON.stringify([id, buyer, seller, item, quantity, placedAt]);

/** A signature counts when it is right, and when the network says that its key is this member's. */
const isSignedBy = async (ctx: FlowContext, member: string, signed: Order, by: Signature): Promise<boolean> => {
  const info = await ctx.members.find(member);
  const keys = [...(info?.ledgerKeys ?? []), ...(info?.sessionKeys ?? [])];
  return keys.some(({ publicKey }) => publicKey === by.publicKey) && (await ctx.crypto.verify(textToSign(signed), by));
};

// ── The buyer ────────────────────────────────────────────────────────────────────────────────────────────────────────

const orderRequest = z.strictObject({ otherMember: name, item: order.shape.item, quantity: order.shape.quantity });

/** A sub-flow is a part of a flow with a name of its own; the sessions it opens end with it. */
const agree = subFlow({
  name: 'com.cordage.samples.AgreeOnOrder',
  run: async (ctx, proposed: Order) => {
    const buyerSignature = await ctx.crypto.sign(textToSign(proposed));
    const answer = await ctx.initiate(proposed.seller).sendAndReceive({ order: proposed, signature: buyerSignature }, reply);
    return { buyerSignature, answer };
  },
});

export const placeOrder = startableFlow({
  name: 'com.cordage.samples.PlaceOrder',
  protocol: ordering,
  run: async (ctx, input) => {
    const { otherMember, item, quantity } = await parse(orderRequest, input);
    const seller = await ctx.members.find(otherMember);
    if (seller === undefined) throw new Error(`${otherMember} is not a member of this network`);
    const proposed = { id: ctx.uuid(), buyer: ctx.me.x500Name, seller: seller.x500Name, item, quantity, placedAt: ctx.now() };
    const { buyerSignature, answer } = await ctx.subFlow(agree, proposed);
    if (answer.type === 'declined') return { orderId: proposed.id, status: 'DECLINED', reason: answer.reason };
    if (!(await isSignedBy(ctx, seller.x500Name, proposed, answer.signature))) throw new Error('the seller accepted with a signature that is not theirs');
    await ctx.db.persist(orders, { ...proposed, buyerSignature, sellerSignature: answer.signature });
    return { orderId: proposed.id, status: 'ACCEPTED' };
  },
});

// ── The seller ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** Why the seller says no; `undefined` means yes. The counterparty of the session is known for certain, the order's words are not. */
const objection = (ctx: FlowContext, counterparty: string, proposed: Order): string | undefined => {
  if (proposed.buyer !== counterparty) return 'the order names another buyer than who sent it';
  if (proposed.seller !== ctx.me.x500Name) return 'the order is for another seller';
  return proposed.quantity > quantityMax ? `at most ${quantityMax} pieces of one thing` : undefined;
};

export const acceptOrder = responderFlow({
  name: 'com.cordage.samples.AcceptOrder',
  protocol: ordering,
  run: async (ctx, session) => {
    const { order: proposed, signature: buyerSignature } = await session.receive(proposal);
    const reason = objection(ctx, session.counterparty, proposed);
    if (reason !== undefined) return await session.send({ type: 'declined', reason });
    if (!(await isSignedBy(ctx, session.counterparty, proposed, buyerSignature))) return await session.send({ type: 'declined', reason: 'the signature is not yours' });
    const sellerSignature = await ctx.crypto.sign(textToSign(proposed));
    await ctx.db.persist(orders, { ...proposed, buyerSignature, sellerSignature });
    ctx.log.info('accepted an order', { orderId: proposed.id, item: proposed.item, quantity: proposed.quantity });
    await session.send({ type: 'accepted', signature: sellerSignature });
  },
});

// ── Both ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

const findRequest = z.strictObject({ item: order.shape.item });

export const findOrders = startableFlow({
  name: 'com.cordage.samples.FindOrders',
  run: async (ctx, input) => {
    const { values } = await ctx.db.query(orders, await parse(findRequest, input));
    return values.map(({ id, buyer, seller, item, quantity }) => ({ id, buyer, seller, item, quantity }));
  },
});
