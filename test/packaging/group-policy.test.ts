import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { toBase64url } from '../../src/cipher/bytes.ts';
import { decodePem, encodePem } from '../../src/cipher/pem.ts';
import { generateKeyPair } from '../../src/cipher/signature.ts';
import { groupPolicyLimits, packageLimits } from '../../src/packaging/config.ts';
import { parseGroupPolicy } from '../../src/packaging/group-policy.ts';
import { issue } from './keys.ts';
import { aliceMember, mgmPolicy, p2pParameters, sessionKeyPem, staticPolicy } from './samples.ts';

const parse = (policy: unknown) => parseGroupPolicy(JSON.stringify(policy));
const policyOf = (policy: unknown) => {
  const parsed = parse(policy);
  if (parsed.type === 'invalid') throw new Error(parsed.reasons.join('; '));
  return parsed.policy;
};
const reasonsOf = (policy: unknown): string => {
  const parsed = parse(policy);
  return parsed.type === 'invalid' ? parsed.reasons.join('; ') : 'accepted';
};
const withMember = (changes: Record<string, unknown>) => staticPolicy([{ ...aliceMember, ...changes }]);
const certificate = await issue({ name: 'O=Trust, C=GB' });

const dynamicPolicy = {
  fileFormatVersion: 1,
  groupId: '8a5d3c1e-6f0b-4d2a-9c7e-2b1f0e9d8c7b',
  registrationProtocol: 'net.corda.membership.impl.registration.dynamic.member.DynamicMemberRegistrationService',
  synchronisationProtocol: 'net.corda.membership.impl.synchronisation.MemberSynchronisationServiceImpl',
  protocolParameters: { sessionKeyPolicy: 'Distinct' },
  p2pParameters,
  mgmInfo: { 'corda.name': 'O=MGM, L=London, C=GB' },
  cipherSuite: {},
};

