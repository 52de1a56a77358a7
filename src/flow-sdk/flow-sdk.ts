/**
 * The Cordage flow SDK: what an application imports, and all that it may. Types, and constructors of plain values; no platform
 * API, since it is bundled into the application and runs inside the sandbox.
 *
 * Start at `startableFlow` and `responderFlow`, then `FlowContext`. Every function's example is run by a test.
 */
export { entity } from './entity.ts';
export type { Entity, EntityDefinition } from './entity.ts';
export { CounterpartyDataError, FlowPlatformError } from './errors.ts';
export type { FlowErrorCode } from './errors.ts';
export { parse, responderFlow, startableFlow, subFlow } from './flow.ts';
export type { Flow, FlowDeclaration, Protocol, ResponderFlow, StartableFlow, SubFlow } from './flow.ts';
export type { FlowCrypto } from './crypto.ts';
export type { EntityFilter, EntityPage, EntityQueryResult, FlowDatabase } from './database.ts';
export type { FlowContext, FlowLog, FlowSession, LogFields } from './flow-context.ts';
export type { FlowMembers } from './members.ts';
export type { JsonValue, MemberInfo, MemberKey, Signature } from './operations.ts';
export type { SchemaIssue, SchemaResult, StandardSchema } from './standard-schema.ts';
