import { createPublicKey } from 'node:crypto';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { CipherError } from '../../src/cipher/cipher-error.ts';
import { decodePem, encodePem } from '../../src/cipher/pem.ts';
import { generateKeyPair } from '../../src/cipher/signature.ts';

const label = fc.constantFrom('CERTIFICATE', 'PUBLIC KEY', 'X509 CRL', 'PRIVATE KEY');

test('blocks come back in order, whatever stands around them', () => {
  const noise = fc.string().map((text) => text.replaceAll('-', ''));
  fc.assert(
    fc.property(fc.array(fc.record({ label, der: fc.uint8Array({ minLength: 1, maxLength: 200 }), noise }), { maxLength: 4 }), (blocks) => {
      const text = blocks.map((block) => `${block.noise}\n${encodePem(block.label, block.der)}`).join('');
      expect(decodePem(text)).toEqual(blocks.map((block) => ({ label: block.label, der: block.der })));
      expect(decodePem(text.replaceAll('\n', '\r\n'))).toHaveLength(blocks.length);
    }),
  );
});

test('OpenSSL reads what we write', async () => {
  const { publicKey } = await generateKeyPair('CORDA.ECDSA.SECP256R1');
  const text = encodePem('PUBLIC KEY', publicKey);
  expect(text).toMatch(/^-----BEGIN PUBLIC KEY-----\n(.{64}\n)+.{1,64}\n-----END PUBLIC KEY-----\n$/);
  expect(createPublicKey(text).export({ format: 'pem', type: 'spki' })).toBe(text);
});

test.each([
  '-----BEGIN A-----\nAAAA\n-----END B-----',
  '-----BEGIN A-----\nAAAA',
  '-----END A-----',
  '-----BEGIN A-----\n-----BEGIN A-----\nAAAA\n-----END A-----',
  '-----BEGIN A-----\nAA*A\n-----END A-----',
  '-----BEGIN A-----\nAAA\n-----END A-----',
  '-----BEGIN A-----\n-----END A-----',
])('refuses the broken block %j', (text) => {
  expect(() => decodePem(text)).toThrow(CipherError);
});

test('any text at all ends in blocks or a CipherError', () => {
  const line = fc.oneof(fc.constantFrom('-----BEGIN A-----', '-----END A-----', '-----BEGIN B-----', 'AAAA', 'AA==', ''), fc.string());
  fc.assert(
    fc.property(fc.array(line).map((lines) => lines.join('\n')), (text) => {
      try {
        expect(decodePem(text)).toBeInstanceOf(Array);
      } catch (error) {
        expect(error).toBeInstanceOf(CipherError);
      }
    }),
  );
});
