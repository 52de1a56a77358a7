/** A journal in pages: whatever its items and the bound of a page, the pages give it back whole. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { JournalPlace } from '../../../src/messages/rest-to-flow.query.ts';
import { pageOf } from '../../../src/workers/flow/read-journal.ts';

/** As a client does. */
const readAll = (items: readonly { position: number; value: unknown }[], charsMax: number): { texts: Map<number, string>; pages: number; longest: number } => {
  const texts = new Map<number, string>();
  let [pages, longest] = [0, 0];
  for (let from: JournalPlace | undefined = { position: 0, offset: 0 }; from !== undefined; pages++) {
    const page: ReturnType<typeof pageOf> = pageOf(items, from, charsMax);
    for (const { position, text } of page.parts) texts.set(position, (texts.get(position) ?? '') + text);
    longest = Math.max(longest, page.parts.reduce((sum, { text }) => sum + text.length, 0));
    from = page.next;
  }
  return { texts, pages, longest };
};

describe('a journal in pages', () => {
  test('is whole, and no page is longer than its bound', () => {
    fc.assert(
      fc.property(fc.array(fc.jsonValue()), fc.integer({ min: 1, max: 50 }), fc.integer({ min: 1, max: 3 }), (values, charsMax, step) => {
        const items = values.map((value, i) => ({ position: i * step, value: JSON.parse(JSON.stringify(value)) as unknown }));
        const { texts, longest } = readAll(items, charsMax);
        expect([...texts].map(([position, text]) => ({ position, value: JSON.parse(text) as unknown }))).toEqual(items);
        expect(longest).toBeLessThanOrEqual(charsMax);
      }),
    );
  });

  test('takes one page where it fits', () => {
    expect(readAll([{ position: 0, value: 'a' }, { position: 1, value: 'b' }], 100).pages).toBe(1);
    expect(pageOf([], { position: 0, offset: 0 }, 100)).toEqual({ parts: [] });
  });
});
