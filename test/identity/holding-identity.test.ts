import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { holdingIdentityOf } from '../../src/identity/holding-identity.ts';
import { parseX500 } from '../../src/identity/x500.ts';
import { holdingIdentity } from '../../src/messages/grammar/shapes.ts';

test('the hash is Corda’s: SHA-256 of canonical name and group id, in upper-case hex; 12 digits make the short one', () => {
  const parsed = parseX500('C=GB, L=London, O=Alice, CN=Ålice');
  if (parsed.type !== 'name') throw new Error(parsed.reason);
  const groupId = '8e5e9e3c-4d65-4c5e-8f0a-6f0f9f5d7a11';
  const identity = holdingIdentityOf(parsed.name, groupId);
  const expected = createHash('sha256').update('CN=Ålice, O=Alice, L=London, C=GB' + groupId, 'utf8').digest('hex').toUpperCase();
  expect(identity).toEqual({ x500Name: 'CN=Ålice, O=Alice, L=London, C=GB', groupId, fullHash: expected, shortHash: expected.slice(0, 12) });
  expect(holdingIdentity.parse(identity)).toEqual(identity);
});
