/** Patterns that are found in a text, as approval rules are. Those that stand for a whole operation are tested where permissions are. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { compilePattern, instructionsMax } from '../../src/pattern/pattern.ts';

const rule = (text: string) => {
  const compiled = compilePattern(text, { stands: 'anywhere', foldsCase: false });
  if (compiled.type === 'unusable') throw new Error(`${text}: ${compiled.reason}`);
  return compiled.pattern;
};

const letter = fc.constantFrom('a', 'B', 'b', '-', '1', '\\.', '.', '\\d', '\\w', '[ab]', '[^a-]', '[A-C]', '^', '$');
const pattern = fc.letrec<{ node: string }>((tie) => ({
  node: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    letter,
    fc.tuple(tie('node'), tie('node')).map(([one, other]) => one + other),
    fc.tuple(tie('node'), tie('node')).map(([one, other]) => `(${one}|${other})`),
    fc.tuple(tie('node'), fc.constantFrom('*', '+', '?', '{2}', '{1,3}', '{0,}')).map(([one, count]) => `(?:${one})${count}`),
  ),
})).node;

describe('a pattern that is found anywhere', () => {
  test('is found where the platform finds it', () => {
    fc.assert(
      fc.property(pattern, fc.string({ unit: fc.constantFrom('a', 'b', 'B', 'C', '-', '1', '.', '\n'), maxLength: 12 }), (text, given) => {
        expect(rule(text).matches(given), `${text} in ${JSON.stringify(given)}`).toBe(new RegExp(text).test(given));
      }),
      { numRuns: 5_000 },
    );
  });

  test.each<readonly [string, readonly string[], readonly string[]]>([
    ['corda.*', ['corda.roles.0', 'ext.corda.x'], ['ext.a']],
    ['^corda.endpoints.*$', ['corda.endpoints.0.connectionURL'], ['ext.corda.endpoints', 'corda.roles.0']],
    ['^corda\\.(session|ledger)\\.keys\\.\\d+\\.', ['corda.ledger.keys.0.id'], ['corda.notary.keys.0.id', 'corda.session.keys.x.id']],
    ['^ext\\.', ['ext.colour'], ['Ext.colour', 'corda.ext.']],
    ['(corda|ext)(\\.[a-z]+)+$', ['ext.a.b.c'], ['ext.a.1']],
    ['.*', ['anything', ''], []],
    ['^*', ['anything', ''], []],
  ])('as operators of Corda write it: %s', (text, found, others) => {
    for (const key of found) expect(rule(text).matches(key), key).toBe(true);
    for (const key of others) expect(rule(text).matches(key), key).toBe(false);
  });

  test.each(['(a+)+$', '(a|a)*$', '(a|b|ab)*c', '(.*)*x', '((a*)*)*$', '(a?){200}a{200}$', '^(([a-z])+.)+[A-Z]([a-z])+$'])('costs no more than its length times that of the text: %s', (text) => {
    let steps = 0;
    rule(text).matches(`${'a'.repeat(8_000)}!`, (taken) => (steps += taken));
    expect(steps).toBeLessThanOrEqual(2 * 8_002 * (instructionsMax + 4));
  });

  test.each(['(?=a)b', '(?<!a)b', '(a)\\1', '(?<n>a)\\k<n>', '(', 'a++', '\\b', '\u00e9'])('is refused where it cannot be matched so: %s', (text) => {
    expect(compilePattern(text, { stands: 'anywhere', foldsCase: false }).type).toBe('unusable');
  });
});
