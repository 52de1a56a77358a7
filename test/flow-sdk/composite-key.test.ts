import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { compositeKey, decodeCompositeKey, encodeCompositeKey, isFulfilledBy, type CompositeChild, type CompositeKey } from '../../src/flow-sdk/flow-sdk.ts';

const refusal = (work: () => unknown): unknown => {
  try {
    return work();
  } catch (error) {
    return (error as { code?: unknown; message: string }).code === 'DATA_INVALID' ? (error as Error).message : error;
  }
};

describe('a composite key', () => {
  test('is fulfilled when the weights of those who signed reach the threshold, node by node', () => {
    const board = compositeKey(3, [{ weight: 2, key: 'Ada' }, 'Bob', 'Cleo']);
    expect([['Ada', 'Bob'], ['Bob', 'Cleo'], ['Ada'], ['Ada', 'Bob', 'Cleo'], ['Zoe', 'Ada', 'Ada', 'Ada']].map((keys) => isFulfilledBy(board, keys))).toEqual([true, false, false, true, false]);
    const either = compositeKey(1, ['Chair', { weight: 1, key: board }]);
    expect([['Chair'], ['Ada', 'Cleo'], ['Bob', 'Cleo']].map((keys) => isFulfilledBy(either, keys))).toEqual([true, true, false]);
  });

  test.each<[string, () => unknown, RegExp]>([
    ['a threshold that cannot be reached', () => compositeKey(3, ['A', 'B']), /can never be reached/],
    ['a threshold of zero, which nobody must sign', () => compositeKey(0, ['A']), /threshold, a positive integer/],
    ['a negative weight', () => compositeKey(1, [{ weight: -1, key: 'A' }]), /weight, a positive integer/],
    ['a weight that is no integer', () => compositeKey(1, [{ weight: 1.5, key: 'A' }]), /weight, a positive integer/],
    ['a weight beyond Java', () => compositeKey(1, [{ weight: 2 ** 31, key: 'A' }]), /weight, a positive integer/],
    ['no children', () => compositeKey(1, []), /1 to 100 children/],
    ['a key twice, whose signature would count twice', () => compositeKey(2, ['A', 'A']), /stands in it twice/],
    ['a key twice in two nodes', () => compositeKey(2, ['A', { weight: 1, key: compositeKey(1, ['A']) }]), /stands in it twice/],
    ['a key that is none', () => compositeKey(1, ['A B']), /base64url/],
    ['more in a node', () => compositeKey(1, [{ weight: 1, key: 'A', more: 1 } as CompositeChild]), /a child has a weight/],
    ['too deep a tree', () => Array.from({ length: 11 }).reduce<CompositeKey>((key) => compositeKey(1, [{ weight: 1, key }]), compositeKey(1, ['A'])), /nested deeper/],
    ['too many keys', () => compositeKey(1, Array.from({ length: 101 }, (_, n) => `K${n}`)), /1 to 100 children/],
    ['text that is not JSON', () => decodeCompositeKey('{'), /not JSON/],
    ['text in another spelling', () => decodeCompositeKey('{"threshold":1,"children":[{"weight":1,"key":"A"}]}'), /one spelling/],
    ['children in another order', () => decodeCompositeKey('{"children":[{"key":"B","weight":1},{"key":"A","weight":1}],"threshold":1}'), /one spelling/],
    ['null', () => decodeCompositeKey('null'), /threshold and children/],
  ])('is refused with %s', (_, work, reason) => {
    expect(refusal(work)).toMatch(reason);
  });

  const tree = fc.letrec<{ node: CompositeKey }>((tie) => ({
    node: fc
      .record({ threshold: fc.integer({ min: 1, max: 3 }), children: fc.array(fc.record({ weight: fc.integer({ min: 1, max: 5 }), key: fc.oneof({ maxDepth: 3 }, fc.stringMatching(/^[A-Za-z0-9_-]{1,8}$/), tie('node')) }), { minLength: 1, maxLength: 4 }) })
      .map((key) => key as CompositeKey),
  })).node;

  test('has one text, which reads as the same key, in whatever order it was made', () => {
    fc.assert(
      fc.property(tree, fc.array(fc.stringMatching(/^[A-Za-z0-9_-]{1,8}$/)), (raw, keys) => {
        const made = refusal(() => compositeKey(raw.threshold, raw.children));
        if (typeof made === 'string') return;
        const key = made as CompositeKey;
        const text = encodeCompositeKey(key);
        expect(encodeCompositeKey(compositeKey(raw.threshold, [...raw.children].reverse()))).toBe(text);
        expect(decodeCompositeKey(text)).toEqual(key);
        expect(isFulfilledBy(decodeCompositeKey(text), keys)).toBe(isFulfilledBy(key, keys));
      }),
    );
  });
});
