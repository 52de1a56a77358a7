import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { encodePem } from '../../../src/cipher/pem.ts';
import { generateKeyPair } from '../../../src/cipher/signature.ts';
import type { CpiMetadata } from '../../../src/messages/db-to-all.cpi.ts';
import type { VirtualNode } from '../../../src/messages/db-to-all.virtual-node.ts';
import { decode, encode } from '../../../src/messages/grammar/envelope.ts';
import type { OutRecord } from '../../../src/messages/grammar/record.ts';
import { memberToAllGroupParameters, type GroupParameters } from '../../../src/messages/member-to-all.group-parameters.ts';
import { memberToAllMember, type Member } from '../../../src/messages/member-to-all.member.ts';
import { memberToGatewayClientSubject } from '../../../src/messages/member-to-gateway.client-subject.ts';
import { memberToMemberGroup, type NotaryDetails } from '../../../src/messages/member-to-member.group.ts';
import type { View } from '../../../src/shell/view.ts';
import { stepGroup } from '../../../src/workers/member/group.ts';
import { createNetworks } from '../../../src/workers/member/network.ts';
import type { GroupState } from '../../../src/workers/member/state.ts';
import { cpiOf, groupId, listed, name, policyOf, shortHashOf } from './cluster.ts';

const pem = encodePem('PUBLIC KEY', (await generateKeyPair('CORDA.EDDSA.ED25519')).publicKey);

const viewOf = <Body>(bodies: ReadonlyMap<string, Body>): View<Body> => ({ get: (key) => bodies.get(key), entries: () => new Map(bodies).entries(), refresh: async () => {} });
const networksOf = (...cpis: readonly CpiMetadata[]) =>
  createNetworks({ virtualNodes: viewOf(new Map<string, VirtualNode>()), cpis: viewOf(new Map(cpis.map((cpi) => [cpi.fullChecksum, cpi]))), members: viewOf(new Map<string, Member>()) });

let offset = 0;
const join = (common: string, cpi: CpiMetadata, notary: NotaryDetails | null = null) => {
  const record = encode(memberToMemberGroup, {
    key: groupId,
    id: `join-${common}`,
    replyTo: { topic: 'all-to-member.answer', key: shortHashOf(name(common)) },
    body: { type: 'join', groupId, shortHash: shortHashOf(name(common)), x500Name: name(common), cpiFullChecksum: cpi.fullChecksum, notary },
  });
  const decoded = decode(memberToMemberGroup, { partition: 0, ...record, offset: offset++, timestamp: 0 });
  if (decoded.type !== 'message') throw new Error(JSON.stringify(decoded));
  const { delivery } = decoded;
  const { body } = delivery;
  if (body.type !== 'join') throw new Error('only joins are made here');
  return { ...delivery, body };
};

const notaryOf = (service: string, changes: Partial<NotaryDetails> = {}): NotaryDetails => ({
  serviceName: name(service),
  protocolName: 'p',
  protocolVersions: [1],
  backchainRequired: true,
  keyPem: `key of ${service}`,
  ...changes,
});

const step = (state: GroupState | undefined, requests: readonly ReturnType<typeof join>[], networks: ReturnType<typeof networksOf>, now = 1_000) => {
  const stepped = stepGroup(state, requests, networks, now);
  if (stepped.type === 'later') throw new Error(stepped.reason);
  return stepped;
};
const bodiesOf = <Body>(effects: readonly OutRecord[], topic: string): Body[] => effects.filter((effect) => effect.topic === topic).map(({ value }) => (JSON.parse(value) as { body: Body }).body);
const parametersIn = (effects: readonly OutRecord[]) => bodiesOf<GroupParameters>(effects, memberToAllGroupParameters.topic);
const membersIn = (effects: readonly OutRecord[]) => bodiesOf<Member>(effects, memberToAllMember.topic);

