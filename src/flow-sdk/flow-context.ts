/** What flow code may do: the context that every flow is given, and the sessions it holds with counterparties. */
import type { FlowCrypto } from './crypto.ts';
import type { FlowDatabase } from './database.ts';
import type { Protocol, SubFlow } from './flow.ts';
import type { FlowJson } from './json.ts';
import type { FlowGroup, FlowMembers } from './members.ts';
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
  /** UUID of this flow; sub-flows share it. A flow that is started under the client request id of one that was removed has the same. */
  readonly flowId: string;

  /**
   * Opens a session with a member of this group. Nothing is sent until the session's first operation.
   *
   * @param counterparty X.500 name of the member.
   * @param options by default the protocol of this flow; a name or a protocol for a flow that speaks several; or more (see
   * `SessionOptions`). A bare name that is not this flow's own means version 1.
   * @throws PROTOCOL_MISSING when neither this flow nor the call names a protocol. An unknown counterparty shows at the first
   * operation of the session, as MEMBER_NOT_FOUND.
   */
  initiate(counterparty: string, options?: string | Protocol | SessionOptions): FlowSession;

  /**
   * Runs another flow inside this one and returns its result. A sub-flow with a protocol of its own is *initiating*: sessions it
   * opened are closed when it returns and failed when it throws. Without one it is *inline*: it speaks its caller's protocol, and
   * the sessions it opens are its caller's. Its errors come to the caller; its changes to properties do not.
   */
  subFlow<Input, Result>(flow: SubFlow<Input, Result>, input: Input): Promise<Result>;

  /** Sends one value in several sessions, in all of them or in none. Errors: as `FlowSession.send`. */
  sendAll(value: unknown, sessions: readonly FlowSession[]): Promise<void>;
  /** Sends each session its own value, to all of them or to none. Errors: as `FlowSession.send`. */
  sendAllMap(values: ReadonlyMap<FlowSession, unknown>): Promise<void>;
  /**
   * Waits for one value in each of several sessions, in the order of the sessions. When one of them fails, so does the operation,
   * and what the others have said can still be received. Errors: as `FlowSession.receive`; OPERATION_INVALID for a session that is
   * named twice.
   */
  receiveAll<T>(schema: StandardSchema<T>, sessions: readonly FlowSession[], options?: ReceiveOptions): Promise<T[]>;
  /** `receiveAll` with a schema for each session, and a value for each. */
  receiveAllMap<T>(schemas: ReadonlyMap<FlowSession, StandardSchema<T>>, options?: ReceiveOptions): Promise<Map<FlowSession, T>>;

  /**
   * Does some work within a time. When it is over, every operation that the work's own context is waiting for is given up and
   * fails with DEADLINE_EXCEEDED, and so does this one; a message that was not handed out by then can be received later. The work
   * reaches sessions of the outside through `ctx.within(session)`.
   *
   * @example
   * ```ts
   * import { FlowPlatformError, startableFlow } from '@cordage/flow-sdk';
   *
   * export const impatient = startableFlow({
   *   name: 'com.example.Impatient',
   *   run: async (ctx) => {
   *     try {
   *       return await ctx.deadline(1_000, async (inner) => {
   *         await inner.sleep(60_000);
   *         return 'slept well';
   *       });
   *     } catch (error) {
   *       if (error instanceof FlowPlatformError && error.code === 'DEADLINE_EXCEEDED') return 'got up';
   *       throw error;
   *     }
   *   },
   * });
   * ```
   */
  deadline<Result>(durationMs: number, work: (ctx: FlowContext) => Promise<Result>): Promise<Result>;
  /** The same session, its operations belonging to the deadline of this context. */
  within(session: FlowSession): FlowSession;

  /**
   * Ends this run and begins another of the same flow: same id, same code, a new input and an empty journal. For flows that live
   * long: their journal would grow without end. Never returns. The sessions of this run must be over; what else is pending is
   * dropped; properties are kept. Errors: OPERATION_INVALID where a session is open, or in a flow that REST did not start.
   *
   * @example
   * ```ts
   * import { startableFlow } from '@cordage/flow-sdk';
   *
   * const countFrom = (input: unknown): number => (typeof input === 'number' ? input : 0);
   *
   * export const everyHour = startableFlow({
   *   name: 'com.example.EveryHour',
   *   run: async (ctx, input) => {
   *     const hours = countFrom(input);
   *     await ctx.sleep(3_600_000);
   *     if (hours < 2) await ctx.continueAs(hours + 1);
   *     return hours;
   *   },
   * });
   * ```
   */
  continueAs(input: unknown): Promise<never>;

  /** Texts that travel with the flow. */
  readonly properties: FlowProperties;
  readonly db: FlowDatabase;
  readonly crypto: FlowCrypto;
  readonly members: FlowMembers;
  readonly group: FlowGroup;
  readonly json: FlowJson;
  readonly log: FlowLog;

  /** Milliseconds since the epoch, at the time of the event that woke this flow: it stands still between operations. */
  now(): number;
  /** A UUID that no other flow has, not even one that is started again under the same client request id. Not secret. */
  uuid(): string;
  /** A number of [0, 1). Not secret: anyone who knows what began the flow can derive it. */
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
   * Sends a value as JSON (up to 4,000,000 characters; above some hundred thousand it travels in several messages); done when the
   * platform has taken charge of it, not when it has arrived.
   * Errors: SESSION_CLOSED, SESSION_ERROR, SESSION_DATA_TOO_LARGE, MEMBER_NOT_FOUND, COUNTERPARTY_UNDELIVERED, VALUE_NOT_JSON.
   */
  send(value: unknown): Promise<void>;
  /**
   * Waits for the next value and reads it with the schema: until then it is a stranger's data. Where this side opened the session
   * and has sent nothing yet, the counterparty's flow is begun by this. Errors: CounterpartyDataError when the value does not
   * satisfy the schema; SESSION_CLOSED, SESSION_ERROR, SESSION_TIMEOUT, MEMBER_NOT_FOUND, COUNTERPARTY_UNDELIVERED;
   * RECEIVE_TIMEOUT when `timeoutMs` is over, with the session as it was.
   */
  receive<T>(schema: StandardSchema<T>, options?: ReceiveOptions): Promise<T>;
  /** `send` and then `receive` in one operation, which is quicker than the two. Errors: of both. */
  sendAndReceive<T>(value: unknown, schema: StandardSchema<T>, options?: ReceiveOptions): Promise<T>;
  /** What both sides agreed on; asks the counterparty where this side does not know it yet. Errors: as `receive`. */
  counterpartyInfo(): Promise<CounterpartyInfo>;
  /**
   * Says that this side has finished. Afterwards every operation of the session but `close` fails with SESSION_CLOSED. At the
   * initiator of a session with `requireClose` it waits until the counterparty has closed too, and fails as `receive` does when
   * the counterparty fails instead.
   */
  close(): Promise<void>;
};

