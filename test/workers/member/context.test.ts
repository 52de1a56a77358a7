import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { contextCharsMax, contextKeyCharsMax, contextValueCharsMax, customFieldsMax } from '../../../src/workers/member/config.ts';
import { parseContext } from '../../../src/workers/member/context.ts';

const notary = {
  'corda.roles.0': 'notary',
  'corda.notary.service.name': 'C=GB, L=London, O=Service',
  'corda.notary.service.flow.protocol.name': 'com.example.notary',
  'corda.notary.service.flow.protocol.version.0': '1',
  'corda.notary.service.flow.protocol.version.1': '2',
};

describe('the context of a registration', () => {
  test('may be empty: the scheme has a default', () => {
    expect(parseContext({})).toEqual({ type: 'context', context: { scheme: 'CORDA.ECDSA.SECP256R1', notary: undefined, custom: {} } });
  });

  test('chooses the scheme, custom fields, and a notary with its service in canonical form', () => {
    expect(parseContext({ 'corda.key.scheme': 'CORDA.EDDSA.ED25519', 'ext.a': 'b', ...notary, 'corda.notary.service.backchain.required': 'false' })).toEqual({
      type: 'context',
      context: {
        scheme: 'CORDA.EDDSA.ED25519',
        notary: { serviceName: 'O=Service, L=London, C=GB', protocolName: 'com.example.notary', protocolVersions: [1, 2], backchainRequired: false },
        custom: { 'ext.a': 'b' },
      },
    });
  });

  const many = (count: number, value = 'v'): Record<string, string> => Object.fromEntries(Array.from({ length: count }, (_, n) => [`ext.${n}`, value]));
  test.each<[string, Record<string, string>]>([
    ['a scheme that does not sign', { 'corda.key.scheme': 'CORDA.X25519' }],
    ['an unknown scheme', { 'corda.key.scheme': 'CORDA.DSA' }],
    ['a key of Corda that static networks do not take', { 'corda.session.keys.0.id': 'ABCDEFABCDEF' }],
    ['a key that is nobody’s', { hello: 'x' }],
    ['another role', { 'corda.roles.0': 'king' }],
    ['a role numbered from one', { 'corda.roles.1': 'notary' }],
    ['notary fields without the role', { 'corda.notary.service.name': 'O=S, L=London, C=GB' }],
    ['a notary without a service', { 'corda.roles.0': 'notary' }],
    ['a service that has no X.500 name', { ...notary, 'corda.notary.service.name': 'Service' }],
    ['a notary without a protocol', { ...notary, 'corda.notary.service.flow.protocol.name': '' }],
    ['a gap in the versions', { ...notary, 'corda.notary.service.flow.protocol.version.3': '3' }],
    ['a version that is no positive integer', { ...notary, 'corda.notary.service.flow.protocol.version.0': '1.5' }],
    ['a backchain flag that is neither', { ...notary, 'corda.notary.service.backchain.required': 'maybe' }],
    ['too many custom fields', many(customFieldsMax + 1)],
    ['too long a key', { [`ext.${'k'.repeat(contextKeyCharsMax)}`]: 'x' }],
    ['too long a value', { 'ext.a': 'v'.repeat(contextValueCharsMax + 1) }],
    ['too much of it all', many(customFieldsMax, 'v'.repeat(Math.ceil(contextCharsMax / customFieldsMax)))],
  ])('is refused for %s, with a reason', (_, context) => {
    expect(parseContext(context)).toEqual({ type: 'invalid', reason: expect.stringMatching(/.{10}/) as string });
  });

  test('whatever it holds, it is read or refused, and what is read keeps within its bounds', () => {
    const keys = fc.oneof(fc.constantFrom(...Object.keys(notary), 'corda.key.scheme', 'corda.roles.1', 'ext.a', '__proto__'), fc.string({ unit: 'binary', maxLength: 150 }));
    const values = fc.oneof(fc.constantFrom('notary', 'true', '1', 'CORDA.RSA', 'O=S, L=London, C=GB'), fc.string({ unit: 'binary', maxLength: 900 }));
    fc.assert(
      fc.property(fc.array(fc.tuple(keys, values), { maxLength: 20 }), (entries) => {
        const parsed = parseContext(Object.fromEntries(entries));
        if (parsed.type === 'invalid') return parsed.reason.length > 0;
        return Object.keys(parsed.context.custom).every((key) => key.startsWith('ext.') && key.length <= contextKeyCharsMax);
      }),
      { numRuns: 2_000 },
    );
  });
});
