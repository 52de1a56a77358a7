import { expect, test } from 'vitest';
import { toHex } from '../../src/cipher/bytes.ts';
import { keyOfPassphrase } from '../../src/cipher/passphrase.ts';

// RFC 7914 section 11.
test.each([
  {
    passphrase: 'passwd',
    salt: 'salt',
    iterations: 1,
    key: '55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc49ca9cccf179b645991664b39d77ef317c71b845b1e30bd509112041d3a19783',
  },
  {
    passphrase: 'Password',
    salt: 'NaCl',
    iterations: 80_000,
    key: '4ddcd8f60b98be21830cee5ef22701f9641a4418d04c0414aeff08876b34ab56a1d425a1225833549adb841b51c9b3176a272bdebba1d078478f62b397f33c8d',
  },
])('PBKDF2-HMAC-SHA256 with $iterations iterations', async ({ key, ...input }) => {
  expect(toHex(await keyOfPassphrase({ ...input, length: 64 }))).toBe(key);
});
