/**
 * A route is declared once: from its declaration come serving, validation and the OpenAPI document.
 *
 * Literal segments match in any case, as Corda's do; parameters keep theirs. One trailing slash is accepted.
 */
import type * as z from 'zod';
import type { Refusal } from '../../../messages/grammar/envelope.ts';
import type { Parameters, ValuesOf } from '../parameter.ts';
import type { User } from '../../../messages/db-to-rest.user.ts';
import type { RestRoom } from '../room.ts';
import { createPathTree, type PathTree } from './path-tree.ts';
import type { Given, TypedRoute } from './typed-route.ts';

export type Method = 'GET' | 'POST' | 'PUT' | 'DELETE';

/** Versions of the API that are served at once; the last one is the contract's. */
export const apiVersions = ['v1', 'v5_1', 'v5_2'] as const;
export type ApiVersion = (typeof apiVersions)[number];

/** A file of a multipart body, in the pieces in which it came. */
export type FormFile = { readonly pieces: readonly Uint8Array[]; readonly length: number };
/** `stream`: a file that is handed on as it comes; the other fields stand before it. What goes wrong with the body meanwhile, it throws (`BodyRefused`). */
export type FormField = 'text' | 'file' | 'files' | 'stream';
export type FormFields = Readonly<Record<string, FormField>>;
export type FormOf<Fields extends FormFields> = {
  readonly [Name in keyof Fields]: Fields[Name] extends 'text' ? string : Fields[Name] extends 'file' ? FormFile : Fields[Name] extends 'stream' ? AsyncIterable<Uint8Array> : readonly FormFile[];
};

/** `name`: the parameter under which the contract lets the object be nested. */
export type JsonBody<Value, Input = unknown> = { readonly type: 'json'; readonly name: string; readonly schema: z.ZodType<Value, Input> };
/** Forms are bounded by the limit of that name. */
export type FormLimit = 'uploadBytesMax' | 'certificateBytesMax' | 'transferBytesMax';
export type FormBody<Fields extends FormFields> = { readonly type: 'form'; readonly fields: Fields; readonly bytesLimit: FormLimit };

export const jsonBody = <Value, Input>(name: string, schema: z.ZodType<Value, Input>): JsonBody<Value, Input> => ({ type: 'json', name, schema });
export const formBody = <const Fields extends FormFields>(fields: Fields, bytesLimit: FormLimit): FormBody<Fields> => ({ type: 'form', fields, bytesLimit });

export type AnyBody = JsonBody<any, any> | FormBody<any>;
export type ValueOfBody<Body> = Body extends JsonBody<infer Value, any> ? Value : Body extends FormBody<infer Fields> ? FormOf<Fields> : undefined;

export type Call<Path, Query, Body> = {
  readonly room: RestRoom;
  readonly path: Path;
  readonly query: Query;
  readonly body: Body;
  /** Who calls. */
  readonly login: string;
  readonly user: User;
  readonly headers: { get(name: string): string | null };
};

export type Done<Value> = { readonly type: 'done'; readonly value: Value; readonly status?: number };
export const done = <Value>(value: Value, status?: number): Done<Value> => ({ type: 'done', value, ...(status === undefined ? {} : { status }) });
/** For operations without a value: 204. */
export const doneSilently: Done<undefined> = { type: 'done', value: undefined };

/** What a success answers: a JSON value, nothing (204), a stream of events, or a file. */
export type Reply =
  | { readonly type: 'json'; readonly statuses: readonly number[]; readonly schema: z.ZodType }
  | { readonly type: 'nothing' }
  | { readonly type: 'events' }
  | { readonly type: 'file' };

export type Route = {
  readonly method: Method;
  /** As in the contract, after `/api/<version>`: `/flow/{holdingidentityshorthash}`. */
  readonly path: string;
  /** Where API version 1 had another name for it. */
  readonly pathInV1?: string;
  /** True for what only version 1 has: served there alone, with a notice that it is deprecated, and in no document. */
  readonly onlyInV1?: boolean;
  /** The contract's tag: the resource. */
  readonly tag: string;
  readonly summary: string;
  /** True for what Corda's contract does not have; served under `v5_2` alone. */
  readonly ours?: boolean;
  readonly pathParameters: Parameters;
  readonly queryParameters: Parameters;
  readonly body: AnyBody | undefined;
  readonly reply: Reply;
  readonly handle: (call: Call<any, any, any>) => Promise<Done<unknown> | Refusal>;
};

