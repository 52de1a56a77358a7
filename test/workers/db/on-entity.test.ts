import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { flowToDbEntity, type EntityOperation } from '../../../src/messages/flow-to-db.entity.ts';
import { recordValueCharsMax } from '../../../src/messages/grammar/envelope.ts';
import type { Database } from '../../../src/postgres/database.ts';
import { checkEntityJson } from '../../../src/workers/db/entity-check.ts';
import { entityDepthMax } from '../../../src/workers/db/config.ts';
import type { DbTx } from '../../../src/workers/db/db-tx.ts';
import { createOnEntity } from '../../../src/workers/db/on-entity.ts';
import { answerTo } from '../../../src/messages/grammar/envelope.ts';
import { startTestServer, transactOn, type TestServer } from './database.ts';
import { answerBatch, codeOf, request } from './requests.ts';
import { makeVirtualNode, testCpi, testVirtualNode } from './virtual-nodes.ts';

let server: TestServer;
let database: Database;
let shortHash: string;
beforeAll(async () => {
  server = await startTestServer();
  database = await server.database();
  shortHash = await transactOn(database, makeVirtualNode);
});
afterAll(() => server.stop());

const transact = <Result>(work: Parameters<typeof transactOn<Result>>[1]): Promise<Result> => transactOn(database, work);

/** One batch of requests, each of a flow of its own unless named. */
const ask = async (...requests: readonly { flowId?: string; operation: EntityOperation; at?: string }[]) =>
  (
    await answerBatch(
      createOnEntity(),
      { transact },
      ...requests.map(({ flowId, operation, at = shortHash }, n) => request(flowToDbEntity, { shortHash: at, operation }, { key: flowId ?? `flow-${n}` })),
    )
  ).map(({ outcome }) => outcome);

const persist = (entity: string, ...items: readonly { id: string; json: string }[]): EntityOperation => ({ type: 'persist', entity, items: [...items] });
const countRows = async (): Promise<number> => {
  const rows = await database.sql.unsafe(`select count(*)::int as count from vnode_vault_${shortHash.toLowerCase()}.entity`);
  return Number(rows[0]!['count']);
};

describe('refusals', () => {
  test('a virtual node that is made later is found then, and looked for once', async () => {
    const cpi = testCpi(0);
    const node = testVirtualNode(cpi);
    const onEntity = createOnEntity();
    let looks = 0;
    const counting = <Result>(work: (tx: DbTx) => Promise<Result>): Promise<Result> =>
      transact((tx) => work({ ...tx, virtualNodes: { ...tx.virtualNodes, known: (hashes) => (looks++, tx.virtualNodes.known(hashes)) } }));
    const write = async (id: string) =>
      (await answerBatch(onEntity, { transact: counting }, request(flowToDbEntity, { shortHash: node.holdingIdentity.shortHash, operation: persist('Note', { id, json: '{}' }) }, { key: id })))[0]!.outcome;
    expect(await write('early')).toMatchObject({ code: 'DB_VIRTUAL_NODE_NOT_FOUND' });
    expect((await transact((tx) => tx.virtualNodes.create(node, []))).type).toBe('created');
    expect([(await write('one')).type, (await write('two')).type]).toEqual(['done', 'done']);
    expect(looks).toBe(2);
  });

  test('each refusal changes nothing, and the others of the batch are done', async () => {
    await ask({ operation: persist('Cat', { id: 'taken', json: '1' }) });
    const before = await countRows();
    // Quotes are escaped twice on the way: this fits into a request and not into an answer.
    const large = JSON.stringify('"'.repeat(248_600));
    const outcomes = await ask(
      { operation: persist('Cat', { id: 'a', json: '1' }), at: '000000000000' },
      { operation: persist('Cat', { id: 'b', json: '1' }, { id: 'taken', json: '1' }) },
      { operation: persist('Cat', { id: 'c', json: '{"a":' }, { id: 'd', json: '1' }) },
      { operation: persist('Cat', { id: 'e', json: '1' }, { id: 'e', json: '2' }) },
      { operation: persist('Cat', { id: 'f\u0000', json: '1' }) },
      { operation: persist('Cat', { id: 'g', json: '"\\u0000"' }) },
      { operation: persist('Cat', { id: 'h', json: large }) },
      { operation: { type: 'find', entity: 'Cat', ids: ['\ud800'] } },
      { operation: { type: 'query', entity: 'Cat', where: { name: '\u0000' }, countMax: 1 } },
      { operation: { type: 'query', entity: 'Cat', where: {}, conditions: [{ field: 'name', operator: 'prefix', value: '\ud800' }], countMax: 1 } },
      { operation: { type: 'query', entity: 'Cat', where: {}, orderBy: { field: 'name', descending: false }, after: 'x', countMax: 1 } },
      { operation: { type: 'query', entity: 'Cat', where: {}, orderBy: { field: 'name', descending: false }, after: '["1","\u0000"]', countMax: 1 } },
      { operation: { type: 'query', entity: 'Cat', where: {}, orderBy: { field: 'name', descending: false }, after: '["[1e999]","x"]', countMax: 1 } },
      { operation: persist('Cat', { id: 'good', json: '1' }) },
    );
    expect(outcomes.map(codeOf)).toEqual([
      'DB_VIRTUAL_NODE_NOT_FOUND',
      'DB_ENTITY_EXISTS',
      'DB_ENTITY_INVALID',
      'DB_ENTITY_INVALID',
      'DB_ENTITY_INVALID',
      'DB_ENTITY_INVALID',
      'DB_ENTITY_REPLY_TOO_LARGE',
      'DB_ENTITY_INVALID',
      'DB_ENTITY_INVALID',
      'DB_ENTITY_INVALID',
      'DB_ENTITY_INVALID',
      'DB_ENTITY_INVALID',
      'DB_ENTITY_INVALID',
      'done',
    ]);
    expect(await countRows()).toBe(before + 1);
  });

  test('an entity as large as a request can carry is found again in an answer that a record can carry', async () => {
    const json = JSON.stringify('"'.repeat(246_000));
    const [written] = await ask({ operation: persist('Large', { id: 'a', json }) });
    expect(written?.type).toBe('done');
    const asked = request(flowToDbEntity, { shortHash, operation: { type: 'find', entity: 'Large', ids: ['a'] } });
    const [found] = await answerBatch(createOnEntity(), { transact }, asked);
    expect(answerTo(asked, found!.outcome)!.value.length).toBeLessThanOrEqual(recordValueCharsMax);
    expect(found!.outcome).toEqual({ type: 'done', value: { items: [{ id: 'a', json }] } });
  });
});

