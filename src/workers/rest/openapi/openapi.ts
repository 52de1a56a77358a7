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
  files: { uniqueItems: false, type: 'array', nullable: false, items: binary },
};

const requestBodyOf = (body: AnyBody, components: Components): Schema => {
  if (body.type === 'json') return { content: json(describe(body.schema, 'input', components)), required: true };
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
    case 'json':
      return Object.fromEntries(reply.statuses.map((status) => [String(status), { description: 'Success', content: json(describe(reply.schema, 'output', components)) }]));
  }
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
    '401': { description: 'The credentials are missing or wrong' },
    '403': { description: 'The caller may not do this' },
    default: { description: 'The request was refused or failed', content: json(describe(errorResponse, 'output', components)) },
  },
});

export const createOpenApi = (routes: readonly Route[]): OpenApi => {
  const components: Components = new Map();
  const paths: Record<string, Record<string, Schema>> = {};
  for (const route of routes) (paths[route.path] ??= {})[route.method.toLowerCase()] = operationOf(route, components);
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