describe('the policy of a static network', () => {
  test('gives members, endpoints and keys in one spelling', () => {
    const bob = { name: 'O=Bob, L=Paris, C=FR', memberStatus: 'SUSPENDED', 'endpointUrl-1': 'https://b.example:1', 'endpointProtocol-1': '1', 'endpointUrl-2': 'http://b.example:2', 'endpointProtocol-2': 2, 'ext.role': 'bank', 'ext.level': 3 };
    expect(policyOf(staticPolicy([aliceMember, bob]))).toEqual({
      type: 'static',
      groupId: '8a5d3c1e-6f0b-4d2a-9c7e-2b1f0e9d8c7b',
      sessionKeyPolicy: 'Combined',
      members: [
        {
          x500Name: 'CN=Alice, O=Alice, L=London, C=GB', status: 'ACTIVE', endpoints: [{ url: 'https://alice.example:8080', protocolVersion: 1 }],
          sessionKey: { pem: sessionKeyPem, publicKey: toBase64url(decodePem(sessionKeyPem)[0]!.der), spec: 'SHA256withECDSA' }, custom: {},
        },
        {
          x500Name: 'O=Bob, L=Paris, C=FR', status: 'SUSPENDED', endpoints: [{ url: 'https://b.example:1', protocolVersion: 1 }, { url: 'http://b.example:2', protocolVersion: 2 }],
          custom: { 'ext.role': 'bank', 'ext.level': '3' },
        },
      ],
      groupParameters: {},
      p2p: p2pParameters,
      cipherSuite: {},
    });
  });

  test("is Corda's own, as its developer tooling writes it", () => {
    const policy = staticPolicy([{ name: 'CN=Alice, OU=Test Dept, O=R3, L=London, C=GB', memberStatus: 'ACTIVE', 'endpointUrl-1': 'http://localhost:1080', 'endpointProtocol-1': 1 }]);
    const p2p = { ...p2pParameters, sessionPki: 'Standard', sessionTrustRoots: [certificate.pem], tlsTrustRoots: [certificate.pem] };
    expect(policyOf({ ...policy, p2pParameters: p2p, cipherSuite: { 'corda.provider': 'default' } })).toMatchObject({ type: 'static', p2p: { sessionPki: 'Standard' }, cipherSuite: { 'corda.provider': 'default' } });
  });

  test('takes every key that can sign a handshake, with each of its specs', async () => {
    for (const [scheme, spec] of [['CORDA.ECDSA.SECP256R1', 'SHA256withECDSA'], ['CORDA.ECDSA.SECP256K1', 'SHA512withECDSA'], ['CORDA.EDDSA.ED25519', 'EdDSA']] as const) {
      const pem = encodePem('PUBLIC KEY', (await generateKeyPair(scheme)).publicKey);
      expect(reasonsOf(withMember({ sessionKeyPem: pem, sessionKeySpec: spec }))).toBe('accepted');
    }
    const agreement = encodePem('PUBLIC KEY', (await generateKeyPair('CORDA.X25519')).publicKey);
    expect(reasonsOf(withMember({ sessionKeyPem: agreement }))).toMatch(/sessionKeyPem is not/);
  });

  test('writes numbers and truth among its group parameters as text', () => {
    const policy = staticPolicy();
    const { protocolParameters } = policy;
    const groupParameters = { 'corda.minimum.platform.version': 50_000, 'ext.open': true, 'ext.a': 'b' };
    expect(policyOf({ ...policy, protocolParameters: { ...protocolParameters, staticNetwork: { ...protocolParameters.staticNetwork, groupParameters } } })).toMatchObject({
      groupParameters: { 'corda.minimum.platform.version': '50000', 'ext.open': 'true', 'ext.a': 'b' },
    });
  });

  test.each<[string, Record<string, unknown>, RegExp]>([
    ['a name that is none', { name: 'Alice' }, /members.0: name is not an X.500 name/],
    ['no name', { name: '' }, /name is not an X.500 name/],
    ['a status that there is not', { memberStatus: 'DEAD' }, /memberStatus is not one of ACTIVE, PENDING, SUSPENDED/],
    ['a field that there is not', { sesionKeyPem: 'x' }, /unknown field "sesionKeyPem"/],
    ['an endpoint that is no URL', { 'endpointUrl-1': 'alice' }, /endpointUrl-1 is not/],
    ['an endpoint of another scheme', { 'endpointUrl-1': 'file:///etc/passwd' }, /endpointUrl-1 is not/],
    ['an endpoint with a password', { 'endpointUrl-1': 'https://a:b@c.example' }, /endpointUrl-1 is not/],
    ['an endpoint without a protocol', { 'endpointUrl-2': 'https://a.example' }, /endpointProtocol-2 is not/],
    ['a protocol version of zero', { 'endpointProtocol-1': 0 }, /endpointProtocol-1 is not/],
    ['a gap between endpoints', { 'endpointUrl-3': 'https://a.example', 'endpointProtocol-3': 1 }, /without a gap/],
    ['a key that is none', { sessionKeyPem: 'nonsense' }, /sessionKeyPem is not/],
    ['a certificate for a key', { sessionKeyPem: certificate.pem }, /sessionKeyPem is not/],
    ['a spec of another key', { sessionKeySpec: 'EdDSA' }, /sessionKeySpec EdDSA does not go with/],
    ['a custom field that is too long', { 'ext.a': 'x'.repeat(groupPolicyLimits.customValueCharsMax + 1) }, /ext.a is longer/],
    ['a list for a value', { 'ext.a': [] }, /ext.a/],
  ])('refuses a member with %s, and says where', (_, changes, reason) => {
    expect(reasonsOf(withMember(changes))).toMatch(reason);
  });

  test('refuses a spec without its key, too many endpoints and custom fields', () => {
    const { sessionKeyPem: _pem, ...keyless } = aliceMember;
    expect(reasonsOf(staticPolicy([{ ...keyless, sessionKeySpec: 'EdDSA' }]))).toMatch(/without sessionKeyPem/);
    const endpoints = Object.fromEntries(Array.from({ length: 11 }, (_, i) => [[`endpointUrl-${i + 1}`, 'https://a.example'], [`endpointProtocol-${i + 1}`, 1]]).flat());
    expect(reasonsOf(withMember(endpoints))).toMatch(/more than 10 endpoints/);
    expect(reasonsOf(withMember(Object.fromEntries(Array.from({ length: 101 }, (_, i) => [`ext.${i}`, 'x']))))).toMatch(/more than 100 ext. fields/);
  });

  test('refuses a member that stands twice, however it is spelt, and a network of none', () => {
    expect(reasonsOf(staticPolicy([aliceMember, { ...aliceMember, name: 'CN=Alice, O=Alice, L=London, C=GB' }]))).toMatch(/a member stands twice/);
    expect(reasonsOf(staticPolicy([]))).toMatch(/members/);
    expect(reasonsOf(staticPolicy(Array(groupPolicyLimits.membersMax + 1).fill(aliceMember)))).toMatch(/members/);
  });

  test.each<[string, Record<string, unknown>, RegExp]>([
    ['another version', { fileFormatVersion: 2 }, /fileFormatVersion: the file format version must be 1/],
    ['a group id to be created', { groupId: 'CREATE_ID' }, /groupId: a group id is a UUID/],
    ["another network's synchronisation", { synchronisationProtocol: mgmPolicy.synchronisationProtocol }, /synchronisationProtocol/],
    ['an MGM', { mgmInfo: {} }, /mgmInfo/],
    ['no peer-to-peer parameters', { p2pParameters: undefined }, /p2pParameters/],
    ['session PKI without trust roots', { p2pParameters: { ...p2pParameters, sessionPki: 'Standard' } }, /sessionTrustRoots may be empty/],
    ['a session PKI that Cordage does not speak', { p2pParameters: { ...p2pParameters, sessionPki: 'Corda4' } }, /knows the session PKIs Standard and NoPKI/],
    ['a trust root that is no certificate', { p2pParameters: { ...p2pParameters, tlsTrustRoots: [sessionKeyPem] } }, /tlsTrustRoots.0: not a PEM certificate/],
    ['an old TLS', { p2pParameters: { ...p2pParameters, tlsVersion: '1.1' } }, /tlsVersion/],
    ['a cipher suite of lists', { cipherSuite: { a: [] } }, /cipherSuite/],
  ])('is refused with %s', (_, changes, reason) => {
    expect(reasonsOf({ ...staticPolicy(), ...changes })).toMatch(reason);
  });
});

