/**
 * Turns the typed API of the SDK into the raw operations of operations.ts. The engine makes one context for each run of a flow,
 * in the sandbox; nothing is imported but the files beside this one.
 *
 * Whatever this file asks of its host is part of every journal. A change to the order, the kinds or the parameters of its calls
 * breaks the replay of flows under way.
 */
import { cryptoOf } from './crypto.ts';
import { databaseOf } from './database.ts';
import { checkDuration, withDeadline } from './deadline.ts';
import { FlowPlatformError } from './errors.ts';
import type { Flow, FlowDeclaration, Protocol, SubFlow } from './flow.ts';
import type { FlowContext, FlowLog, FlowSession, SessionOptions } from './flow-context.ts';
import { createJson } from './json.ts';
import { groupOf, membersOf } from './members.ts';
import type { ContextHost } from './operations.ts';
import { perform, toJson } from './perform.ts';
import { copyOf, propertiesOf } from './properties.ts';
import type { Properties } from './properties.ts';
import { endOf, receiveAll, sendAll, sessionOf } from './session.ts';

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

/** One run of one flow or sub-flow. */
type Frame = {
  readonly host: ContextHost;
  /** The host of the whole flow, which no deadline gives up: what must be said at the end is said through it. */
  readonly root: ContextHost;
  readonly kind: FlowDeclaration['kind'];
  readonly protocol: Protocol | undefined;
  readonly properties: Properties;
  /** Sessions that end with this frame. An inline sub-flow has none of its own: what it opens is its caller's (Corda). */
  readonly opened: Opened[];
};

type Opened = { readonly sessionId: string; readonly requireClose: boolean };

// ── The door ─────────────────────────────────────────────────────────────────────────────────────────────────────────

const topFrame = (host: ContextHost, { protocol, kind = 'startable' }: Partial<FlowDeclaration>): Frame => ({
  host,
  root: host,
  kind,
  protocol,
  properties: new Map(Object.entries(host.context)),
  opened: [],
});

/** The context of a flow; its protocol is what `initiate` speaks by default. */
export const createContext = (host: ContextHost, declaration: Partial<FlowDeclaration> = {}): FlowContext => contextOf(topFrame(host, declaration));

/** The responder's end of a session. */
export const createResponderSession = (host: ContextHost, { sessionId, counterparty, protocolVersion }: ResponderSession): FlowSession =>
  sessionOf(host, { sessionId, counterparty, version: protocolVersion });

/**
 * Runs a flow to its end and answers its result as REST shows it: a string as it is, anything else as JSON text, `null` for
 * nothing. Rejects with whatever the flow threw. Closing the flow's sessions afterwards is the engine's, but for those whose
 * close is to be confirmed: the flow waits for that.
 */
export const runFlow = async (flow: Flow, host: ContextHost, start: FlowStart): Promise<string | null> => {
  const frame = topFrame(host, flow.declaration);
  const argument = start.type === 'session' ? createResponderSession(host, start.session) : start.input;
  // The kinds take different second arguments; the engine starts a flow with what its kind takes.
  const run = flow.run as (ctx: FlowContext, argument: unknown) => Promise<unknown>;
  const result = await run(contextOf(frame), argument);
  const confirmed = frame.opened.filter(({ requireClose }) => requireClose);
  await Promise.all(confirmed.map(({ sessionId }) => perform(host, 'session.close', { sessionId })));
  if (result === undefined || result === null) return null;
  return typeof result === 'string' ? result : toJson(result, 'the result of the flow');
};

