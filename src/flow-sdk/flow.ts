/** The three kinds of flow, and the constructors that make them. A flow is a plain value: its declaration and its code. */
import type { FlowContext, FlowSession } from './flow-context.ts';
import { FlowPlatformError } from './errors.ts';
import { issuesText } from './standard-schema.ts';
import type { StandardSchema } from './standard-schema.ts';

/** A conversation that two flows know how to hold, in one or more versions. */
export type Protocol = {
  /** 1 to 250 characters, for example `com.example.ping`. */
  readonly name: string;
  /** Versions this side speaks, positive integers. The responder chooses the highest that both sides speak. */
  readonly versions: readonly number[];
};

/** What a flow says of itself. The packager lists the declarations of a CPK in its manifest. */
export type FlowDeclaration = {
  /** The flow class name: letters, digits, `.`, `_` and `$`, 250 characters at most. REST starts a flow by this name. */
  readonly name: string;
  readonly kind: 'startable' | 'responder' | 'subflow';
  readonly protocol?: Protocol;
};

/** A flow that REST may start. */
export type StartableFlow<Result = unknown> = {
  /** Version of this shape; by it packager and engine recognise a flow. */
  readonly cordageFlow: 1;
  readonly kind: 'startable';
  readonly declaration: FlowDeclaration;
  readonly run: (ctx: FlowContext, input: unknown) => Promise<Result>;
};

/** A flow that a counterparty's session starts. */
export type ResponderFlow = {
  readonly cordageFlow: 1;
  readonly kind: 'responder';
  readonly declaration: FlowDeclaration;
  readonly run: (ctx: FlowContext, session: FlowSession) => Promise<unknown>;
};

/** A flow that only other flows start, with `ctx.subFlow`. */
export type SubFlow<Input, Result> = {
  readonly cordageFlow: 1;
  readonly kind: 'subflow';
  readonly declaration: FlowDeclaration;
  readonly run: (ctx: FlowContext, input: Input) => Promise<Result>;
};

/** Any flow, as packager and engine meet it: `run` takes what its kind takes. */
export type Flow = StartableFlow | ResponderFlow | SubFlow<never, unknown>;

const declare = <Kind extends FlowDeclaration['kind']>(kind: Kind, name: string, protocol: Protocol | undefined) => ({
  cordageFlow: 1 as const,
  kind,
  declaration: { name, kind, ...(protocol === undefined ? {} : { protocol }) },
});

/**
 * Declares a flow that REST may start: `POST /flow/{shortHash}` with its name as `flowClassName`.
 *
 * `input` is the request body and is `unknown`: read it with `parse`. What `run` returns is the flow's result: a string is
 * shown as it is, anything else as JSON text. What it throws fails the flow, with the error's message for REST to show.
 *
 * @param definition.protocol the conversation that `ctx.initiate` begins, if the flow talks to anyone.
 *
 * @example
 * ```ts
 * import { responderFlow, startableFlow, type StandardSchema } from '@cordage/flow-sdk';
 *
 * const text: StandardSchema<string> = {
 *   '~standard': {
 *     version: 1,
 *     vendor: 'example',
 *     validate: (value) => (typeof value === 'string' ? { value } : { issues: [{ message: 'not a text' }] }),
 *   },
 * };
 * const protocol = { name: 'com.example.ping', versions: [1] };
 *
 * export const ping = startableFlow({
 *   name: 'com.example.Ping',
 *   protocol,
 *   run: async (ctx) => {
 *     const session = ctx.initiate('CN=Bob, O=Bob, L=Paris, C=FR');
 *     return await session.sendAndReceive('ping', text);
 *   },
 * });
 *
 * export const pong = responderFlow({
 *   name: 'com.example.Pong',
 *   protocol,
 *   run: async (ctx, session) => {
 *     const said = await session.receive(text);
 *     await session.send(`${said}, pong`);
 *   },
 * });
 * ```
 */
export const startableFlow = <Result>(definition: {
  readonly name: string;
  readonly protocol?: Protocol;
  readonly run: (ctx: FlowContext, input: unknown) => Promise<Result>;
}): StartableFlow<Result> => ({ ...declare('startable', definition.name, definition.protocol), run: definition.run });

