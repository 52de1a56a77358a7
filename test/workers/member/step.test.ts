/** The step of a registration by itself: any order, any batches, anything twice. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { fromBase64url, toBase64url } from '../../../src/cipher/bytes.ts';
import { generateKeyPair, keyIdOf } from '../../../src/cipher/signature.ts';
import { holdingIdentityOf } from '../../../src/identity/holding-identity.ts';
import { parseX500 } from '../../../src/identity/x500.ts';
import { allToCryptoKey, type PublicKeyInfo } from '../../../src/messages/all-to-crypto.key.ts';
import { decode, encode, type Outcome } from '../../../src/messages/grammar/envelope.ts';
import type { OutRecord } from '../../../src/messages/grammar/record.ts';
import { memberToAllMember } from '../../../src/messages/member-to-all.member.ts';
import { memberToLinkManagerHostedIdentity } from '../../../src/messages/member-to-link-manager.hosted-identity.ts';
import { memberToMemberGroup } from '../../../src/messages/member-to-member.group.ts';
import { restToMemberRegistration, type Registration } from '../../../src/messages/rest-to-member.registration.ts';
import { parseGroupPolicy } from '../../../src/packaging/group-policy.ts';
import { registrationsMax } from '../../../src/workers/member/config.ts';
import type { MemberEvent } from '../../../src/workers/member/event.ts';
import { stepMember, type Facts } from '../../../src/workers/member/registration.ts';
import type { MemberState } from '../../../src/workers/member/state.ts';
import { newVirtualNode } from '../../../src/workers/db/virtual-node.ts';
import { cpiOf, listed, name, policyOf, shortHashOf } from './cluster.ts';

const shortHash = shortHashOf(name('Alice'));
const publicKey = toBase64url((await generateKeyPair('CORDA.ECDSA.SECP256R1')).publicKey);

const factsOf = (...commons: readonly string[]): Facts => {
  const cpi = cpiOf(policyOf(commons.map((common) => listed(common))));
  const parsed = parseX500(name('Alice'));
  const policy = parseGroupPolicy(cpi.groupPolicy);
  if (parsed.type === 'invalid' || policy.type === 'invalid') throw new Error('bad fixture');
  return { virtualNode: newVirtualNode(holdingIdentityOf(parsed.name, cpi.groupId), cpi, 0), network: { cpi, policy: policy.policy }, tlsType: 'OneWay' };
};
const facts = factsOf('Alice');

type Event = Extract<MemberEvent, { type: 'registration' | 'answer' }>;
let offset = 0;
const ask = (body: { type: 'register'; shortHash: string; context: Record<string, string> } | { type: 'status'; shortHash: string }, id: string): Event => {
  const record = encode(restToMemberRegistration, { key: shortHash, id, body, replyTo: { topic: 'all-to-rest.answer', key: id } });
  const decoded = decode(restToMemberRegistration, { partition: 0, ...record, offset: offset++, timestamp: 0 });
  if (decoded.type !== 'message') throw new Error(JSON.stringify(decoded));
  return { type: 'registration', request: decoded.delivery };
};
const register = (id = 'register'): Event => ask({ type: 'register', shortHash, context: {} }, id);
const status = (id = 'status'): Event => ask({ type: 'status', shortHash }, id);

/** What crypto and the group would answer to these effects. */
const answersTo = (effects: readonly OutRecord[]): Event[] =>
  effects.flatMap((record): Event[] => {
    const { id, body } = JSON.parse(record.value) as { id: string; body: { type: string; alias: string; category: PublicKeyInfo['category']; tenant: string; scheme: PublicKeyInfo['scheme'] } };
    if (record.topic === memberToMemberGroup.topic) return [{ type: 'answer', requestId: id, outcome: { type: 'done', value: { epoch: 1 } } }];
    if (record.topic !== allToCryptoKey.topic) return [];
    const { alias, category, tenant, scheme } = body;
    const key: PublicKeyInfo = { id: keyIdOf(fromBase64url(publicKey)), tenant, alias, category, scheme, masterKeyAlias: 'm', publicKey, createdAt: 0 };
    return [{ type: 'answer', requestId: id, outcome: { type: 'done', value: { keys: body.type === 'generate' ? [key] : [] } } }];
  });

const shownIn = (effects: readonly OutRecord[]): Registration[] =>
  effects
    .filter(({ topic }) => topic === 'all-to-rest.answer')
    .flatMap(({ value }) => {
      const { outcome } = (JSON.parse(value) as { body: { outcome: Outcome<{ registrations: Registration[] }> } }).body;
      return outcome.type === 'done' ? outcome.value.registrations : [];
    });

