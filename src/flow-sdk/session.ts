/** Sessions as flow code sees them: each end is a handle on a session that the engine holds. */
import { CounterpartyDataError, FlowPlatformError } from './errors.ts';
import type { CounterpartyInfo, FlowSession, ReceiveOptions } from './flow-context.ts';
import type { AnswerOf, ContextHost, OperationKind, ParamsOf } from './operations.ts';
import { perform, toJson } from './perform.ts';
import { issuesText } from './standard-schema.ts';
import type { StandardSchema } from './standard-schema.ts';

/** What a handle stands for. Two handles of one session, bound to different deadlines, share it. */
export type SessionEnd = {
  readonly sessionId: string;
  readonly counterparty: string;
  /** Learnt from the counterparty where the initiator speaks several. */
  version: number | undefined;
};

/** Handles are made here alone, so that nothing else can pass for one. */
const ends = new WeakMap<FlowSession, SessionEnd>();

export const endOf = (session: FlowSession): SessionEnd => {
  const end = ends.get(session);
  if (end === undefined) throw new FlowPlatformError('OPERATION_INVALID', 'this is no session of this flow: pass what ctx.initiate gave, or what a responder was given');
  return end;
};

/** A handle whose operations belong to this host. */
export const sessionOf = (host: ContextHost, end: SessionEnd): FlowSession => {
  const { sessionId } = end;
  const ask = <Kind extends OperationKind>(kind: Kind, params: ParamsOf<Kind>): Promise<AnswerOf<Kind>> => perform(host, kind, params);
  const session: FlowSession = {
    counterparty: end.counterparty,
    get protocolVersion() {
      return end.version;
    },
    send: async (value) => {
      await ask('session.send', { sessionId, json: toJson(value, 'the value sent') });
    },
    receive: async (schema, options) => await read(end, await ask('session.receive', { sessionId, ...timeoutOf(options) }), schema),
    sendAndReceive: async (value, schema, options) =>
      await read(end, await ask('session.sendAndReceive', { sessionId, json: toJson(value, 'the value sent'), ...timeoutOf(options) }), schema),
    counterpartyInfo: async () => {
      const info = await ask('session.info', { sessionId });
      end.version = info.protocolVersion;
      return infoOf(end, info);
    },
    close: async () => {
      await ask('session.close', { sessionId });
    },
  };
  ends.set(session, end);
  return session;
};

const infoOf = ({ counterparty }: SessionEnd, { protocol, protocolVersion, properties }: AnswerOf<'session.info'>): CounterpartyInfo => ({
  counterparty,
  protocol: { name: protocol, version: protocolVersion },
  properties,
});

/** Nothing where nothing is asked for: parameters are part of journals. */
const timeoutOf = (options: ReceiveOptions | undefined): { timeoutMs?: number } => (options?.timeoutMs === undefined ? {} : { timeoutMs: options.timeoutMs });

// ── Several sessions at once ─────────────────────────────────────────────────────────────────────────────────────────

export const sendAll = async (host: ContextHost, values: Iterable<readonly [FlowSession, unknown]>): Promise<void> => {
  const messages = [...values].map(([session, value]) => ({ sessionId: endOf(session).sessionId, json: toJson(value, 'the value sent') }));
  if (messages.length > 0) await perform(host, 'session.sendAll', { messages });
};

export const receiveAll = async <T>(host: ContextHost, schemas: readonly (readonly [FlowSession, StandardSchema<T>])[], options?: ReceiveOptions): Promise<T[]> => {
  if (schemas.length === 0) return [];
  const sessionIds = schemas.map(([session]) => endOf(session).sessionId);
  const { messages } = await perform(host, 'session.receiveAll', { sessionIds, ...timeoutOf(options) });
  return await Promise.all(schemas.map(([session, schema], i) => read(endOf(session), messages[i]!, schema)));
};

// ── What counterparties say ──────────────────────────────────────────────────────────────────────────────────────────

const read = async <T>(end: SessionEnd, received: AnswerOf<'session.receive'>, schema: StandardSchema<T>): Promise<T> => {
  end.version = received.protocolVersion ?? end.version;
  let value: unknown;
  try {
    value = JSON.parse(received.json);
  } catch {
    throw new CounterpartyDataError('the message is not JSON');
  }
  const result = await schema['~standard'].validate(value);
  if (result.issues !== undefined) throw new CounterpartyDataError(issuesText(result.issues));
  return result.value;
};
