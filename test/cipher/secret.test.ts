import { inspect } from 'node:util';
import { expect, test } from 'vitest';
import { Secret } from '../../src/cipher/secret.ts';

test('a secret prints as ***, however it is printed', () => {
  const secret = new Secret(Uint8Array.of(0xde, 0xad));
  expect(`${secret}`).toBe('***');
  expect(JSON.stringify({ secret })).toBe('{"secret":"***"}');
  expect(inspect({ deep: [secret] })).toBe("{ deep: [ *** ] }");
  expect(Object.keys(secret)).toEqual([]);
});

test('wiping overwrites the bytes themselves', () => {
  const bytes = Uint8Array.of(1, 2, 3);
  const secret = new Secret(bytes);
  expect(secret.reveal()).toBe(bytes);
  secret.wipe();
  expect([...bytes]).toEqual([0, 0, 0]);
  expect(secret.reveal()).toHaveLength(0);
});