/** How a session is opened. */
export type SessionOptions = {
  readonly protocol?: string | Protocol;
  /** How long the session may be silent before it fails with SESSION_TIMEOUT, on both sides; 1 ms to 366 days, by default 30 minutes. */
  readonly timeoutMs?: number;
  /**
   * Whether closing waits for the counterparty: then the flow ends after the counterparty's flow has, or has closed the session.
   * By default it does not wait (Corda's does): a close is delivered reliably, and a flow with nothing left to say may end.
   */
  readonly requireClose?: boolean;
  /**
   * Whether the counterparty's cluster signs for each message that this side sends: non-repudiation of receipt. The receipts are kept
   * for operators (`GET /link/{shortHash}/receipts`). There are none between members of one cluster.
   */
  readonly receipts?: boolean;
  /** Properties that this session's flow is given beside those of this flow. */
  readonly properties?: Readonly<Record<string, string>>;
};

export type ReceiveOptions = {
  /** Milliseconds to wait, at least; without it as long as the session lives. */
  readonly timeoutMs?: number;
};

export type CounterpartyInfo = {
  readonly counterparty: string;
  /** The protocol and the version that both sides agreed on. */
  readonly protocol: { readonly name: string; readonly version: number };
  /** Corda's session properties: `corda.protocol`, `corda.protocol.version`, `corda.session.requireClose`, `corda.session.timeout`. */
  readonly properties: Readonly<Record<string, string>>;
};

/**
 * Properties of a flow: the platform's (`corda.…`, read only) and the application's. They are copied to sub-flows and to the
 * flows of counterparties, where the platform's are renamed `corda.initiator.…`; changes there do not come back.
 *
 * @example
 * ```ts
 * import { startableFlow, subFlow } from '@cordage/flow-sdk';
 *
 * const inner = subFlow({
 *   name: 'com.example.ReadTrace',
 *   run: async (ctx) => {
 *     const seen = ctx.properties.get('trace');
 *     ctx.properties.put('trace', 'changed inside');
 *     return seen;
 *   },
 * });
 *
 * export const traced = startableFlow({
 *   name: 'com.example.Traced',
 *   run: async (ctx) => {
 *     ctx.properties.put('trace', 'a-1');
 *     const seen = await ctx.subFlow(inner, null);
 *     return { seen, kept: ctx.properties.get('trace'), account: ctx.properties.get('corda.account') ?? null };
 *   },
 * });
 * ```
 */
export type FlowProperties = {
  get(name: string): string | undefined;
  /** Errors: PROPERTY_INVALID for a name that begins with `corda`, or for more than 100 properties or 20,000 characters. */
  put(name: string, value: string): void;
  all(): Readonly<Record<string, string>>;
};

/** Writes to the worker's log, silent during replay. Fields must be JSON. Never log secrets. */
export type FlowLog = {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
};
export type LogFields = { readonly [key: string]: unknown };
