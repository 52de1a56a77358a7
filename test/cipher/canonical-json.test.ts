import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { canonicalJson } from '../../src/cipher/canonical-json.ts';

describe('canonical JSON', () => {
  // RFC 8785, sections 3.2.2 and 3.2.3, and appendix B.
  test("is what the standard's examples say", () => {
    const value: unknown = JSON.parse(`{
      "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
      "string": "\\u20ac$\\u000F\\u000aA'\\u0042\\u0022\\u005c\\\\\\"\\/",
      "literals": [null, true, false]
    }`);
    expect(canonicalJson(value)).toBe('{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}');
    expect(canonicalJson({ '€': 'Euro Sign', '\r': 'Carriage Return', '\ufb33': 'Hebrew Letter Dalet With Dagesh', '1': 'One', '😀': 'Emoji: Grinning Face', '\u0080': 'Control', 'ö': 'Latin Small Letter O With Diaeresis' })).toBe(
      '{"\\r":"Carriage Return","1":"One","\u0080":"Control","ö":"Latin Small Letter O With Diaeresis","€":"Euro Sign","😀":"Emoji: Grinning Face","\ufb33":"Hebrew Letter Dalet With Dagesh"}',
    );
    expect(canonicalJson([-0, 5e-324, 1.7976931348623157e308, 9007199254740992])).toBe('[0,5e-324,1.7976931348623157e+308,9007199254740992]');
  });

  test('of equal values is equal, whatever the order in which their members were set, and means the same', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (value) => {
        const text = canonicalJson(value);
        expect(canonicalJson(Object.fromEntries(Object.entries(value).reverse()))).toBe(text);
        expect(canonicalJson(JSON.parse(text))).toBe(text);
        expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(value)));
      }),
    );
  });

  test.each([
    ['a function', () => 1],
    ['undefined in a list', [undefined]],
    ['a hole in a list', Object.assign([], { length: 1 })],
    ['no number', { n: Number.NaN }],
    ['infinity', [Infinity]],
    ['a big integer', 1n],
    ['half of a surrogate pair', '\ud800'],
    ['half of a surrogate pair in a name', { '\udc00': 1 }],
    ['a date, which does not say how it is written', new Date(0)],
    ['a map', new Map()],
    ['nesting without end', JSON.parse('['.repeat(5_000) + ']'.repeat(5_000))],
  ])('is refused to %s', (_, value) => {
    expect(() => canonicalJson(value)).toThrow(TypeError);
  });

  test('leaves out what is undefined, as JSON does', () => {
    expect(canonicalJson({ b: undefined, a: 1 })).toBe('{"a":1}');
    expect(canonicalJson(Object.assign(Object.create(null) as object, { a: 1 }))).toBe('{"a":1}');
  });
});
