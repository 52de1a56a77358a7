/**
 * Turns the typed API of the SDK into the raw operations of operations.ts. The engine makes one context for each run of a flow,
 * in the sandbox thread; nothing is imported but the files beside this one.
 *
 * Whatever this file asks of its host is part of every journal. A change to the order, the kinds or the parameters of its calls
 * breaks the replay of flows under way.
 */
import type { Entity } from './entity.ts';
import { CounterpartyDataError, FlowPlatformError } from './errors.ts';
import type { Flow, FlowDeclaration, Protocol, SubFlow } from './flow.ts';
import type { FlowContext, FlowCrypto, FlowDatabase, FlowLog, FlowMembers, FlowSession } from './flow-context.ts';
import type { AnswerOf, ContextHost, EntityItem, OperationKind, ParamsOf } from './operations.ts';
import { issuesText } from './standard-schema.ts';
import type { StandardSchema } from './standard-schema.ts';

/** How the responder's end of a session begins. */
export type ResponderSession = {
  readonly sessionId: string;
  /** Canonical X.500 name of who opened the session. */
  readonly counterparty: string;
  /** The highest protocol version both sides speak. */
  readonly protocolVersion: number;
};

/** What begins a run: the REST argument, already read from its JSON text, or the session that a counterparty opened. */
export type FlowStart =
  | { readonly type: 'input'; readonly input: unknown }
  | { readonly type: 'session'; readonly session: ResponderSession };

/** One run of one flow or sub-flow: the protocol it speaks and the sessions it opened. */
type Frame = { readonly host: ContextHost; readonly protocol: Protocol | undefined; readonly opened: string[] };

const queryCountDefault = 100;
/** The longest a flow may sleep: a leap year, in milliseconds. */
const sleepMsMax = 366 * 24 * 60 * 60 * 1000;
/** How much of an error a counterparty is told when a sub-flow fails, in UTF-16 code units. */
const failMessageCharsMax = 2_000;

// ── The door ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** The context of a flow; its protocol is what `initiate` speaks by default. */
export const createContext = (host: ContextHost, declaration: Pick<FlowDeclaration, 'protocol'> = {}): FlowContext =>
  contextOf({ host, protocol: declaration.protocol, opened: [] });

/** The responder's end of a session. */
export const createResponderSession = (host: ContextHost, session: ResponderSession): FlowSession =>
  sessionOf(host, session.sessionId, session.counterparty, session.protocolVersion);

/**
 * Runs a flow to its end and answers its result as REST shows it: a string as it is, anything else as JSON text, `null` for
 * nothing. Rejects with whatever the flow threw. Closing the flow's sessions afterwards is the engine's.
 */
export const runFlow = async (flow: Flow, host: ContextHost, start: FlowStart): Promise<string | null> => {
  const ctx = createContext(host, flow.declaration);
  const argument = start.type === 'session' ? createResponderSession(host, start.session) : start.input;
  // The kinds take different second arguments; the engine starts a flow with what its kind takes.
  const run = flow.run as (ctx: FlowContext, argument: unknown) => Promise<unknown>;
  const result = await run(ctx, argument);
  if (result === undefined || result === null) return null;
  return typeof result === 'string' ? result : toJson(result, 'the result of the flow');
};

const contextOf = (frame: Frame): FlowContext => {
  const { host } = frame;
  return {
    me: host.me,
    flowId: host.flowId,
    initiate: (counterparty, protocol) => initiate(frame, counterparty, protocol),
    subFlow: (flow, input) => runSubFlow(frame, flow, input),
    db: databaseOf(host),
    crypto: cryptoOf(host),
    members: membersOf(host),
    log: logOf(host),
    now: () => host.now(),
    uuid: () => host.uuid(),
    random: () => host.random(),
    sleep: async (durationMs) => {
      if (!(durationMs >= 0 && durationMs <= sleepMsMax)) {
        throw new FlowPlatformError('OPERATION_INVALID', `sleep takes 0 to ${sleepMsMax} milliseconds, not ${String(durationMs)}`);
      }
      await perform(host, 'sleep', { durationMs });
    },
  };
};

// ── Operations ───────────────────────────────────────────────────────────────────────────────────────────────────────

const isRefusal = (error: unknown): error is { code: string; message: string } =>
  typeof error === 'object' &&
  error !== null &&
  !(error instanceof Error) &&
  'code' in error &&
  'message' in error &&
  typeof error.code === 'string' &&
  typeof error.message === 'string';

const perform = async <Kind extends OperationKind>(host: ContextHost, kind: Kind, params: ParamsOf<Kind>): Promise<AnswerOf<Kind>> => {
  try {
    return await host.operation(kind, params);
  } catch (error) {
    if (!isRefusal(error)) throw error;
    throw new FlowPlatformError(error.code, error.message);
  }
};