type Declaration<Verb extends Method, Template extends string, Path extends Parameters, Query extends Parameters, Body extends AnyBody | undefined, Value> = {
  readonly method: Verb;
  readonly path: Template;
  readonly pathInV1?: string;
  readonly onlyInV1?: boolean;
  readonly tag: string;
  readonly summary: string;
  readonly ours?: boolean;
  readonly pathParameters?: Path;
  readonly queryParameters?: Query;
  readonly body?: Body;
  /** Absent: the operation answers 204. */
  readonly reply?: z.ZodType<Value>;
  /** Default: 200. */
  readonly statuses?: readonly number[];
  readonly handle: (call: Call<ValuesOf<Path>, ValuesOf<Query>, ValueOfBody<Body>>) => Promise<Done<Value> | Refusal>;
};

const replyOf = (schema: z.ZodType | undefined, statuses: readonly number[]): Reply =>
  schema === undefined ? { type: 'nothing' } : { type: 'json', statuses, schema };

/** Declares a route; the types of the handler's input and of its value are those of the schemas. */
export const route = <
  const Verb extends Method,
  const Template extends string,
  Value = undefined,
  Path extends Parameters = {},
  Query extends Parameters = {},
  Body extends AnyBody | undefined = undefined,
>(
  declaration: Declaration<Verb, Template, Path, Query, Body, Value>,
): TypedRoute<`${Verb} ${Template}`, Given<Path, Query, Body>, Value> => {
  const { pathParameters, queryParameters, body, reply, statuses = [200], ...rest } = declaration;
  return { ...rest, pathParameters: pathParameters ?? {}, queryParameters: queryParameters ?? {}, body, reply: replyOf(reply, statuses) };
};

type EventStream = ReadableStream<Uint8Array> | undefined;

/** Declares a route that answers a stream of server-sent events. */
export const eventRoute = <const Verb extends Method, const Template extends string, Path extends Parameters, Query extends Parameters = {}>(
  declaration: Omit<Declaration<Verb, Template, Path, Query, undefined, EventStream>, 'reply' | 'statuses' | 'body'>,
): TypedRoute<`${Verb} ${Template}`, Given<Path, Query, undefined>, EventStream> => {
  const { pathParameters, queryParameters, ...rest } = declaration;
  return { ...rest, pathParameters: pathParameters ?? {}, queryParameters: queryParameters ?? {}, body: undefined, reply: { type: 'events' } };
};

/** Declares a route that answers a file, as it is made. */
export const fileRoute = <const Verb extends Method, const Template extends string, Path extends Parameters, Body extends AnyBody>(
  declaration: Omit<Declaration<Verb, Template, Path, {}, Body, ReadableStream<Uint8Array>>, 'reply' | 'statuses' | 'queryParameters'>,
): TypedRoute<`${Verb} ${Template}`, Given<Path, {}, Body>, ReadableStream<Uint8Array>> => {
  const { pathParameters, body, ...rest } = declaration;
  return { ...rest, pathParameters: pathParameters ?? {}, queryParameters: {}, body, reply: { type: 'file' } };
};

export type Match =
  | { readonly type: 'route'; readonly route: Route; readonly segments: Readonly<Record<string, string>> }
  /** The path is known, the method is not. */
  | { readonly type: 'method'; readonly allowed: readonly Method[] }
  | { readonly type: 'unknown' };

export type RouteTable = { match(method: string, path: string): Match };

const versionsOf = ({ ours, onlyInV1 }: Route): readonly ApiVersion[] => (onlyInV1 === true ? ['v1'] : ours === true ? ['v5_2'] : apiVersions);

const namesIn = (path: string): string[] => [...path.matchAll(/\{([^}]+)\}/g)].map(([, name]) => name!);

const assertDeclared = ({ path, pathInV1, pathParameters }: Route): void => {
  for (const template of pathInV1 === undefined ? [path] : [path, pathInV1]) {
    const declared = Object.keys(pathParameters).sort().join();
    if (namesIn(template).sort().join() !== declared) throw new TypeError(`the route ${template} declares the path parameters ${declared}`);
  }
};

export const createRouteTable = (routes: readonly Route[]): RouteTable => {
  const tree: PathTree<Method, Route> = createPathTree();
  for (const one of routes) {
    assertDeclared(one);
    for (const version of versionsOf(one)) {
      const path = version === 'v1' ? (one.pathInV1 ?? one.path) : one.path;
      tree.add(one.method, `/api/${version}${path}`, one);
    }
  }
  return {
    match: (method, path) => {
      const found = tree.find(method, path);
      if (found.type === 'found') return { type: 'route', route: found.value, segments: found.segments };
      return found.methods.length > 0 ? { type: 'method', allowed: found.methods } : { type: 'unknown' };
    },
  };
};
