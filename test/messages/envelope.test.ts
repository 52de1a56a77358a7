/** The envelope is checked by plain code, which is quick, and defined by a schema: what the one takes the other takes, and both read the same. */
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { decode, envelope, plainEnvelope } from '../../src/messages/grammar/envelope.ts';
import type { InRecord } from '../../src/messages/grammar/record.ts';
import { wires } from '../../src/messages/messages.ts';

const textOf = (chars: number): string => JSON.stringify('x'.repeat(chars));
const numbers = ['0', '-0', '1', '2', '-1', '1.5', '1e3', '1e999', '-1e999', String(Number.MAX_SAFE_INTEGER), String(Number.MAX_SAFE_INTEGER + 1)];
const strange = ['null', 'true', '[]', '{}', '[1]', ...numbers, ...[0, 1, 100, 101, 300, 301].map(textOf), '{"topic":"t","key":"k"}'];

/** JSON text of an object: some of its fields right, some strange, some of a name that is not the envelope's, in any order. */
const objectOf = (right: Readonly<Record<string, fc.Arbitrary<string>>>): fc.Arbitrary<string> => {
  const names = [...Object.keys(right), 'other', '__proto__', 'toString', 'length'];
  const rightValueOf = (name: string): fc.Arbitrary<string> => right[name] ?? fc.constantFrom(...strange);
  const strangeField = fc.tuple(fc.constantFrom(...names), fc.constantFrom(...strange));
  return fc
    .tuple(fc.subarray(Object.keys(right), { minLength: 1 }), fc.array(strangeField, { maxLength: 2 }))
    .chain(([kept, replaced]) => fc.tuple(fc.tuple(...kept.map((name) => fc.tuple(fc.constant(name), rightValueOf(name)))), fc.constant(replaced)))
    .chain(([kept, replaced]) => {
      const fields = new Map([...kept, ...replaced]);
      return fc.shuffledSubarray([...fields], { minLength: fields.size });
    })
    .map((fields) => `{${fields.map(([name, value]) => `${JSON.stringify(name)}:${value}`).join()}}`);
};

const short = fc.string({ maxLength: 8 }).map((text) => JSON.stringify(text));
const address = objectOf({ topic: short, key: short, partition: fc.nat().map(String) });
const plainAddress = fc.constantFrom('{"topic":"t","key":"k"}', '{"topic":"t","key":"k","partition":3}');
const record = objectOf({
  v: fc.constantFrom('1', '2'),
  id: short.filter((text) => text !== '""'),
  replyTo: fc.oneof(address, plainAddress),
  deadline: fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => JSON.stringify(value)),
  body: fc.json({ maxDepth: 1 }),
});

/** Both ways to read a JSON text. */
const bothOf = (text: string) => {
  const json: unknown = JSON.parse(text);
  return { plain: plainEnvelope(json), schema: envelope.safeParse(json) };
};

test('whatever is on the bus, the plain check takes what the schema takes, and reads the same', () => {
  let taken = 0;
  let refused = 0;
  const same = fc.property(fc.oneof({ arbitrary: record, weight: 20 }, { arbitrary: fc.json(), weight: 1 }), (text) => {
    const { plain, schema } = bothOf(text);
    expect(plain !== undefined, text).toBe(schema.success);
    expect(plain).toEqual(schema.data);
    if (schema.success) taken += 1;
    else refused += 1;
  });
  fc.assert(same, { numRuns: 3_000 });
  // Both are looked at.
  expect(Math.min(taken, refused)).toBeGreaterThan(300);
});

const right = { v: 1, id: 'i', replyTo: { topic: 't', key: 'k', partition: 0 }, deadline: 1.5, body: null };
const edges: readonly (readonly [what: string, change: (text: string) => string, isTaken: boolean])[] = [
  ['an envelope', (text) => text, true],
  ['one with a field more', (text) => text.replace('{', '{"more":1,'), true],
  ['one without a body', (text) => text.replace(',"body":null', ''), false],
  ['one without an address', (text) => text.replace(/"replyTo":\{.*?\},/, ''), true],
  ['the longest id', (text) => text.replace('"i"', textOf(300)), true],
  ['a longer id', (text) => text.replace('"i"', textOf(301)), false],
  ['no id', (text) => text.replace('"i"', '""'), false],
  ['version 0', (text) => text.replace('"v":1', '"v":0'), false],
  ['a version that is no integer', (text) => text.replace('"v":1', '"v":1.5'), false],
  ['a version beyond what counts', (text) => text.replace('"v":1', '"v":9007199254740992'), false],
  ['the longest topic', (text) => text.replace('"t"', textOf(100)), true],
  ['a longer topic', (text) => text.replace('"t"', textOf(101)), false],
  ['the longest key', (text) => text.replace('"k"', textOf(300)), true],
  ['a longer key', (text) => text.replace('"k"', textOf(301)), false],
  ['a partition below 0', (text) => text.replace('"partition":0', '"partition":-1'), false],
  ['an address with a field more', (text) => text.replace('"partition"', '"more":1,"partition"'), false],
  ['an address with another field', (text) => text.replace('"partition"', '"more"'), false],
  ['an address that is null', (text) => text.replace(/"replyTo":\{.*?\}/, '"replyTo":null'), false],
  ['a deadline without an end', (text) => text.replace('1.5', '1e999'), false],
  ['a list', (text) => `[${text}]`, false],
];

test.each(edges)('%s', (_, change, isTaken) => {
  const { plain, schema } = bothOf(change(JSON.stringify(right)));
  expect([plain !== undefined, schema.success]).toEqual([isTaken, isTaken]);
  expect(plain).toEqual(schema.data);
});

test('what is no envelope is refused with what the schema says of it', () => {
  const value = JSON.stringify({ ...right, id: '', replyTo: { topic: 't' } });
  const of: InRecord = { topic: wires[0]!.topic, partition: 0, offset: 0, timestamp: 0, key: 'key', value };
  expect(decode(wires[0]!, of)).toMatchInlineSnapshot(`
    {
      "reason": "envelope: ✖ Too small: expected string to have >=1 characters
      → at id
    ✖ Invalid input: expected string, received undefined
      → at replyTo.key",
      "type": "malformed",
    }
  `);
});
