/**
 * The contract between flow code and the engine that runs it: what a context asks of its host.
 *
 * `createContext` (context.ts) turns the typed API of the SDK into these raw calls; the engine implements `ContextHost`. Both
 * run in the sandbox thread, and nothing here imports anything.
 *
 * Two kinds of call:
 * - **Operations** reach outside, take time and may fail: `host.operation(kind, params)`. Each is a suspension point. The host
 *   numbers them in the order in which they are called; replaying a flow calls the same kinds with the same parameters in the
 *   same order, so the number names the operation in the journal and in the request ids derived from it. Several may be under
 *   way at once (`Promise.all`).
 * - **Synchronous calls** give the same values in a replay because the host derives or journals them.
 *
 * A host refuses an operation by rejecting with `{ code, message }` (codes: `FlowErrorCode` in errors.ts); flow code then sees a
 * `FlowPlatformError`, which it may catch. A rejection of any other shape passes through unchanged. A host that wants to stop a
 * flow (kill, eviction) leaves its promises unsettled.
 */

export type JsonValue = string | number | boolean | null | readonly JsonValue[] | { readonly [key: string]: JsonValue };

/** An entity as it travels: its id, and its JSON text. */
export type EntityItem = { readonly id: string; readonly json: string };

/** A member of this flow's group, as the network describes it. */
export type MemberInfo = {
  /** Canonical X.500 name. */
  readonly x500Name: string;
  readonly groupId: string;
  readonly status: 'ACTIVE' | 'PENDING' | 'SUSPENDED';
  readonly serial: number;
  /** As Corda names them: `corda.name`, `corda.endpoints.0.connectionURL`, `ext.…`. */
  readonly memberContext: { readonly [key: string]: string };
  readonly sessionKeys: readonly MemberKey[];
  readonly ledgerKeys: readonly MemberKey[];
};

export type MemberKey = {
  /** SubjectPublicKeyInfo in DER, base64url. */
  readonly publicKey: string;
  /** Corda's signature spec name, for example `SHA256withECDSA` or `EdDSA`. */
  readonly spec: string;
};

export type Signature = {
  /** The signature, base64url. ECDSA signatures are DER, as Java writes them. */
  readonly signature: string;
  /** SubjectPublicKeyInfo of the key that signed, DER in base64url. */
  readonly publicKey: string;
  readonly spec: string;
};

/** Nothing to tell beyond that it is done. */
export type Done = { readonly [key: string]: never };

/** A session message as received. */
export type ReceivedData = {
  /** JSON text of the counterparty's value, not yet parsed. */
  readonly json: string;
  /** The protocol version both sides agreed on, where the host knows it by now. */
  readonly protocolVersion?: number;
};

