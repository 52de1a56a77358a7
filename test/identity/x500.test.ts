import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { countryCodes } from '../../src/identity/iso-3166.ts';
import { distinguishedName, parseX500, x500Attributes, type X500Attribute } from '../../src/identity/x500.ts';

const nameOf = (text: string): string => {
  const parsed = parseX500(text);
  if (parsed.type !== 'name') throw new Error(`${text}: ${parsed.reason}`);
  return parsed.name;
};
const reasonOf = (text: string): string => {
  const parsed = parseX500(text);
  return parsed.type === 'invalid' ? parsed.reason : 'valid';
};

// Short enough that even when every character is escaped the name stays within its bound.
const freeText = fc
  .string({ unit: fc.oneof(fc.constantFrom(...' ,+"\\<>;=#aZ9é漢'), fc.constantFrom('x', 'y', '\u{1f600}')), minLength: 1, maxLength: 30 })
  .filter((value) => value === value.trim() && value !== '');
const attributes = fc.record(
  { CN: freeText, OU: freeText, O: freeText, L: freeText, ST: freeText, C: fc.constantFrom(...countryCodes) },
  { requiredKeys: ['O', 'L', 'C'] },
);
type Attributes = Partial<Record<X500Attribute, string>>;

/** Three ways to write one value. */
const spellings: readonly ((value: string) => string)[] = [
  (value) => value.replace(/[,+"\\<>;=#]/g, '\\$&'),
  (value) => `"${value.replace(/["\\]/g, '\\$&')}"`,
  (value) => [...new TextEncoder().encode(value)].map((byte) => `\\${byte.toString(16).padStart(2, '0')}`).join(''),
];
const entriesOf = (values: Attributes): [X500Attribute, string][] => x500Attributes.flatMap((key) => (values[key] === undefined ? [] : [[key, values[key]]]));

describe('reading', () => {
  test('values come back as they were written, in whatever order, case and spelling', () => {
    fc.assert(
      fc.property(attributes, fc.infiniteStream(fc.nat()), (values, chances) => {
        const written = entriesOf(values).map(([key, value]) => {
          const { value: chance } = chances.next() as { value: number };
          const spelling = key === 'C' ? value : spellings[chance % spellings.length]!(value);
          return { order: chance % 97, part: ` ${chance % 2 === 0 ? key : key.toLowerCase()} = ${spelling} ` };
        });
        const text = written.toSorted((a, b) => a.order - b.order).map(({ part }) => part).join(',');
        if (text.length > 600) return;
        const parsed = parseX500(text);
        expect(parsed).toMatchObject({ type: 'name', attributes: values });
      }),
    );
  });

  test('canonical text reads as itself', () => {
    fc.assert(
      fc.property(attributes, (values) => {
        const text = entriesOf(values).map(([key, value]) => `${key}=${spellings[0]!(value)}`).join(',');
        const canonical = nameOf(text);
        expect(nameOf(canonical)).toBe(canonical);
        expect(parseX500(canonical)).toMatchObject({ attributes: values });
      }),
    );
  });

  test('different values never share a canonical text', () => {
    fc.assert(
      fc.property(attributes, attributes, (a, b) => {
        const canonical = (values: Attributes) => nameOf(entriesOf(values).map(([key, value]) => `${key}=${spellings[0]!(value)}`).join(','));
        expect(canonical(a) === canonical(b)).toBe(JSON.stringify(entriesOf(a)) === JSON.stringify(entriesOf(b)));
      }),
    );
  });

  test('any text at all ends in a name or a reason, and a name reads as itself', () => {
    const piece = fc.constantFrom('CN=', 'OU=', 'O=', 'L=', 'ST=', 'C=', 'GB', ',', ', ', '"', '\\', '\\2', '\\C3\\A9', '+', '#', '=', ' ', 'x', '\ud800', '\u0000');
    const wild = fc.array(piece, { maxLength: 30 }).map((pieces) => pieces.join(''));
    const valid = wild.map((text) => `O=a${text}, L=London, C=GB`);
    fc.assert(
      fc.property(fc.oneof(wild, valid, fc.string({ unit: 'binary' })), (text) => {
        const parsed = parseX500(text);
        if (parsed.type === 'name') expect(nameOf(parsed.name)).toBe(parsed.name);
        else expect(parsed.reason).not.toBe('');
      }),
      { numRuns: 2_000 },
    );
  });

  test('the canonical order is CN, OU, O, L, ST, C', () => {
    expect(nameOf('C=GB,ST=Kent,L=London,O=Org,OU=Unit,CN=Name')).toBe('CN=Name, OU=Unit, O=Org, L=London, ST=Kent, C=GB');
  });
});

describe('refusing', () => {
  test.each([
    ['', 'not ATTRIBUTE=value'],
    ['O=a, L=b', 'C is missing'],
    ['L=b, C=GB', 'O is missing'],
    ['O=a, C=GB', 'L is missing'],
    ['O=a, O=b, L=c, C=GB', 'stands twice'],
    ['O=a, L=b, C=GB, DC=x', 'not one of'],
    ['O=a, L=b, C=UK', 'country'],
    ['O=a, L=b, C=gb', 'country'],
    ['O=, L=b, C=GB', 'is empty'],
    ['O=a, L=b, C=GB,', 'not ATTRIBUTE=value'],
    [`O=${'a'.repeat(129)}, L=b, C=GB`, 'longer than 128'],
    [`CN=${'a'.repeat(65)}, O=a, L=b, C=GB`, 'longer than 64'],
    ['O=a\u0007, L=b, C=GB', 'control character'],
    ['O=a\u0085b, L=b, C=GB', 'control character'],
    ['O=\ud800, L=b, C=GB', 'surrogate'],
    // A second value of one attribute, the old separator, an encoded value.
    ['O=a+CN=b, L=b, C=GB', 'RFC 4514'],
    ['O=a;L=b, L=b, C=GB', 'RFC 4514'],
    ['O=#0401, L=b, C=GB', 'RFC 4514'],
    // Quotes and escapes that do not add up.
    ['O="a, L=b, C=GB', 'open quote'],
    ['O=a, L=b, C=GB\\', 'open quote or escape'],
    ['O="a" "b", L=b, C=GB', 'RFC 4514'],
    ['O=a"b"c, L=b, C=GB', 'RFC 4514'],
    ['O=\\q, L=b, C=GB', 'RFC 4514'],
    ['O=\\C3, L=b, C=GB', 'RFC 4514'],
    // Escaped spaces belong to the value, and a value has none at its edges.
    ['O=a\\ , L=b, C=GB', 'begins or ends with a space'],
    ['O=\\ a, L=b, C=GB', 'begins or ends with a space'],
    ['O=" a", L=b, C=GB', 'begins or ends with a space'],
  ])('%j: %s', (text, reason) => {
    expect(reasonOf(text)).toContain(reason);
  });

  test('a name whose canonical text would be too long to read again', () => {
    const commas = '"' + ','.repeat(64) + '"';
    expect(reasonOf(`CN=${commas}, OU=${commas}, O="${','.repeat(128)}", L=${commas}, ST=${commas}, C=GB`)).toContain('once its values are escaped');
  });
});

describe('a distinguished name', () => {
  test.each([
    ['C=GB, L=London, O=Cordage, OU=AB, CN=localhost', 'CN=localhost, OU=AB, O=Cordage, L=London, C=GB'],
    ['CN=gateway,O=Acme', 'CN=gateway, O=Acme'],
    [' o = Acme , CN="a, b"', 'CN=a\\, b, O=Acme'],
    ['CN=x, 1.2.840.113549.1.9.1=#1603', '1.2.840.113549.1.9.1=#1603, CN=x'],
    ['OU=one, OU=two, CN=x', 'CN=x, OU=one, OU=two'],
  ])('%s has one text', (text, one) => {
    expect(distinguishedName(text)).toBe(one);
    expect(distinguishedName(one)).toBe(one);
  });

  test.each(['', 'nonsense', 'CN=a, b', '=x', 'CN="a', `CN=${'x'.repeat(1_000)}`])('%s is none', (text) => expect(distinguishedName(text)).toBeUndefined());
});