const toJson = (value: unknown, what: string): string => {
  let json: string | undefined;
  let fault = '';
  try {
    // The library's type leaves out that functions, symbols and undefined give undefined.
    json = JSON.stringify(value) as string | undefined;
  } catch (error) {
    fault = `: ${error instanceof Error ? error.message : String(error)}`;
  }
  if (json === undefined) throw new FlowPlatformError('VALUE_NOT_JSON', `${what} cannot be written as JSON${fault}`);
  return json;
};

// ── Sessions ─────────────────────────────────────────────────────────────────────────────────────────────────────────

const protocolFor = (frame: Frame, asked: string | Protocol | undefined): Protocol => {
  if (typeof asked === 'object') return asked;
  if (asked !== undefined && asked !== frame.protocol?.name) return { name: asked, versions: [1] };
  if (frame.protocol !== undefined) return frame.protocol;
  throw new FlowPlatformError('PROTOCOL_MISSING', 'the flow declares no protocol: add `protocol: { name, versions }` to it, or name one');
};

const initiate = (frame: Frame, counterparty: string, asked: string | Protocol | undefined): FlowSession => {
  const protocol = protocolFor(frame, asked);
  const { sessionId } = frame.host.openSession({ counterparty, protocol: { name: protocol.name, versions: [...protocol.versions] } });
  frame.opened.push(sessionId);
  const version = protocol.versions.length === 1 ? protocol.versions[0] : undefined;
  return sessionOf(frame.host, sessionId, counterparty, version);
};

const sessionOf = (host: ContextHost, sessionId: string, counterparty: string, version: number | undefined): FlowSession => {
  let protocolVersion = version;
  const read = async <T>(received: AnswerOf<'session.receive'>, schema: StandardSchema<T>): Promise<T> => {
    protocolVersion = received.protocolVersion ?? protocolVersion;
    return await readCounterpartyData(received.json, schema);
  };
  return {
    counterparty,
    get protocolVersion() {
      return protocolVersion;
    },
    send: async (value) => {
      await perform(host, 'session.send', { sessionId, json: toJson(value, 'the value sent') });
    },
    receive: async (schema) => await read(await perform(host, 'session.receive', { sessionId }), schema),
    sendAndReceive: async (value, schema) =>
      await read(await perform(host, 'session.sendAndReceive', { sessionId, json: toJson(value, 'the value sent') }), schema),
    close: async () => {
      await perform(host, 'session.close', { sessionId });
    },
  };
};

const readCounterpartyData = async <T>(json: string, schema: StandardSchema<T>): Promise<T> => {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    throw new CounterpartyDataError('the message is not JSON');
  }
  const result = await schema['~standard'].validate(value);
  if (result.issues !== undefined) throw new CounterpartyDataError(issuesText(result.issues));
  return result.value;
};

// ── Sub-flows ────────────────────────────────────────────────────────────────────────────────────────────────────────

const runSubFlow = async <Input, Result>(parent: Frame, flow: SubFlow<Input, Result>, input: Input): Promise<Result> => {
  const { host } = parent;
  const frame: Frame = { host, protocol: flow.declaration.protocol ?? parent.protocol, opened: [] };
  let result: Result;
  try {
    result = await flow.run(contextOf(frame), input);
  } catch (error) {
    const message = (error instanceof Error ? error.message : String(error)).slice(0, failMessageCharsMax);
    await Promise.all(frame.opened.map((sessionId) => perform(host, 'session.fail', { sessionId, message })));
    throw error;
  }
  await Promise.all(frame.opened.map((sessionId) => perform(host, 'session.close', { sessionId })));
  return result;
};

// ── The vault ────────────────────────────────────────────────────────────────────────────────────────────────────────

const itemsOf = <T extends object>(entity: Entity<T>, values: readonly T[]): EntityItem[] =>
  values.map((value) => ({ id: entity.id(value), json: toJson(value, `the ${entity.name}`) }));

const readEntity = async <T extends object>(entity: Entity<T>, item: EntityItem): Promise<T> => {
  const value: unknown = JSON.parse(item.json);
  // Without a schema the application trusts its own vault (see EntityDefinition.schema).
  if (entity.schema === undefined) return value as T;
  const result = await entity.schema['~standard'].validate(value);
  if (result.issues === undefined) return result.value;
  throw new FlowPlatformError('DB_ENTITY_INVALID', `${entity.name} "${item.id}": ${issuesText(result.issues)}`);
};