describe('other policies', () => {
  test("an MGM's and a dynamic member's are recognised", () => {
    expect(policyOf(mgmPolicy)).toEqual({ type: 'mgm', groupId: 'CREATE_ID' });
    expect(policyOf(dynamicPolicy)).toMatchObject({ type: 'dynamic', sessionKeyPolicy: 'Distinct', mgmInfo: { 'corda.name': 'O=MGM, L=London, C=GB' } });
    expect(reasonsOf({ ...mgmPolicy, p2pParameters })).toMatch(/p2pParameters/);
    expect(reasonsOf({ ...dynamicPolicy, groupId: 'CREATE_ID' })).toMatch(/groupId/);
    expect(reasonsOf({ ...dynamicPolicy, mgmInfo: undefined })).toMatch(/mgmInfo/);
  });

  test('one whose protocol nobody knows is refused with those that are known', () => {
    expect(reasonsOf({ ...mgmPolicy, registrationProtocol: 'com.example.Mine' })).toMatch(/none that Cordage knows: .*StaticMemberRegistrationService/);
  });
});

describe('text from outside', () => {
  test.each(['', '{', 'null', '[]', '"x"', '1', '{"registrationProtocol":1}', '['.repeat(200_000), `"${'x'.repeat(packageLimits.groupPolicyCharsMax)}"`])('that is no policy is refused with a reason: %.20s', (text) => {
    const parsed = parseGroupPolicy(text);
    expect(parsed.type === 'invalid' && parsed.reasons.length).toBeGreaterThan(0);
  });

  test('of any kind is read or refused, never thrown at', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
        expect(parseGroupPolicy(text).type).toBe('invalid');
      }),
    );
    const place = fc.constantFrom('fileFormatVersion', 'groupId', 'synchronisationProtocol', 'protocolParameters', 'p2pParameters', 'cipherSuite', '__proto__', 'constructor');
    fc.assert(
      fc.property(fc.constantFrom<object>(staticPolicy(), mgmPolicy, dynamicPolicy), place, fc.jsonValue(), (policy, field, value) => {
        const parsed = parse({ ...policy, [field]: value });
        expect(parsed.type === 'policy' || (parsed.reasons.length > 0 && parsed.reasons.length <= groupPolicyLimits.reasonsMax)).toBe(true);
      }),
    );
    fc.assert(
      fc.property(fc.dictionary(fc.oneof(fc.constantFrom(...Object.keys(aliceMember), 'sessionKeySpec', 'endpointUrl-2', 'ext.a', '__proto__'), fc.string()), fc.jsonValue()), (fields) => {
        expect(['policy', 'invalid']).toContain(parse(staticPolicy([{ ...aliceMember, ...fields }])).type);
      }),
    );
  });
});