describe('a group', () => {
  test('publishes its parameters with the first member, and again only when they change, each time with the next epoch (G1)', () => {
    const cpi = cpiOf(policyOf([listed('Alice'), listed('Bob'), listed('N1'), listed('N2')]));
    const networks = networksOf(cpi);
    const first = step(undefined, [join('Alice', cpi)], networks);
    expect(parametersIn(first.effects)).toMatchObject([{ epoch: 1, parameters: { 'corda.epoch': '1', 'corda.modifiedTime': new Date(1_000).toISOString() } }]);
    const second = step(first.state, [join('Bob', cpi)], networks, 2_000);
    expect(parametersIn(second.effects)).toEqual([]);
    const third = step(second.state, [join('N1', cpi, notaryOf('S'))], networks, 3_000);
    expect(parametersIn(third.effects)).toMatchObject([{ epoch: 2, parameters: { 'corda.notary.service.0.name': name('S'), 'corda.notary.service.0.keys.0': 'key of S' } }]);
    const fourth = step(third.state, [join('N2', cpi, notaryOf('S', { keyPem: 'another' }))], networks, 4_000);
    expect(parametersIn(fourth.effects)).toMatchObject([{ epoch: 3, parameters: { 'corda.notary.service.0.keys.0': 'another', 'corda.notary.service.0.keys.1': 'key of S' } }]);
  });

  test('publishes members of other clusters once, and not those that have joined (G2)', () => {
    const cpi = cpiOf(policyOf([listed('Alice', { sessionKeyPem: pem }), listed('Bob', { sessionKeyPem: pem }), listed('Carol')]));
    const networks = networksOf(cpi);
    const first = step(undefined, [join('Alice', cpi)], networks);
    expect(membersIn(first.effects).map(({ x500Name, serial }) => [x500Name, serial])).toEqual([[name('Bob'), 1]]);
    const second = step(first.state, [join('Carol', cpi)], networks);
    expect(membersIn(second.effects)).toEqual([]);
    const both = step(undefined, [join('Alice', cpi), join('Bob', cpi)], networks);
    expect(membersIn(both.effects).map(({ x500Name }) => x500Name)).toEqual([name('Bob')]);
    const reversed = step(undefined, [join('Bob', cpi), join('Alice', cpi)], networks);
    expect(membersIn(reversed.effects).map(({ x500Name }) => x500Name)).toEqual([name('Alice')]);
  });

  test('follows the newest policy: new endpoints are published with the next serial, an older policy changes nothing', () => {
    const old = cpiOf(policyOf([listed('Alice'), listed('Bob', { sessionKeyPem: pem })]), 1_000);
    const moved = cpiOf(policyOf([listed('Alice'), listed('Dave'), listed('Bob', { sessionKeyPem: pem, 'endpointUrl-1': 'https://new.example' })], { groupParameters: { 'ext.a': 'b' } }), 2_000);
    const networks = networksOf(old, moved);
    const first = step(undefined, [join('Alice', old)], networks);
    const second = step(first.state, [join('Dave', moved)], networks);
    expect(membersIn(second.effects)).toMatchObject([{ x500Name: name('Bob'), serial: 2, endpoints: [{ url: 'https://new.example' }] }]);
    expect(parametersIn(second.effects)).toMatchObject([{ epoch: 2, parameters: { 'ext.a': 'b' } }]);
    const third = step(second.state, [join('Carol', old)], networks);
    expect([...parametersIn(third.effects), ...membersIn(third.effects)]).toEqual([]);
  });

  test('keeps the services that the policy lists and adds joined notaries to theirs', () => {
    const groupParameters = { 'corda.notary.service.0.name': name('Listed'), 'corda.notary.service.0.keys.0': 'listed key', 'corda.notary.service.0.flow.protocol.name': 'q' };
    const cpi = cpiOf(policyOf([listed('N1'), listed('N2')], { groupParameters }));
    const { effects } = step(undefined, [join('N1', cpi, notaryOf('Listed', { keyPem: 'joined key' })), join('N2', cpi, notaryOf('Other'))], networksOf(cpi));
    expect(parametersIn(effects).at(-1)!.parameters).toMatchObject({
      ...groupParameters,
      'corda.notary.service.0.keys.1': 'joined key',
      'corda.notary.service.1.name': name('Other'),
      'corda.notary.service.1.keys.0': 'key of Other',
    });
  });

  test('with mutual TLS has gateways let in whoever chains to its trust roots, and says nothing of it without', () => {
    const subjectsOf = (tlsType: string): unknown[] => {
      const cpi = cpiOf(policyOf([listed('Alice')]).replace('"tlsType":"OneWay"', `"tlsType":"${tlsType}"`));
      return bodiesOf(step(undefined, [join('Alice', cpi)], networksOf(cpi)).effects, memberToGatewayClientSubject.topic);
    };
    expect([subjectsOf('Mutual'), subjectsOf('OneWay')]).toEqual([[{ groupId, subject: null }], []]);
  });

  test('waits for a CPI that its view does not have yet', () => {
    expect(stepGroup(undefined, [join('Alice', cpiOf(policyOf([listed('Alice')])))], networksOf(), 0)).toMatchObject({ type: 'later' });
  });

  test('whatever joins in whatever order and batches, the epoch counts the changes, and joining again changes nothing (G1, G3)', () => {
    const commons = ['A', 'B', 'C', 'D'];
    const cpi = cpiOf(policyOf([...commons.map((common) => listed(common)), listed('Far', { sessionKeyPem: pem })]));
    const networks = networksOf(cpi);
    const joins = fc.array(fc.record({ common: fc.constantFrom(...commons), service: fc.option(fc.constantFrom('S', 'T')), protocolName: fc.constantFrom('p', 'q') }), { minLength: 1, maxLength: 12 });
    fc.assert(
      fc.property(joins, fc.integer({ min: 1, max: 4 }), (all, size) => {
        let state: GroupState | undefined;
        const effects: OutRecord[] = [];
        for (let at = 0; at < all.length; at += size) {
          const requests = all.slice(at, at + size).map(({ common, service, protocolName }) => join(common, cpi, service === null ? null : notaryOf(service, { protocolName, keyPem: `key of ${common}` })));
          const stepped = step(state, requests, networks, at);
          state = stepped.state;
          effects.push(...stepped.effects);
          // Again, from where it led to: only answers.
          const again = step(state, requests, networks, at + 1);
          expect(parametersIn(again.effects).length === 0 || again.state!.epoch > state!.epoch).toBe(true);
          if (requests.length === 1) expect(again.state).toEqual(state);
        }
        if (state !== undefined) expect(parametersIn(effects).map(({ epoch }) => epoch)).toEqual(Array.from({ length: state.epoch }, (_, n) => n + 1));
        expect(membersIn(effects)).toHaveLength(state === undefined ? 0 : 1);
        const spoken = Map.groupBy(Object.values(state?.notaries ?? {}), ({ serviceName }) => serviceName);
        for (const notaries of spoken.values()) expect(new Set(notaries.map(({ protocolName }) => protocolName)).size).toBe(1);
      }),
    );
  });
});