const readEntities = <T extends object>(entity: Entity<T>, items: readonly EntityItem[]): Promise<T[]> =>
  Promise.all(items.map((item) => readEntity(entity, item)));

const databaseOf = (host: ContextHost): FlowDatabase => ({
  persist: async (entity, ...values) => {
    await perform(host, 'db.persist', { entity: entity.name, items: itemsOf(entity, values) });
  },
  merge: async (entity, ...values) => {
    await perform(host, 'db.merge', { entity: entity.name, items: itemsOf(entity, values) });
  },
  remove: async (entity, ...ids) => (await perform(host, 'db.remove', { entity: entity.name, ids })).ids.length,
  find: async (entity, id) => {
    const { items } = await perform(host, 'db.find', { entity: entity.name, ids: [id] });
    return items[0] === undefined ? undefined : await readEntity(entity, items[0]);
  },
  findAll: async (entity, ids) => {
    const { items } = await perform(host, 'db.find', { entity: entity.name, ids: [...ids] });
    return await readEntities(entity, items);
  },
  query: async (entity, where, page = {}) => {
    const { countMax = queryCountDefault, after } = page;
    // Absent fields of a filter are typed `undefined`; JSON leaves them out, and so must the parameters.
    const fields = JSON.parse(JSON.stringify(where)) as ParamsOf<'db.query'>['where'];
    const params = { entity: entity.name, where: fields, countMax, ...(after === undefined ? {} : { after }) };
    const answer = await perform(host, 'db.query', params);
    const values = await readEntities(entity, answer.items);
    return answer.after === undefined ? { values } : { values, after: answer.after };
  },
});

// ── Keys, members, log ───────────────────────────────────────────────────────────────────────────────────────────────

const cryptoOf = (host: ContextHost): FlowCrypto => ({
  sign: async (data, options = {}) => {
    const { keyId, spec } = options;
    const params = { data: base64urlOf(data), ...(keyId === undefined ? {} : { keyId }), ...(spec === undefined ? {} : { spec }) };
    if (params.data === '') throw new FlowPlatformError('OPERATION_INVALID', 'there is nothing to sign: the data is empty');
    return await perform(host, 'crypto.sign', params);
  },
  verify: async (data, { signature, publicKey, spec }) => {
    const answer = await perform(host, 'crypto.verify', { data: base64urlOf(data), signature, publicKey, spec });
    return answer.valid;
  },
});

const membersOf = (host: ContextHost): FlowMembers => ({
  find: async (x500Name) => (await perform(host, 'members.find', { x500Name })).member ?? undefined,
  all: async () => (await perform(host, 'members.all', {})).members,
});

const logOf = (host: ContextHost): FlowLog => ({
  debug: (message, fields) => host.log('debug', message, fields),
  info: (message, fields) => host.log('info', message, fields),
  warn: (message, fields) => host.log('warn', message, fields),
  error: (message, fields) => host.log('error', message, fields),
});

// ── Bytes, without a platform ────────────────────────────────────────────────────────────────────────────────────────

const digits = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';

/** base64url (RFC 4648 §5) of bytes or of a text's UTF-8. A Compartment has neither TextEncoder nor btoa. */
const base64urlOf = (data: Uint8Array | string): string => {
  const bytes = typeof data === 'string' ? utf8Of(data) : data;
  const text: string[] = [];
  for (let i = 0; i < bytes.length; i += 3) {
    const left = bytes.length - i;
    const word = (bytes[i]! << 16) | ((bytes[i + 1] ?? 0) << 8) | (bytes[i + 2] ?? 0);
    text.push(digits[word >> 18]!, digits[(word >> 12) & 63]!);
    if (left > 1) text.push(digits[(word >> 6) & 63]!);
    if (left > 2) text.push(digits[word & 63]!);
  }
  return text.join('');
};

/** UTF-8 (RFC 3629); a lone surrogate becomes U+FFFD, as TextEncoder has it. */
const utf8Of = (text: string): number[] => {
  const bytes: number[] = [];
  for (const char of text) {
    const point = char.codePointAt(0)!;
    const code = point >= 0xd800 && point <= 0xdfff ? 0xfffd : point;
    if (code < 0x80) bytes.push(code);
    else if (code < 0x800) bytes.push(0xc0 | (code >> 6), 0x80 | (code & 63));
    else if (code < 0x10000) bytes.push(0xe0 | (code >> 12), 0x80 | ((code >> 6) & 63), 0x80 | (code & 63));
    else bytes.push(0xf0 | (code >> 18), 0x80 | ((code >> 12) & 63), 0x80 | ((code >> 6) & 63), 0x80 | (code & 63));
  }
  return bytes;
};