describe('what may be stored', () => {
  /** Nests arrays. */
  const nested = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth);

  test.each([
    ['an escaped NUL', '{"a":"\\u0000"}'],
    ['a NUL in a field name', '{"\\u0000":1}'],
    ['half of a surrogate pair', '["\\ud800"]'],
    ['a number out of range', '[1e999]'],
    ['a number out of range, digit by digit', `[${'9'.repeat(400)}]`],
    ['nesting too deep', nested(entityDepthMax + 1)],
    ['nesting far too deep', nested(50_000)],
    ['no JSON', 'undefined'],
  ])('%s is refused', (_, json) => {
    expect(checkEntityJson(json).type).toBe('invalid');
  });

  test('what only looks unusual is stored as JavaScript writes it', () => {
    expect(checkEntityJson('["\\\\u0000", 1e-400, "\\u0041"]')).toEqual({ type: 'json', json: '["\\\\u0000",0,"A"]' });
    expect(checkEntityJson(nested(entityDepthMax)).type).toBe('json');
    expect(checkEntityJson(JSON.stringify(Array.from({ length: 500 }, () => [])))).toMatchObject({ type: 'json' });
  });

  /** JSON of any shape, and texts that are almost JSON. */
  const jsonText = fc.oneof(
    fc.json({ stringUnit: 'binary' }),
    fc.json({ stringUnit: 'binary-ascii', maxDepth: 8 }),
    fc.string({ unit: 'binary' }),
    fc.string({ unit: 'binary' }).map((text) => JSON.stringify({ text })),
    fc.double().map((value) => `[${value}]`),
    fc.tuple(fc.bigInt(), fc.integer({ min: -30_000, max: 30_000 })).map(([digits, exponent]) => `[${digits}e${exponent}]`),
    fc.stringMatching(/^\[("(\\u[0-9a-f]{4}|\\.|[^"\\])*")?\]$/),
  );

  test('whatever text comes, it is refused or stored: never an error that would spoil the batch', async () => {
    let n = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(fc.record({ id: fc.string({ unit: 'binary', minLength: 1, maxLength: 300 }), json: jsonText }), { minLength: 1, maxLength: 5 }), async (items) => {
        const entity = `Any${n++}`;
        const [written, found] = await ask(
          { flowId: 'f', operation: persist(entity, ...items) },
          { flowId: 'f', operation: { type: 'query', entity, where: {}, countMax: 10 } },
        );
        expect(found?.type).toBe('done');
        if (written?.type !== 'done') {
          expect(written?.code).toBe('DB_ENTITY_INVALID');
          return;
        }
        // What came back means the same to JavaScript, and to who writes it on.
        const stored = (found as { value: { items: { id: string; json: string }[] } }).value.items;
        const meaning = (list: readonly { id: string; json: string }[]) => Object.fromEntries(list.map(({ id, json }) => [id, JSON.stringify(JSON.parse(json))]));
        expect(meaning(stored)).toEqual(meaning(items));
      }),
      { numRuns: 150 },
    );
  });

  const scalar = fc.oneof(fc.string({ unit: 'binary', maxLength: 50 }), fc.double({ noNaN: true, noDefaultInfinity: true }), fc.boolean(), fc.constant(null));

  test('whatever is asked for in a query, it is refused or answered, and finds what has these fields', async () => {
    let n = 0;
    await fc.assert(
      fc.asyncProperty(fc.dictionary(fc.string({ unit: 'binary', maxLength: 20 }), scalar, { maxKeys: 4 }), fc.option(fc.string({ unit: 'binary', minLength: 1, maxLength: 20 })), async (where, after) => {
        const entity = `Query${n++}`;
        const [written, found, paged] = await ask(
          { flowId: 'f', operation: persist(entity, { id: 'a', json: JSON.stringify({ ...where, more: [1] }) }) },
          { flowId: 'f', operation: { type: 'query', entity, where, countMax: 1 } },
          { flowId: 'f', operation: { type: 'query', entity, where, countMax: 1, ...(after === null ? {} : { after }) } },
        );
        for (const outcome of [written, found, paged]) if (outcome?.type === 'refused') expect(outcome.code).toBe('DB_ENTITY_INVALID');
        if (written?.type === 'done' && found?.type === 'done' && !('more' in where)) expect(found.value).toMatchObject({ items: [{ id: 'a' }] });
      }),
      { numRuns: 150 },
    );
  });
});