/** Every kind of operation with its parameters and its answer. All values are JSON. */
export type Operations = {
  /**
   * Sends the next message of a session: done as soon as the engine owes it, not when it has arrived. The first message of a
   * session the flow opened carries the init.
   * Refused: SESSION_CLOSED, SESSION_ERROR, SESSION_DATA_TOO_LARGE, MEMBER_NOT_FOUND, COUNTERPARTY_UNDELIVERED.
   */
  readonly 'session.send': { readonly params: { readonly sessionId: string; readonly json: string }; readonly answer: Done };
  /**
   * Waits for the next message of a session. Messages that arrived before a close or an error are handed out first.
   * Refused: SESSION_CLOSED, SESSION_ERROR, SESSION_TIMEOUT, MEMBER_NOT_FOUND, COUNTERPARTY_UNDELIVERED; OPERATION_INVALID on a
   * session that this flow opened and sent nothing on yet, since the counterparty does not know of it.
   */
  readonly 'session.receive': { readonly params: { readonly sessionId: string }; readonly answer: ReceivedData };
  /** `session.send` and `session.receive` as one operation: one journal entry, one suspension. Refused as either. */
  readonly 'session.sendAndReceive': {
    readonly params: { readonly sessionId: string; readonly json: string };
    readonly answer: ReceivedData;
  };
  /**
   * Tells the counterparty that this side has finished; done as soon as the engine owes it. Never refused: a session that is
   * closed, failed or unused already is left as it is.
   */
  readonly 'session.close': { readonly params: { readonly sessionId: string }; readonly answer: Done };
  /**
   * Tells the counterparty that this side's sub-flow failed: its next operation is refused with SESSION_ERROR. Never refused,
   * like `session.close`.
   */
  readonly 'session.fail': { readonly params: { readonly sessionId: string; readonly message: string }; readonly answer: Done };

  /** Refused: DB_ENTITY_EXISTS when an id is there already (then nothing was stored), DB_REFUSED. */
  readonly 'db.persist': { readonly params: { readonly entity: string; readonly items: readonly EntityItem[] }; readonly answer: Done };
  /** Inserts or replaces. Refused: DB_REFUSED. */
  readonly 'db.merge': { readonly params: { readonly entity: string; readonly items: readonly EntityItem[] }; readonly answer: Done };
  /** Answers the ids that were there and are gone. Refused: DB_REFUSED. */
  readonly 'db.remove': {
    readonly params: { readonly entity: string; readonly ids: readonly string[] };
    readonly answer: { readonly ids: readonly string[] };
  };
  /** Answers the entities that exist, in no promised order. Refused: DB_REFUSED. */
  readonly 'db.find': {
    readonly params: { readonly entity: string; readonly ids: readonly string[] };
    readonly answer: { readonly items: readonly EntityItem[] };
  };
  /**
   * Entities whose top-level fields equal `where`, in order of id, `countMax` at most, after the id `after`. The answer's
   * `after` stands when there may be more. Refused: DB_REFUSED.
   */
  readonly 'db.query': {
    readonly params: {
      readonly entity: string;
      readonly where: { readonly [field: string]: string | number | boolean | null };
      readonly countMax: number;
      readonly after?: string;
    };
    readonly answer: { readonly items: readonly EntityItem[]; readonly after?: string };
  };

  /**
   * Signs with a key of this virtual node. Without `keyId` the host takes the first ledger key of the node's own member info,
   * or else its first session key. Without `spec` the key's scheme decides.
   * Refused: CRYPTO_KEY_NOT_FOUND, CRYPTO_REFUSED.
   */
  readonly 'crypto.sign': {
    readonly params: {
      /** What is signed, base64url; never empty. */
      readonly data: string;
      readonly keyId?: string;
      readonly spec?: string;
    };
    readonly answer: Signature;
  };
  /** Checks a signature by anyone's public key; a malformed key or signature is merely not valid. */
  readonly 'crypto.verify': {
    readonly params: Signature & { readonly data: string };
    readonly answer: { readonly valid: boolean };
  };

  /** A member of this flow's group by X.500 name (in any attribute order), `null` where there is none. */
  readonly 'members.find': { readonly params: { readonly x500Name: string }; readonly answer: { readonly member: MemberInfo | null } };
  /** Every member of this flow's group that is ACTIVE, in order of name. */
  readonly 'members.all': { readonly params: Done; readonly answer: { readonly members: readonly MemberInfo[] } };

  /** Waits; the flow may leave memory meanwhile. */
  readonly sleep: { readonly params: { readonly durationMs: number }; readonly answer: Done };
};

export type OperationKind = keyof Operations;
export type ParamsOf<Kind extends OperationKind> = Operations[Kind]['params'];
export type AnswerOf<Kind extends OperationKind> = Operations[Kind]['answer'];

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

/** What the engine gives to the context of one flow. */
export type ContextHost = {
  /** The virtual node that this flow runs for. */
  readonly me: { readonly x500Name: string; readonly groupId: string; readonly shortHash: string };
  readonly flowId: string;

  /** Performs an operation, or takes its outcome from the journal. May be called only while flow code runs. */
  operation<Kind extends OperationKind>(kind: Kind, params: ParamsOf<Kind>): Promise<AnswerOf<Kind>>;

  /**
   * Names a new session; nothing is sent until its first operation. The id is derived from the flow id and a counter, so a
   * replay gets the same one.
   */
  openSession(params: {
    readonly counterparty: string;
    readonly protocol: { readonly name: string; readonly versions: readonly number[] };
  }): { readonly sessionId: string };

  /** Milliseconds since the epoch: the time of the event that the flow is handling. */
  now(): number;
  /** A number of [0, 1), derived: for sampling and jitter, not for secrets. */
  random(): number;
  /** A UUID, derived from flow id and a counter: unique, not secret. */
  uuid(): string;
  /** Writes a line to the worker's log; silent while a flow is replayed. Bounds are the host's. */
  log(level: LogLevel, message: string, fields?: { readonly [key: string]: unknown }): void;
};