const contextOf = (frame: Frame): FlowContext => {
  const { host } = frame;
  return {
    me: host.me,
    flowId: host.flowId,
    initiate: (counterparty, options) => initiate(frame, counterparty, options),
    subFlow: (flow, input) => runSubFlow(frame, flow, input),
    sendAll: (value, sessions) => sendAll(host, sessions.map((session) => [session, value])),
    sendAllMap: (values) => sendAll(host, values),
    receiveAll: (schema, sessions, options) => receiveAll(host, sessions.map((session) => [session, schema]), options),
    receiveAllMap: async (schemas, options) => {
      const sessions = [...schemas];
      const values = await receiveAll(host, sessions, options);
      return new Map(sessions.map(([session], i) => [session, values[i]!]));
    },
    deadline: (durationMs, work) => withDeadline(host, durationMs, (inner) => work(contextOf({ ...frame, host: inner }))),
    within: (session) => sessionOf(host, endOf(session)),
    continueAs: (input) => continueAs(frame, input),
    properties: propertiesOf(frame.properties),
    db: databaseOf(host),
    crypto: cryptoOf(host),
    members: membersOf(host),
    group: groupOf(host),
    json: createJson(),
    log: logOf(host),
    now: () => host.now(),
    uuid: () => host.uuid(),
    random: () => host.random(),
    sleep: async (durationMs) => {
      checkDuration('sleep', durationMs);
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

const optionsOf = (asked: string | Protocol | SessionOptions | undefined): SessionOptions => {
  if (typeof asked === 'string') return { protocol: asked };
  if (asked === undefined) return {};
  return 'versions' in asked ? { protocol: asked } : asked;
};

const initiate = (frame: Frame, counterparty: string, asked: string | Protocol | SessionOptions | undefined): FlowSession => {
  const { protocol: named, timeoutMs, requireClose = false, receipts = false, properties } = optionsOf(asked);
  const protocol = protocolFor(frame, named);
  const { sessionId } = frame.host.openSession({
    counterparty,
    protocol: { name: protocol.name, versions: [...protocol.versions] },
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
    ...(requireClose ? { requireClose } : {}),
    ...(receipts ? { receipts } : {}),
    context: Object.fromEntries(copyOf(frame.properties, properties)),
  });
  frame.opened.push({ sessionId, requireClose });
  const version = protocol.versions.length === 1 ? protocol.versions[0] : undefined;
  return sessionOf(frame.host, { sessionId, counterparty, version });
};

// ── Sub-flows ────────────────────────────────────────────────────────────────────────────────────────────────────────

const runSubFlow = async <Input, Result>(parent: Frame, flow: SubFlow<Input, Result>, input: Input): Promise<Result> => {
  const { protocol } = flow.declaration;
  const inner = { ...parent, kind: flow.declaration.kind, properties: copyOf(parent.properties) };
  // Inline: it speaks for its caller, in sessions that are its caller's.
  if (protocol === undefined) return await flow.run(contextOf(inner), input);
  const frame: Frame = { ...inner, protocol, opened: [] };
  let result: Result;
  try {
    result = await flow.run(contextOf(frame), input);
  } catch (error) {
    await endAll(frame, true);
    throw error;
  }
  await endAll(frame, false);
  return result;
};

/** Ends what a sub-flow opened. Why it failed is not told: it may be private. */
const endAll = async ({ root, opened }: Frame, failed: boolean): Promise<void> => {
  if (opened.length === 0) return;
  const sessionIds = opened.map(({ sessionId }) => sessionId);
  // Until this flag a sub-flow ended each of its sessions by an operation of its own.
  if (root.has('sub-flow-ends-sessions-at-once')) return void (await perform(root, failed ? 'session.failAll' : 'session.closeAll', { sessionIds }));
  const kind = failed ? 'session.fail' : 'session.close';
  await Promise.all(sessionIds.map((sessionId) => perform(root, kind, { sessionId })));
};

// ── Long lives ───────────────────────────────────────────────────────────────────────────────────────────────────────

const continueAs = async ({ root, kind, properties }: Frame, input: unknown): Promise<never> => {
  if (kind !== 'startable') throw new FlowPlatformError('OPERATION_INVALID', `a ${kind} flow cannot continue as another: only a flow that REST started can`);
  const json = toJson(input, 'the input of the next run');
  await perform(root, 'continueAs', { json, context: Object.fromEntries(properties), counters: root.counters() });
  throw new FlowPlatformError('OPERATION_INVALID', 'the flow has continued already');
};

// ── Log ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

const logOf = (host: ContextHost): FlowLog => ({
  debug: (message, fields) => host.log('debug', message, fields),
  info: (message, fields) => host.log('info', message, fields),
  warn: (message, fields) => host.log('warn', message, fields),
  error: (message, fields) => host.log('error', message, fields),
});
