/** Lists in pages: every entry once, in order, whatever comes in between; and a page of ten thousand as soon as one of ten. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { dbToAllVirtualNode } from '../../../src/messages/db-to-all.virtual-node.ts';
import { encode } from '../../../src/messages/grammar/envelope.ts';
import { admin, aliceHash, mallory, openRest, virtualNodeOf, type RestUnderTest } from './rest-under-test.ts';

const count = 10_000;
const pageMsMax = 100;
let rest: RestUnderTest;
let hashes: string[];
beforeAll(async () => {
  rest = await openRest();
  const nodes = Array.from({ length: count }, (_, number) => virtualNodeOf(`O=Node ${number}, L=London, C=GB`));
  const records = nodes.map((node) => encode(dbToAllVirtualNode, { key: node.holdingIdentity.shortHash, id: node.holdingIdentity.shortHash, body: node }));
  for (let from = 0; from < count; from += 1_000) await rest.bus.publish(records.slice(from, from + 1_000));
  hashes = [...nodes.map(({ holdingIdentity }) => holdingIdentity.shortHash), aliceHash, mallory.holdingIdentity.shortHash].sort();
});
afterAll(() => rest.close());

type Listed = { readonly virtualNodes: readonly { readonly holdingIdentity: { readonly shortHash: string } }[] };
const shortHashesIn = ({ virtualNodes }: Listed): string[] => virtualNodes.map(({ holdingIdentity }) => holdingIdentity.shortHash);
const page = async (query: string): Promise<string[]> => shortHashesIn((await rest.call('GET', `/virtualnode${query}`)).json);

test('ten thousand virtual nodes come in pages, all of them, in order, and 99 of 100 pages within the time', async () => {
  const seen: string[] = [];
  const times: number[] = [];
  for (;;) {
    const from = performance.now();
    const response = await rest.worker.fetch(new Request(`http://rest.test/api/v5_2/virtualnode?limit=100${seen.length === 0 ? '' : `&after=${seen.at(-1)}`}`, { headers: { authorization: admin } }));
    const text = await response.text();
    times.push(performance.now() - from);
    const some = shortHashesIn(JSON.parse(text));
    seen.push(...some);
    if (some.length < 100) break;
  }
  expect(seen).toEqual(hashes);
  expect(times.sort((one, other) => one - other)[Math.floor(times.length * 0.99) - 1]).toBeLessThan(pageMsMax);
});

test('what comes and goes between two pages is in the next one, or not, by its place', async () => {
  const [, second] = await page('?limit=2');
  const gone = hashes[2]!;
  await rest.bus.publish([encode<never>(dbToAllVirtualNode as never, { key: gone, id: 'gone', body: null })]);
  await page('?limit=1');
  expect(await page(`?limit=1&after=${second}`)).toEqual([hashes[3]]);
  expect(await page(`?limit=5&after=${'F'.repeat(12)}`)).toEqual([]);
  expect(await page(`?after=${hashes.at(-3)!.toLowerCase()}`)).toEqual(hashes.slice(-2));
});

test('limits are numbers of entries', async () => {
  for (const query of ['?limit=0', '?limit=1001', '?limit=x', '?after=nonsense']) expect((await rest.call('GET', `/virtualnode${query}`)).status).toBe(400);
});
