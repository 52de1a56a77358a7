/**
 * The contract between flow code and the engine that runs it: what a context asks of its host.
 *
 * `createContext` (context.ts) turns the typed API of the SDK into these raw calls; the engine implements `ContextHost`. Both
 * run in the sandbox, and nothing here imports anything.
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

export type Scalar = string | number | boolean | null;

/** A condition on one top-level field of an entity: `gt`, `gte`, `lt`, `lte`, `in`, `prefix`. */
export type EntityCondition = { readonly field: string; readonly operator: string; readonly value: Scalar | readonly Scalar[] };

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

export type MemberStatus = MemberInfo['status'];
/** Attributes of an X.500 name. */
export type MemberAttributes = { readonly [Attribute in 'CN' | 'OU' | 'O' | 'L' | 'ST' | 'C']?: string };

/** Parameters of a group. */
export type GroupInfo = { readonly groupId: string; readonly epoch: number; readonly parameters: { readonly [key: string]: string } };

export type KeyCategory = 'ACCOUNTS' | 'CI' | 'LEDGER' | 'NOTARY' | 'PRE_AUTH' | 'SESSION_INIT' | 'TLS' | 'JWT_KEY' | 'ENCRYPTION_SECRET';

/** A key of this virtual node. */
export type OwnKey = {
  /** First 12 upper-case hex digits of SHA-256 over the public key: what `sign` takes as `keyId`. */
  readonly id: string;
  readonly alias: string;
  readonly category: string;
  /** For example `CORDA.EDDSA.ED25519`. */
  readonly scheme: string;
  /** SubjectPublicKeyInfo in DER, base64url. */
  readonly publicKey: string;
};

/** Corda's names; `SHA-256D` is SHA-256 of SHA-256. */
export type DigestAlgorithm = 'SHA-256' | 'SHA-256D' | 'SHA-384' | 'SHA-512' | 'SHA3-256' | 'SHA3-384' | 'SHA3-512' | 'BLAKE2B-256' | 'BLAKE2B-512';

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
  /** The next message of several sessions, of all or none. Refused as `session.send`. */
  readonly 'session.sendAll': {
    readonly params: { readonly messages: readonly { readonly sessionId: string; readonly json: string }[] };
    readonly answer: Done;
  };
  /**
   * Waits for the next message of a session. Messages that arrived before a close or an error are handed out first. Where the
   * flow opened the session and sent nothing on it yet, the init goes out alone.
   * Refused: SESSION_CLOSED, SESSION_ERROR, SESSION_TIMEOUT, MEMBER_NOT_FOUND, COUNTERPARTY_UNDELIVERED, RECEIVE_TIMEOUT.
   */
  readonly 'session.receive': { readonly params: { readonly sessionId: string; readonly timeoutMs?: number }; readonly answer: ReceivedData };
  /** Waits for the next message of each of several sessions; refused when one of them is, and then nothing was taken from the others. */
  readonly 'session.receiveAll': {
    readonly params: { readonly sessionIds: readonly string[]; readonly timeoutMs?: number };
    readonly answer: { readonly messages: readonly ReceivedData[] };
  };
  /** `session.send` and `session.receive` as one operation: one journal entry, one suspension. Refused as either. */
  readonly 'session.sendAndReceive': {
    readonly params: { readonly sessionId: string; readonly json: string; readonly timeoutMs?: number };
    readonly answer: ReceivedData;
  };
  /** What both sides agreed on; asks the counterparty where that is not known yet. Refused as `session.receive`. */
  readonly 'session.info': {
    readonly params: { readonly sessionId: string };
    readonly answer: { readonly protocol: string; readonly protocolVersion: number; readonly properties: { readonly [name: string]: string } };
  };
  /**
   * Tells the counterparty that this side has finished; done as soon as the engine owes it, or, where the session requires it,
   * when the counterparty has closed too. A session that is closed, failed or unused already is left as it is. Refused only
   * while it waits: SESSION_ERROR, SESSION_TIMEOUT, COUNTERPARTY_UNDELIVERED.
   */
  readonly 'session.close': { readonly params: { readonly sessionId: string }; readonly answer: Done };
  /**
   * Tells the counterparty that this side's sub-flow failed: its next operation is refused with SESSION_ERROR. Never refused,
   * like `session.close`.
   */
  readonly 'session.fail': { readonly params: { readonly sessionId: string }; readonly answer: Done };
  /** `session.close` and `session.fail` of several sessions at once. */
  readonly 'session.closeAll': { readonly params: { readonly sessionIds: readonly string[] }; readonly answer: Done };
  readonly 'session.failAll': { readonly params: { readonly sessionIds: readonly string[] }; readonly answer: Done };

  /** Begins the flow anew with another input and an empty journal; not answered when it does. Refused: OPERATION_INVALID. */
  readonly continueAs: {
    readonly params: { readonly json: string; readonly context: { readonly [name: string]: string }; readonly counters: FiberCounters };
    readonly answer: Done;
  };

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
   * Entities whose top-level fields equal `where` and fulfil the conditions, in order of id or of a field, `countMax` at most, after the
   * place `after`. The answer's `after` stands when there may be more. Refused: DB_REFUSED, DB_QUERY_TIMEOUT.
   */
  readonly 'db.query': {
    readonly params: {
      readonly entity: string;
      readonly where: { readonly [field: string]: Scalar };
      readonly conditions?: readonly EntityCondition[];
      readonly orderBy?: { readonly field: string; readonly descending: boolean };
      readonly countMax: number;
      readonly after?: string;
    };
    readonly answer: { readonly items: readonly EntityItem[]; readonly after?: string };
  };
  /** How many entities a query would find. Refused: DB_REFUSED, DB_QUERY_TIMEOUT. */
  readonly 'db.count': {
    readonly params: { readonly entity: string; readonly where: { readonly [field: string]: Scalar }; readonly conditions?: readonly EntityCondition[] };
    readonly answer: { readonly count: number };
  };
  /**
   * A query of the code unit's own tables: kysely's operation nodes. Refused: DB_QUERY_INVALID, DB_QUERY_REFUSED, DB_CONSTRAINT_VIOLATED,
   * DB_QUERY_TIMEOUT, DB_QUERY_TOO_LARGE, DB_REFUSED.
   */
  readonly 'db.run': {
    readonly params: { readonly query: { readonly [key: string]: JsonValue } };
    readonly answer: { readonly columns: readonly string[]; readonly rows: readonly (readonly JsonValue[])[]; readonly affected: number; readonly more: boolean };
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

  /** Keys of this virtual node: all, of a category, or those whose ids these public keys (20 at most) have. Refused: CRYPTO_REFUSED. */
  readonly 'crypto.myKeys': {
    readonly params: { readonly category?: KeyCategory; readonly publicKeys?: readonly string[] };
    readonly answer: { readonly keys: readonly OwnKey[] };
  };

  /** A member of this flow's group by X.500 name (in any attribute order), `null` where there is none. */
  readonly 'members.find': { readonly params: { readonly x500Name: string }; readonly answer: { readonly member: MemberInfo | null } };
  /** The member that published a key: the key in base64url, or its SHA-256 in hex, whole or the first 12 digits. */
  readonly 'members.findByKey': { readonly params: { readonly key: string }; readonly answer: { readonly member: MemberInfo | null } };
  /** Every member of this flow's group with these attributes and one of these statuses (ACTIVE unless given), in order of name. */
  readonly 'members.all': {
    readonly params: { readonly attributes?: MemberAttributes; readonly statuses?: readonly MemberStatus[] };
    readonly answer: { readonly members: readonly MemberInfo[] };
  };
  /** Parameters of this flow's group, `null` where none are published. */
  readonly 'group.parameters': { readonly params: Done; readonly answer: { readonly group: GroupInfo | null } };

  /** Waits; the flow may leave memory meanwhile. */
  readonly sleep: { readonly params: { readonly durationMs: number }; readonly answer: Done };
};