/**
 * Declares the flow that answers a protocol. The platform starts it when a counterparty's first message of a session arrives;
 * `session.counterparty` is who that is, proved by the end-to-end session and not by anything in the message.
 *
 * The session is closed when `run` returns; when it throws, the counterparty's next operation fails with SESSION_ERROR.
 *
 * @example
 * ```ts
 * import { responderFlow, startableFlow, type StandardSchema } from '@cordage/flow-sdk';
 *
 * const count: StandardSchema<number> = {
 *   '~standard': {
 *     version: 1,
 *     vendor: 'example',
 *     validate: (value) => (Number.isSafeInteger(value) ? { value: Number(value) } : { issues: [{ message: 'not a count' }] }),
 *   },
 * };
 * const protocol = { name: 'com.example.double', versions: [1, 2] };
 *
 * export const askDouble = startableFlow({
 *   name: 'com.example.AskDouble',
 *   protocol,
 *   run: async (ctx) => await ctx.initiate('CN=Bob, O=Bob, L=Paris, C=FR').sendAndReceive(21, count),
 * });
 *
 * export const double = responderFlow({
 *   name: 'com.example.Double',
 *   protocol,
 *   run: async (ctx, session) => {
 *     const value = await session.receive(count);
 *     ctx.log.info('doubling', { value, asker: session.counterparty, version: session.protocolVersion });
 *     await session.send(value * 2);
 *   },
 * });
 * ```
 */
export const responderFlow = (definition: {
  readonly name: string;
  readonly protocol: Protocol;
  readonly run: (ctx: FlowContext, session: FlowSession) => Promise<unknown>;
}): ResponderFlow => ({ ...declare('responder', definition.name, definition.protocol), run: definition.run });

/**
 * Declares a flow that only other flows start. It runs inside its caller's flow: same flow id, same journal. With a protocol of
 * its own, the sessions that it opened are closed when it returns and failed when it throws. Without one it speaks its caller's,
 * and what it opens is its caller's.
 *
 * @example
 * ```ts
 * import { startableFlow, subFlow } from '@cordage/flow-sdk';
 *
 * const pauseFor = subFlow({
 *   name: 'com.example.PauseFor',
 *   run: async (ctx, input: { seconds: number }) => {
 *     const from = ctx.now();
 *     await ctx.sleep(input.seconds * 1000);
 *     return ctx.now() - from;
 *   },
 * });
 *
 * export const rest = startableFlow({
 *   name: 'com.example.Rest',
 *   run: async (ctx) => (await ctx.subFlow(pauseFor, { seconds: 2 })) >= 2000,
 * });
 * ```
 */
export const subFlow = <Input, Result>(definition: {
  readonly name: string;
  readonly protocol?: Protocol;
  readonly run: (ctx: FlowContext, input: Input) => Promise<Result>;
}): SubFlow<Input, Result> => ({ ...declare('subflow', definition.name, definition.protocol), run: definition.run });

/**
 * Reads an unknown value (a REST request body) with a schema.
 *
 * @throws FlowPlatformError with code DATA_INVALID when the value does not satisfy the schema.
 *
 * @example
 * ```ts
 * import { FlowPlatformError, parse, startableFlow, type StandardSchema } from '@cordage/flow-sdk';
 *
 * const text: StandardSchema<string> = {
 *   '~standard': {
 *     version: 1,
 *     vendor: 'example',
 *     validate: (value) => (typeof value === 'string' ? { value } : { issues: [{ message: 'not a text' }] }),
 *   },
 * };
 *
 * export const shout = startableFlow({
 *   name: 'com.example.Shout',
 *   run: async (ctx, input) => {
 *     try {
 *       return (await parse(text, input)).toUpperCase();
 *     } catch (error) {
 *       if (error instanceof FlowPlatformError && error.code === 'DATA_INVALID') return 'say something';
 *       throw error;
 *     }
 *   },
 * });
 * ```
 */
export const parse = async <Output>(schema: StandardSchema<Output>, value: unknown): Promise<Output> => {
  const result = await schema['~standard'].validate(value);
  if (result.issues === undefined) return result.value;
  throw new FlowPlatformError('DATA_INVALID', issuesText(result.issues));
};
