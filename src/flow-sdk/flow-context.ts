/** What flow code may do: the context that every flow is given, and the sessions it holds with counterparties. */
import type { FlowCrypto } from './crypto.ts';
import type { FlowDatabase } from './database.ts';
import type { Protocol, SubFlow } from './flow.ts';
import type { FlowMembers } from './members.ts';
import type { StandardSchema } from './standard-schema.ts';

/**
 * The context of one run of a flow.
 *
 * A flow survives crashes and moves between machines because the platform journals what each operation answered and runs the
 * code again over that journal. So flow code must do the same thing each time: take time, ids and chance from the context, keep
 * no state outside of `run`, and reach the world by the context only (nothing else exists in the sandbox).
 *
 * Every function that returns a promise is an operation: a suspension point, at which the flow may leave memory. Operations may
 * run at once with `Promise.all`. All of them throw `FlowPlatformError` with the codes named beside them.
 *
 * @example
 * ```ts
 * import { startableFlow } from '@cordage/flow-sdk';
 *
 * export const whoAmI = startableFlow({
 *   name: 'com.example.WhoAmI',
 *   run: async (ctx) => {
 *     const receipt = ctx.uuid();
 *     ctx.log.info('asked who I am', { receipt });
 *     const [members, bob] = await Promise.all([ctx.members.all(), ctx.members.find('CN=Bob, O=Bob, L=Paris, C=FR')]);
 *     const { signature, publicKey, spec } = await ctx.crypto.sign(`${ctx.me.x500Name} at ${ctx.now()}`);
 *     const lucky = ctx.random() < 0.5;
 *     return { name: ctx.me.x500Name, members: members.length, bob: bob?.x500Name, signature, publicKey, spec, lucky };
 *   },
 * });
 * ```
 */
export type FlowContext = {
  /** The virtual node that runs this flow: X.500 name, group id, and the short hash (12 hex digits) that REST uses. */
  readonly me: { readonly x500Name: string; readonly groupId: string; readonly shortHash: string };
  /** UUID of this flow; sub-flows share it. */
  readonly flowId: string;

  /**
   * Opens a session with a member of this group. Nothing is sent until the session's first `send`.
   *
   * @param counterparty X.500 name of the member.
   * @param protocol by default the protocol of this flow; a name or a protocol for a flow that speaks several. A bare name that
   * is not this flow's own means version 1.
   * @throws PROTOCOL_MISSING when neither this flow nor the call names a protocol. An unknown counterparty shows at the first
   * operation of the session, as MEMBER_NOT_FOUND.
   */
  initiate(counterparty: string, protocol?: string | Protocol): FlowSession;

  /**
   * Runs another flow inside this one and returns its result. Sessions it opened are closed when it returns; when it throws they
   * are failed, and its error comes to the caller.
   */
  subFlow<Input, Result>(flow: SubFlow<Input, Result>, input: Input): Promise<Result>;

  readonly db: FlowDatabase;
  readonly crypto: FlowCrypto;
  readonly members: FlowMembers;
  readonly log: FlowLog;

  /** Milliseconds since the epoch, at the time of the event that woke this flow: it stands still between operations. */
  now(): number;
  /** A UUID that no other flow has. Not secret. */
  uuid(): string;
  /** A number of [0, 1). Not secret: anyone who knows the flow id can derive it. */
  random(): number;
  /** Waits `durationMs` milliseconds (at least; up to 366 days). Errors: OPERATION_INVALID. */
  sleep(durationMs: number): Promise<void>;
};

/**
 * A session with one counterparty: an ordered, reliable, authenticated conversation. Each value arrives once and in order, or the
 * session fails.
 *
 * @example
 * ```ts
 * import { CounterpartyDataError, responderFlow, startableFlow, type StandardSchema } from '@cordage/flow-sdk';
 *
 * const price: StandardSchema<{ cents: number }> = {
 *   '~standard': {
 *     version: 1,
 *     vendor: 'example',
 *     validate: (value) => {
 *       const cents = typeof value === 'object' && value !== null && 'cents' in value ? value.cents : undefined;
 *       return typeof cents === 'number' ? { value: { cents } } : { issues: [{ message: 'not a number', path: ['cents'] }] };
 *     },
 *   },
 * };
 * const protocol = { name: 'com.example.haggle', versions: [1] };
 *
 * export const haggle = startableFlow({
 *   name: 'com.example.Haggle',
 *   protocol,
 *   run: async (ctx) => {
 *     const session = ctx.initiate('CN=Bob, O=Bob, L=Paris, C=FR');
 *     await session.send({ cents: 100 });
 *     try {
 *       return await session.receive(price);
 *     } catch (error) {
 *       if (error instanceof CounterpartyDataError) return `no price: ${error.message}`;
 *       throw error;
 *     } finally {
 *       await session.close();
 *     }
 *   },
 * });
 *
 * export const refuse = responderFlow({
 *   name: 'com.example.Refuse',
 *   protocol,
 *   run: async (ctx, session) => {
 *     const { cents } = await session.receive(price);
 *     await session.send({ cents: `${cents} is too little` });
 *   },
 * });
 * ```
 */
export type FlowSession = {
  /** Canonical X.500 name of the other side at the responder; at the initiator the name it was opened with. */
  readonly counterparty: string;
  /** The protocol version both sides agreed on; `undefined` at an initiator of several versions until the answer told. */
  readonly protocolVersion: number | undefined;
  /**
   * Sends a value as JSON (up to 500,000 characters); done when the platform has taken charge of it, not when it has arrived.
   * Errors: SESSION_CLOSED, SESSION_ERROR, SESSION_DATA_TOO_LARGE, MEMBER_NOT_FOUND, COUNTERPARTY_UNDELIVERED, VALUE_NOT_JSON.
   */
  send(value: unknown): Promise<void>;
  /**
   * Waits for the next value and reads it with the schema: until then it is a stranger's data. Errors: CounterpartyDataError when
   * it does not satisfy the schema; SESSION_CLOSED, SESSION_ERROR, SESSION_TIMEOUT, MEMBER_NOT_FOUND, COUNTERPARTY_UNDELIVERED;
   * OPERATION_INVALID where this side opened the session and has sent nothing yet.
   */
  receive<T>(schema: StandardSchema<T>): Promise<T>;
  /** `send` and then `receive` in one operation, which is quicker than the two. Errors: of both. */
  sendAndReceive<T>(value: unknown, schema: StandardSchema<T>): Promise<T>;
  /** Says that this side has finished. Afterwards every operation of the session but `close` fails with SESSION_CLOSED. */
  close(): Promise<void>;
};

/** Writes to the worker's log, silent during replay. Fields must be JSON. Never log secrets. */
export type FlowLog = {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
};
export type LogFields = { readonly [key: string]: unknown };
