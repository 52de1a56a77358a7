import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { routes } from '../../../src/workers/rest/api/api.ts';
import { createOpenApi } from '../../../src/workers/rest/openapi/openapi.ts';

type Json = Record<string, any>;

// Written by extract-contract.ts beside it.
const contract = JSON.parse(readFileSync(join(import.meta.dirname, 'contract.json'), 'utf8')) as { paths: Record<string, Json>; schemas: Json };
const ours = createOpenApi(routes) as unknown as { paths: Record<string, Json>; components: { schemas: Json } };

/** Everything in which our document says more than the contract. This list grows only with features Corda lacks. */
const additions = {
  operations: [
    'delete /virtualnode/{holdingidentityshorthash}',
    'post /virtualnode/{holdingidentityshorthash}/export',
    'post /virtualnode/import',
    'delete /user/{loginname}',
    'get /audit',
    'get /user',
    'put /user/{loginname}',
    'get /cpk/{cpkhash}/{part}/{index}',
    'get /flow/{holdingidentityshorthash}/{clientrequestid}/journal',
    'get /flow/{holdingidentityshorthash}/{clientrequestid}/events',
    'get /link/{holdingidentityshorthash}/receipts',
    'post /flow/{holdingidentityshorthash}/{clientrequestid}/kill',
    'post /flow/{holdingidentityshorthash}/{clientrequestid}/redrive',
  ],
  parameters: [
    'get /cpi query limit',
    'get /cpi query after',
    'get /virtualnode query limit',
    'get /virtualnode query after',
    'get /flow/{holdingidentityshorthash} query limit',
    'get /flow/{holdingidentityshorthash} query after',
    'post /flow/{holdingidentityshorthash} query wait',
    'get /flow/{holdingidentityshorthash}/{clientrequestid} query wait',
    'get /flow/{holdingidentityshorthash}/{clientrequestid}/result query wait',
  ],
  schemas: ['AuditEntries', 'AuditEntry', 'UpdateUserType', 'ErrorResponse', 'ExportVirtualNodeRequest', 'ImportVirtualNodeResponse', 'FlowCodeChunk', 'FlowJournalPage', 'LinkReceipt', 'LinkReceipts'],
};

/** Status codes that Corda's server really answers where its document says 200 (rest-behaviour, section 1). */
const realStatuses: Record<string, string[]> = {
  'post /virtualnode': ['202'],
  'put /config': ['202'],
  'put /virtualnode/{virtualnodeshortid}/cpi/{targetcpifilechecksum}': ['202'],
  'put /virtualnode/{virtualnodeshortid}/db': ['202'],
  // 200 only where a wait was asked for and the flow ended within it.
  'post /flow/{holdingidentityshorthash}': ['200', '202'],
  'get /flow/{holdingidentityshorthash}/{clientrequestid}/result': ['200', '202'],
};

/** Bounds narrow a type without changing it; an enumeration is text. */
const typeOf = (schema: any): unknown => {
  if (Array.isArray(schema)) return schema.map(typeOf);
  if (typeof schema !== 'object' || schema === null) return schema;
  const { pattern: _pattern, maxLength: _maxLength, ...rest } = schema as Json;
  if (rest['enum'] !== undefined && rest['type'] === 'string') delete rest['type'];
  return Object.fromEntries(Object.entries(rest).map(([key, value]) => [key, key === 'enum' ? value : typeOf(value)]));
};

const operations = (paths: Record<string, Json>): string[] => Object.entries(paths).flatMap(([path, methods]) => Object.keys(methods).map((method) => `${method} ${path}`)).sort();

const successesOf = (operation: Json): [string, unknown][] => Object.entries(operation['responses'] as Json).filter(([status]) => status.startsWith('2')).map(([status, response]) => [status, typeOf((response as Json)['content'])]);

describe('the OpenAPI document made from our routes', () => {
  test('has the operations of the contract, and those that stand in the list of additions', () => {
    expect(operations(ours.paths)).toEqual([...operations(contract.paths), ...additions.operations].sort());
  });

  test.each(operations(contract.paths))('%s has the parameters, types and bodies of the contract', (name) => {
    const [method, path] = name.split(' ') as [string, string];
    const theirs = contract.paths[path]![method] as Json;
    const mine = ours.paths[path]![method] as Json;
    const added = (mine['parameters'] as Json[]).filter((one) => additions.parameters.includes(`${name} ${one['in']} ${one['name']}`));
    const shared = (mine['parameters'] as Json[]).filter((one) => !added.includes(one));
    expect(added.every(({ required }) => required === false)).toBe(true);
    const sorted = (parameters: Json[]): Json[] => parameters.toSorted((a, b) => (a['name'] < b['name'] ? -1 : 1));
    expect(sorted(shared)).toEqual(sorted(theirs['parameters']));
    expect(mine['operationId']).toBe(theirs['operationId']);
    expect(mine['tags']).toEqual(theirs['tags']);
    expect(typeOf(mine['requestBody'])).toEqual(typeOf(theirs['requestBody']));
    const [[status, declared]] = successesOf(theirs) as [[string, unknown]];
    // An operation without a value answers 204, whatever the document says (rest-behaviour, section 1).
    const expected = (declared === undefined && status === '200' ? ['204'] : (realStatuses[name] ?? [status])).map((one) => [one, declared]);
    expect(successesOf(mine)).toEqual(expected);
  });

  test('has the shapes of the contract, property by property', () => {
    const added = new Set(additions.schemas);
    const shared = Object.fromEntries(Object.entries(ours.components.schemas).filter(([name]) => !added.has(name)));
    expect(typeOf(shared)).toEqual(typeOf(contract.schemas));
  });

  test('lists as additions only what is there', () => {
    const parameters = operations(ours.paths).flatMap((name) => {
      const [method, path] = name.split(' ') as [string, string];
      return (ours.paths[path]![method]['parameters'] as Json[]).map((one) => `${name} ${one['in']} ${one['name']}`);
    });
    expect(parameters).toEqual(expect.arrayContaining(additions.parameters));
    expect(Object.keys(ours.components.schemas)).toEqual(expect.arrayContaining(additions.schemas));
  });
});
