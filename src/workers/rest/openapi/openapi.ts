/** The OpenAPI document, made from the routes that serve. */
import * as z from 'zod';
import type { Parameters } from '../parameter.ts';
import type { AnyBody, FormField, Reply, Route } from '../routing/routing.ts';
import { describe, type Components, type Schema } from './schema.ts';

export type OpenApi = { readonly openapi: string; readonly paths: Readonly<Record<string, Readonly<Record<string, Schema>>>>; readonly [key: string]: unknown };

const errorResponse = z
  .object({ title: z.string(), status: z.int32().meta({ format: 'int32' }), details: z.record(z.string(), z.string()) })
  .meta({ id: 'ErrorResponse' });

const json = (schema: Schema): Schema => ({ 'application/json': { schema } });

const parametersOf = (declared: Parameters, where: 'path' | 'query'): Schema[] =>
  Object.entries(declared).map(([name, { required, schema }]) => ({ name, in: where, required, schema }));

const binary = { type: 'string', format: 'binary' };
const fieldSchemas: Readonly<Record<FormField, Schema>> = {
  text: { type: 'string', nullable: false },
  file: { ...binary, nullable: false },
  stream: { ...binary, nullable: false },
  files: { uniqueItems: false, type: 'array', nullable: false, items: binary },
};

const requestBodyOf = (body: AnyBody, components: Components): Schema => {
  if (body.type === 'json') return { content: json(describe(body.schema, 'input', components)), required: !body.schema.safeParse(undefined).success };
  // A form's fields are declared by name: see FormFields.
  const fields = Object.entries(body.fields as Readonly<Record<string, FormField>>);
  const properties = Object.fromEntries(fields.map(([name, field]) => [name, fieldSchemas[field]]));
  return { content: { 'multipart/form-data': { schema: { type: 'object', properties } } }, required: true };
};

const successesOf = (reply: Reply, components: Components): Record<string, Schema> => {
  switch (reply.type) {
    case 'nothing':
      return { '204': { description: 'Done' } };
    case 'events':
      return { '200': { description: 'A stream of status events', content: { 'text/event-stream': { schema: { type: 'string' } } } }, '204': { description: 'The client has seen the last event' } };
    case 'file':
      return { '200': { description: 'The file', content: { 'application/octet-stream': { schema: binary } } } };
    case 'json':
      return Object.fromEntries(reply.statuses.map((status) => [String(status), { description: 'Success', content: json(describe(reply.schema, 'output', components)) }]));
  }
};

/** What a refused request may be told; `parsing`, the rooms and the machinery around a handler decide which. */
const refusals: Readonly<Record<string, string>> = {
  '400': 'The request is malformed, or cannot be done as it is',
  '401': 'The credentials are missing or wrong',
  '403': 'The caller may not do this',
  '404': 'There is no such thing',
  '405': 'The thing is in a state that does not allow this',
  '409': 'It is there already, or is not in the state that was assumed',
  '413': 'The body is too large',
  '414': 'The URL is too long',
  '415': 'The body is of another type',
  '429': 'Too many failed logins',
  '500': 'The server failed; the answer names the place in its log',
  '503': 'The cluster cannot do this now; Retry-After says when to try again',
};

const refusalsOf = ({ method, pathParameters, queryParameters, body }: Route, components: Components): Record<string, Schema> => {
  const named = Object.keys(pathParameters).length > 0 || body !== undefined;
  const asked = named || method !== 'GET' || Object.keys(queryParameters).length > 0;
  const possible = [...(asked ? ['400'] : []), '401', '403', ...(named ? ['404', '405', '409'] : []), ...(body === undefined ? [] : ['413', '415']), '414', '429', '500', '503'];
  const content = json(describe(errorResponse, 'output', components));
  return Object.fromEntries(possible.map((status) => [status, { description: refusals[status], content }]));
};

const operationIdOf = ({ method, path }: Route): string => `${method.toLowerCase()}_${path.slice(1).replace(/[^A-Za-z0-9]/g, '_')}`;

const operationOf = (route: Route, components: Components): Schema => ({
  tags: [route.tag],
  summary: route.summary,
  operationId: operationIdOf(route),
  parameters: [...parametersOf(route.pathParameters, 'path'), ...parametersOf(route.queryParameters, 'query')],
  ...(route.body === undefined ? {} : { requestBody: requestBodyOf(route.body, components) }),
  responses: {
    ...successesOf(route.reply, components),
    ...refusalsOf(route, components),
  },
});

export const createOpenApi = (routes: readonly Route[]): OpenApi => {
  const components: Components = new Map();
  const paths: Record<string, Record<string, Schema>> = {};
  for (const route of routes) if (route.onlyInV1 !== true) (paths[route.path] ??= {})[route.method.toLowerCase()] = operationOf(route, components);
  return {
    openapi: '3.0.1',
    info: { title: 'Cordage REST API', version: 'v5_2' },
    servers: [{ url: '/api/v5_2' }],
    security: [{ basicAuth: [] }],
    paths,
    components: {
      schemas: Object.fromEntries([...components].sort(([one], [other]) => (one < other ? -1 : 1))),
      securitySchemes: { basicAuth: { type: 'http', scheme: 'basic' } },
    },
  };
};