const publishedIn = (effects: readonly OutRecord[]): string[] => effects.map(({ topic }) => topic).filter((topic) => topic === memberToAllMember.topic || topic === memberToLinkManagerHostedIdentity.topic);

describe('a step', () => {
  test('that approves shows the state before it to who asks in the same batch (R3)', () => {
    let { state, effects } = stepMember({ before: undefined, events: [register()], facts, now: 1 });
    let answers = answersTo(effects);
    while (state.progress?.stage !== 'joining') {
      ({ state, effects } = stepMember({ before: state, events: answers, facts, now: 2 }));
      answers = answersTo(effects);
    }
    const approved = stepMember({ before: state, events: [...answers, status()], facts, now: 3 });
    expect(approved.state.registrations[0]!.registrationStatus).toBe('APPROVED');
    expect(publishedIn(approved.effects)).toEqual([memberToLinkManagerHostedIdentity.topic, memberToAllMember.topic]);
    expect(shownIn(approved.effects).map(({ registrationStatus }) => registrationStatus)).toEqual(['NEW']);
    const after = stepMember({ before: approved.state, events: [status()], facts, now: 4 });
    expect(shownIn(after.effects).map(({ registrationStatus }) => registrationStatus)).toEqual(['APPROVED']);
    expect(after.state).toBe(approved.state);
  });

  test('whatever comes twice, late or in any batches, there is one approval and it is published once (R1, R4)', () => {
    fc.assert(
      fc.property(fc.array(fc.record({ size: fc.integer({ min: 1, max: 5 }), pick: fc.nat(100), repeat: fc.boolean(), more: fc.constantFrom('register', 'again', 'status', 'stray') }), { minLength: 40, maxLength: 60 }), (turns) => {
        let state: MemberState | undefined;
        const pending: Event[] = [register()];
        const past: Event[] = [];
        const published: string[] = [];
        for (const { size, pick, repeat, more } of turns) {
          const batch: Event[] = [];
          for (let n = 0; n < size && pending.length > 0; n++) batch.push(pending.splice(pick % pending.length, 1)[0]!);
          if (repeat && past.length > 0) batch.push(past[pick % past.length]!);
          if (more === 'register' && state !== undefined) batch.push(register());
          if (more === 'again' && state !== undefined) batch.push(register(`again-${pick}`));
          if (more === 'status') batch.push(status());
          if (more === 'stray') batch.push({ type: 'answer', requestId: 'nobody asked', outcome: { type: 'refused', code: 'X', message: 'no' } });
          const stepped = stepMember({ before: state, events: batch, facts, now: 1 });
          state = stepped.state;
          past.push(...batch.filter(({ type }) => type === 'answer'));
          pending.push(...answersTo(stepped.effects));
          published.push(...publishedIn(stepped.effects));
        }
        expect(state!.registrations.map(({ registrationStatus }) => registrationStatus)).toEqual(['APPROVED']);
        expect(published).toEqual([memberToLinkManagerHostedIdentity.topic, memberToAllMember.topic]);
      }),
    );
  });

  test('whatever crypto answers, the registration ends with a reason or goes on, and nothing is thrown', () => {
    const outcomes: fc.Arbitrary<Outcome> = fc.oneof(
      fc.record({ type: fc.constant('done' as const), value: fc.anything() }),
      fc.record({ type: fc.constant('refused' as const), code: fc.string(), message: fc.string({ maxLength: 5_000 }) }),
    );
    fc.assert(
      fc.property(outcomes, (outcome) => {
        const begun = stepMember({ before: undefined, events: [register()], facts, now: 1 });
        const [first] = answersTo(begun.effects);
        const { state, effects } = stepMember({ before: begun.state, events: [{ ...first!, outcome } as Event], facts, now: 2 });
        expect(publishedIn(effects)).toEqual([]);
        const [registration] = state.registrations;
        if (state.progress === null) expect(registration).toMatchObject({ registrationStatus: 'FAILED', reason: expect.any(String) as string });
        else expect(registration!.registrationStatus).toBe('NEW');
      }),
    );
  });

  test('remembers only so many registrations that failed', () => {
    const unlisted = factsOf('Bob');
    let state: MemberState | undefined;
    for (let n = 0; n < registrationsMax + 5; n++) state = stepMember({ before: state, events: [register(`r-${n}`)], facts: unlisted, now: n }).state;
    expect(state!.registrations).toHaveLength(registrationsMax);
    expect(state!.registrations.at(-1)!.registrationSent).toBe(registrationsMax + 4);
  });
});
