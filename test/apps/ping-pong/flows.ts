/**
 * The sample application: two stories between two members of a network.
 *
 * Read in this order:
 *
 * 1. `greet.ts`: the smallest flow there is. One question, one answer.
 * 2. `order.ts`: a buyer orders, a seller countersigns, both store the same order. Entities, signatures, sub-flows and refusals.
 *
 * An application is a folder with a `cordage.json` (name, version, entry). The entry exports the flows; nothing registers them.
 * Build it into a signed package and see what it holds:
 *
 *     cordage package build test/apps/ping-pong
 *
 * `npm start` builds it, puts it on two clusters and greets. Then start a flow yourself, as the member whose short hash you name:
 *
 *     POST /api/v5_2/flow/{shortHash}
 *     { "clientRequestId": "order-1",
 *       "flowClassName": "com.cordage.samples.PlaceOrder",
 *       "requestBody": { "otherMember": "CN=Bob, O=Bob Corp, L=Paris, C=FR", "item": "tea", "quantity": 12 } }
 *
 * An application of your own imports the SDK as `@cordage/flow-sdk`; the samples live in Cordage's repository and name the file.
 */
export { greet, returnGreeting } from './greet.ts';
export { findOrders, placeOrder, acceptOrder } from './order.ts';
