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
export { compositeKey, decodeCompositeKey, encodeCompositeKey, isFulfilledBy } from './composite-key.ts';
export type { CompositeChild, CompositeKey } from './composite-key.ts';
export type { FlowCrypto } from './crypto.ts';
export type { EntityFilter, EntityPage, EntityQueryResult, FieldCondition, FlowDatabase, QueryResult } from './database.ts';
export type { CounterpartyInfo, FlowContext, FlowLog, FlowProperties, FlowSession, LogFields, ReceiveOptions, SessionOptions } from './flow-context.ts';
export type { FlowJson } from './json.ts';
export type { FlowGroup, FlowMembers, MemberFilter } from './members.ts';
export { database, migration } from './query.ts';
export type { Migration, Query, RowOf, Tables } from './query.ts';
export type { DigestAlgorithm, GroupInfo, JsonValue, KeyCategory, MemberAttributes, MemberInfo, MemberKey, MemberStatus, OwnKey, Signature } from './operations.ts';
export type { SchemaIssue, SchemaResult, StandardSchema } from './standard-schema.ts';
