/** Which operations of the contract the black-box tests cover, read off their texts: each once happy and once refused. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { routes } from '../../../../src/workers/rest/worker.ts';
import { uncovered } from './uncovered.ts';

const folder = import.meta.dirname;
type Operation = { readonly parameters?: readonly unknown[]; readonly requestBody?: unknown };
const contract = JSON.parse(readFileSync(join(folder, '../contract.json'), 'utf8')) as { paths: Record<string, Record<string, Operation>> };
const operations = Object.entries(contract.paths).flatMap(([path, methods]) => Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`));
const served = new Set<string>(routes.map(({ method, path }) => `${method} ${path}`));

type Covered = { readonly operation: string; readonly outcome: string };

/** `covers(cluster, 'GET /cpi', 'happy', …)`, or with a list of operations. */
const coveredIn = (text: string): Covered[] =>
  [...text.matchAll(/\bcovers\(\s*\w+,\s*(\[[^\]]*\]|'[^']*'),\s*'(happy|refused)'/g)].flatMap(([, named, outcome]) => [...named!.matchAll(/'([^']*)'/g)].map(([, operation]) => ({ operation: operation!, outcome: outcome! })));

const covered = readdirSync(folder).filter((name) => name.endsWith('.test.ts') && name !== 'completeness.test.ts').flatMap((name) => coveredIn(readFileSync(join(folder, name), 'utf8')));
const isCovered = (operation: string, outcome: string): boolean => covered.some((one) => one.operation === operation && one.outcome === outcome);

/** `versions.test.ts` goes through all of these. */
const isVersion = (operation: string): boolean => operation.endsWith('/getprotocolversion');

/** What takes nothing can be refused for a missing permission alone: `unauthorised.test.ts` goes through all operations. */
const takesNothing = (operation: string): boolean => {
  const [method = '', path = ''] = operation.split(' ');
  const { parameters = [], requestBody } = contract.paths[path]![method.toLowerCase()]!;
  return parameters.length === 0 && requestBody === undefined;
};

describe('black-box tests', () => {
  test.each(['happy', 'refused'])('show every operation of the contract %s', (outcome) => {
    const missing = operations.filter((operation) => served.has(operation) && !isVersion(operation) && !(outcome === 'refused' && takesNothing(operation)) && !isCovered(operation, outcome) && !uncovered.includes(`${operation} ${outcome}`));
    expect(missing, `Write covers(cluster, '<operation>', '${outcome}', …) in test/workers/rest/black-box/<resource>.test.ts.`).toEqual([]);
  });

  test('name operations that there are', () => {
    expect(covered.map(({ operation }) => operation).filter((operation) => !served.has(operation))).toEqual([]);
  });

  test('are read here as they are written', () => {
    expect(coveredIn("covers(cluster, 'GET /a', 'happy', 'x', …)\ncovers(\n  cluster,\n  ['GET /b', 'PUT /b/{id}'],\n  'refused', 'y'")).toEqual([
      { operation: 'GET /a', outcome: 'happy' },
      { operation: 'GET /b', outcome: 'refused' },
      { operation: 'PUT /b/{id}', outcome: 'refused' },
    ]);
  });
});
