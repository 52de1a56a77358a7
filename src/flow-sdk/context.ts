/**
 * Turns the typed API of the SDK into the raw operations of operations.ts. The engine makes one context for each run of a flow,
 * in the sandbox thread; nothing is imported but the files beside this one.
 *
 * Whatever this file asks of its host is part of every journal. A change to the order, the kinds or the parameters of its calls
 * breaks the replay of flows under way.
 */
import { cryptoOf } from './crypto.ts';
import { databaseOf } from './database.ts';
import { CounterpartyDataError, FlowPlatformError } from './errors.ts';
import type { Flow, FlowDeclaration, Protocol, SubFlow } from './flow.ts';
import type { FlowContext, FlowLog, FlowSession } from './flow-context.ts';
import { membersOf } from './members.ts';
import type { AnswerOf, ContextHost } from './operations.ts';
import { perform, toJson } from './perform.ts';
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

// ── Log ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

const logOf = (host: ContextHost): FlowLog => ({
  debug: (message, fields) => host.log('debug', message, fields),
  info: (message, fields) => host.log('info', message, fields),
  warn: (message, fields) => host.log('warn', message, fields),
  error: (message, fields) => host.log('error', message, fields),
});
