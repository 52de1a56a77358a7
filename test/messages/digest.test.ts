/** Digests of texts stand in journals and beside stored answers: what they are today they must be for ever. */
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { base36Of, digestOf } from '../../src/messages/grammar/digest.ts';

test('an integer is written in base 36 as the language writes it', () => {
  for (const value of [0, 1, 35, 36, 1_295, 1_296, 46_655, 46_656, Number.MAX_SAFE_INTEGER]) expect(base36Of(value)).toBe(value.toString(36));
  fc.assert(fc.property(fc.maxSafeNat(), (value) => base36Of(value) === value.toString(36)), { numRuns: 1_000 });
});

test('a text has the digest that it always had', () => {
  expect(['', 'a', '{"entity":"Note","ids":["1"]}', 'ü€😀'].map(digestOf)).toEqual(['wvjl67o803', '262p94epp1d', 'kqbbzclbf2', 'jw94pl5k2w']);
});