export type OperationKind = keyof Operations;
export type ParamsOf<Kind extends OperationKind> = Operations[Kind]['params'];
export type AnswerOf<Kind extends OperationKind> = Operations[Kind]['answer'];

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

/** How many operations, sessions and UUIDs a flow has made, and where its chance stands. */
export type FiberCounters = { readonly operations: number; readonly sessions: number; readonly uuids: number; readonly chance: number };

/** Operations that can be given up together: those that are pending are refused, and so are later ones. */
export type HostScope = { readonly host: ContextHost; cancel(refusal: { readonly code: string; readonly message: string }): void };

/** What the engine gives to the context of one flow. */
export type ContextHost = {
  /** The virtual node that this flow runs for. */
  readonly me: { readonly x500Name: string; readonly groupId: string; readonly shortHash: string };
  readonly flowId: string;

  /** Performs an operation, or takes its outcome from the journal. May be called only while flow code runs. */
  operation<Kind extends OperationKind>(kind: Kind, params: ParamsOf<Kind>): Promise<AnswerOf<Kind>>;

  /** A host of the same flow whose pending operations can be given up together. */
  openScope(): HostScope;

  /** Whether this flow began when the platform behaved as the flag says (engine/behaviour.ts). */
  has(flag: string): boolean;

  /** Properties that the flow began with. */
  readonly context: { readonly [name: string]: string };

  /** Where its counters stand: what a next run begins with, so that ids are never made twice. */
  counters(): FiberCounters;

  /**
   * Names a new session; nothing is sent until its first operation. The id is derived from the flow id and a counter, so a
   * replay gets the same one.
   */
  openSession(params: {
    readonly counterparty: string;
    readonly protocol: { readonly name: string; readonly versions: readonly number[] };
    readonly timeoutMs?: number;
    readonly requireClose?: boolean;
    readonly receipts?: boolean;
    /** Properties that the counterparty's flow is given. */
    readonly context: { readonly [name: string]: string };
  }): { readonly sessionId: string };

  /** Milliseconds since the epoch: the time of the event that the flow is handling. */
  now(): number;
  /** A number of [0, 1), derived: for sampling and jitter, not for secrets. */
  random(): number;
  /** A UUID, derived from flow id and a counter: unique, not secret. */
  uuid(): string;
  /** Digest in upper-case hex of bytes in base64url. Throws `{ code: 'OPERATION_INVALID' }` for an algorithm that it does not know. */
  digest(algorithm: DigestAlgorithm, data: string): string;
  /** Signature specs of a public key in base64url, the default first; none where it is no key. */
  specsOf(publicKey: string): readonly string[];
  /** Writes a line to the worker's log; silent while a flow is replayed. Bounds are the host's. */
  log(level: LogLevel, message: string, fields?: { readonly [key: string]: unknown }): void;
};
