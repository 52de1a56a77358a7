/**
 * One whole handshake and one packet each way with fixed chance, in both modes and both suites, compared byte by byte with what
 * was frozen when version 2 of the protocol was set. The vectors are never edited: a change of the protocol is a new version.
 */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { concat, toBase64url, toHex, utf8 } from '../../../src/cipher/bytes.ts';
import { hmacSha256, sha256 } from '../../../src/cipher/digest.ts';
import { sign } from '../../../src/cipher/signature.ts';
import { bytesField } from '../../../src/workers/link-manager/canonical.ts';
import { linkManagerLimits } from '../../../src/workers/link-manager/config.ts';
import { encodeBody } from '../../../src/workers/link-manager/delivery/delivery.ts';
import { encodeMessage } from '../../../src/workers/link-manager/delivery/body.ts';
import { agree } from '../../../src/workers/link-manager/session/agreement.ts';
import {
  answerHello, beginHandshake, completeInitiator, completeResponder, finishInitiator, hearInitiator, hearResponderHello, initiatorSigningInput, responderSigningInput,
} from '../../../src/workers/link-manager/session/handshake.ts';
import { handshakeKeys } from '../../../src/workers/link-manager/session/key-schedule.ts';
import { offerOf, type KeyAgreement } from '../../../src/workers/link-manager/session/offer.ts';
import { formatPacket, type PacketOf } from '../../../src/workers/link-manager/session/packet.ts';
import { openData, openHandshake, openSessionKeys, sealData, sealHandshake } from '../../../src/workers/link-manager/session/sealing.ts';
import type { Peering, Refused } from '../../../src/workers/link-manager/session/state.ts';
import {
  finishedInput, initiatorHelloBytes, provenClaimsBytes, readProvenClaims, responderHelloBytes, saidInHellos, saidWith, type Hello, type ProtocolMode,
} from '../../../src/workers/link-manager/session/transcript.ts';
import { createVault } from '../../../src/workers/link-manager/vault.ts';
import { alice, bob, groupId, linkKey, tag, type Party } from './cluster-fixture.ts';

const vectorsUrl = new URL('./vectors/handshake-v2.json', import.meta.url);
const hashOf = (party: Party): string => toBase64url(sha256(party.keys.publicKey));
/** `certificates`: of either side; nobody looks into them here. */
type Terms = { readonly mode: ProtocolMode; readonly keyAgreement: KeyAgreement; readonly certificates?: readonly string[] };
const peeringOf = ({ mode, keyAgreement, certificates = [] }: Terms, own: Party, peer: Party, [ownSerial, peerSerial]: readonly [number, number]): Peering => ({
  groupId, mode, ownSerial, peerSerial, ownKeyHash: hashOf(own), ownCertificates: certificates, peerName: peer.name, sessionTrustRoots: null, offer: offerOf(keyAgreement),
  peerKeys: [{ hash: hashOf(peer), publicKey: toBase64url(peer.keys.publicKey), spec: 'EdDSA' }],
});
const counted = (from: number, length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => (from + i) % 256);
const vault = createVault({ keys: [linkKey], random: (length) => counted(0, length), limits: linkManagerLimits }).of(tag);
const signAs = (party: Party, data: Uint8Array) => sign({ scheme: 'CORDA.EDDSA.ED25519', spec: 'EdDSA', privateKey: party.keys.privateKey, data });
const must = <Value extends object>(value: Value): Exclude<Value, Refused> => {
  if ('reason' in value) throw new Error(`refused: ${String(value.reason)}`);
  // A refusal is what has a reason.
  return value as Exclude<Value, Refused>;
};

const initiatorSeed = counted(1, 96);
const responderSeed = counted(101, 64);
const streams = { initiator: toBase64url(counted(10, 16)), responder: toBase64url(counted(60, 16)) };
const hybrid: Terms = { mode: 'Authenticated_Encryption', keyAgreement: 'hybrid-preferred' };

/** The handshake up to the third message, as packets. */
const upToThird = async (terms: Terms) => {
  const peerings = { initiator: peeringOf(terms, alice, bob, [3, 5]), responder: peeringOf(terms, bob, alice, [5, 3]) };
  const begun = await beginHandshake({ peering: peerings.initiator, stream: streams.initiator, sessionId: counted(200, 16), seed: initiatorSeed, vault }, 1_000, 2_000);
  const { hello } = begun;
  const incoming = must(await answerHello(hello, { peering: peerings.responder, seed: responderSeed, vault }, 1_000));
  const signing = must(await hearResponderHello(begun, incoming.answer, vault));
  if (signing.phase.type !== 'signing') throw new Error('nothing to sign');
  const asked = { ...signing, phase: signing.phase };
  const toSign = initiatorSigningInput(asked);
  const outgoing = await completeInitiator(asked, await signAs(alice, toSign), vault);
  if (outgoing.phase.type !== 'handshake-sent') throw new Error('no third message');
  const third: PacketOf<'initiator-handshake'> = { v: 2, type: 'initiator-handshake', sessionId: hello.sessionId, sealed: outgoing.phase.sealed };
  const secret = await agree(incoming.answer.suite, initiatorSeed, incoming.answer);
  return { peerings, begun, hello, incoming, outgoing: { ...outgoing, phase: outgoing.phase }, third, toSign, secret, said: saidInHellos(hello, incoming.answer) };
};

const wholeHandshake = async (terms: Terms) => {
  const first = await upToThird(terms);
  const { peerings, incoming, third } = first;
  const signing = must(await hearInitiator(incoming, third, { peering: peerings.responder, ownStream: streams.responder, vault, now: 1_000 }));
  const responderToSign = responderSigningInput(signing);
  const responderSession = await completeResponder(signing, await signAs(bob, responderToSign), vault, 1_000);
  const fourth: PacketOf<'responder-handshake'> = { v: 2, type: 'responder-handshake', sessionId: third.sessionId, sealed: responderSession.answer! };
  const initiatorSession = must(await finishInitiator(first.outgoing, fourth, { peering: peerings.initiator, vault, now: 1_000 }));
  return { ...first, responderToSign, responderSession, initiatorSession, fourth };
};

const body = (payload: string): Uint8Array =>
  encodeBody({ acknowledged: 7, gap: false, floor: 0, after: 0 }, [
    ...encodeMessage({ position: 1, value: { messageId: 'message-1', subsystem: 'flow', receipt: false, receiverKey: 'flow-1', senderKey: 'flow-0', expiresAt: 0, payload } }),
  ]);

const computeVectors = async (terms: Terms): Promise<Record<string, string>> => {
  const all = await wholeHandshake(terms);
  const { hello, incoming, secret, said } = all;
  const hs = { initiator: handshakeKeys({ secret, said, terms: hello, sender: 'initiator' }), responder: handshakeKeys({ secret, said, terms: hello, sender: 'responder' }) };
  const [thirdPayload, fourthPayload] = [await openHandshake(all.third, hs.initiator), await openHandshake(all.fourth, hs.responder)];
  const keys = await openSessionKeys(all.initiatorSession, vault);
  const there = await sealData(all.initiatorSession, body('from the initiator'), vault);
  const back = await sealData(all.responderSession, body('from the responder'), vault);
  return {
    mode: terms.mode,
    suite: incoming.answer.suite,
    ...(terms.certificates === undefined ? {} : { certificates: terms.certificates.join(' ') }),
    groupId,
    initiatorSessionPublicKey: toHex(alice.keys.publicKey),
    responderSessionPublicKey: toHex(bob.keys.publicKey),
    initiatorSeed: toHex(initiatorSeed),
    responderSeed: toHex(responderSeed),
    sharedSecret: toHex(secret),
    initiatorHello: formatPacket({ ...hello, cookie: '' }),
    responderHello: formatPacket(incoming.answer),
    initiatorHelloBytes: toHex(initiatorHelloBytes(hello)),
    responderHelloBytes: toHex(responderHelloBytes(incoming.answer)),
    saidInHellos: toHex(said),
    initiatorHandshakeKey: toHex(hs.initiator.key),
    initiatorHandshakeIv: toHex(hs.initiator.iv),
    initiatorHandshakeMacKey: toHex(hs.initiator.macKey),
    responderHandshakeKey: toHex(hs.responder.key),
    responderHandshakeIv: toHex(hs.responder.iv),
    responderHandshakeMacKey: toHex(hs.responder.macKey),
    initiatorSigningInput: toHex(all.toSign),
    initiatorPayload: toHex(thirdPayload!),
    saidInThird: toHex(saidWith(said, thirdPayload!)),
    initiatorHandshake: formatPacket(all.third),
    responderSigningInput: toHex(all.responderToSign),
    responderPayload: toHex(fourthPayload!),
    saidInFourth: toHex(saidWith(saidWith(said, thirdPayload!), fourthPayload!)),
    responderHandshake: formatPacket(all.fourth),
    initiatorSessionKey: toHex(keys.send.key),
    initiatorSessionIv: toHex(keys.send.iv),
    responderSessionKey: toHex(keys.receive.key),
    responderSessionIv: toHex(keys.receive.iv),
    initiatorBody: toHex(body('from the initiator')),
    initiatorData: formatPacket(there.packet),
    responderBody: toHex(body('from the responder')),
    responderData: formatPacket(back.packet),
  };
};

const frozen: readonly Terms[] = [
  hybrid,
  { mode: 'Authentication', keyAgreement: 'hybrid-preferred' },
  { mode: 'Authenticated_Encryption', keyAgreement: 'classical' },
  { mode: 'Authenticated_Encryption', keyAgreement: 'hybrid-required', certificates: [toBase64url(counted(30, 40)), toBase64url(counted(90, 50))] },
];

describe('the handshake, version 2', () => {
  test.each(frozen.map((terms, at) => ({ ...terms, at })))('makes the frozen bytes in mode $mode, $keyAgreement', async ({ at, ...terms }) => {
    // The file was written by this test's own computation when version 2 was frozen.
    const vectors = JSON.parse(readFileSync(vectorsUrl, 'utf8')) as Record<string, string>[];
    expect(await computeVectors(terms)).toEqual(vectors[at]);
  });

  test('both sides come to the same keys, each sending with what the other receives with', async () => {
    const { initiatorSession, responderSession } = await wholeHandshake(hybrid);
    const [own, theirs] = [await openSessionKeys(initiatorSession, vault), await openSessionKeys(responderSession, vault)];
    expect([own.send, own.receive]).toEqual([theirs.receive, theirs.send]);
    expect(own.send.key).not.toEqual(own.receive.key);
    const { packet } = await sealData(initiatorSession, utf8('hello'), vault);
    expect(await openData(responderSession, packet, vault)).toEqual(utf8('hello'));
  });

  test('a third message whose finished MAC or signature is wrong is refused though its seal is good', async () => {
    const { incoming, third, hello, secret, said, peerings } = await upToThird(hybrid);
    const keys = handshakeKeys({ secret, said, terms: hello, sender: 'initiator' });
    const proven = readProvenClaims((await openHandshake(third, keys))!);
    const resealed = async (payload: Uint8Array) => ({ ...third, sealed: await sealHandshake('initiator-handshake', hello.sessionId, keys, payload) });
    const hear = async (payload: Uint8Array) => hearInitiator(incoming, await resealed(payload), { peering: peerings.responder, ownStream: streams.responder, vault, now: 1 });
    const finished = Uint8Array.from(proven.finished, (byte) => byte ^ 1);
    expect(await hear(provenClaimsBytes({ ...proven, finished }))).toMatchObject({ reason: 'bad-mac' });
    const signature = Uint8Array.from(proven.signature, (byte, i) => (i === 9 ? byte ^ 1 : byte));
    const remade = { ...proven, signature, finished: hmacSha256(keys.macKey, finishedInput(said, proven.claims, signature)) };
    expect(await hear(provenClaimsBytes(remade))).toMatchObject({ reason: 'bad-signature' });
    expect(await hear(concat(bytesField(proven.claims), bytesField(proven.signature)))).toMatchObject({ reason: 'malformed-packet' });
    expect(await hear(provenClaimsBytes(proven))).not.toHaveProperty('reason');
  });

  test('keys differ when the group differs', async () => {
    const { hello, secret, said } = await upToThird(hybrid);
    const keysIn = (group: string) => toHex(handshakeKeys({ secret, said, terms: { ...hello, groupId: group }, sender: 'initiator' }).key);
    expect(keysIn('one')).not.toBe(keysIn('other'));
  });

  test('an ephemeral key of low order, or what is no ML-KEM key, is refused by both sides', async () => {
    const { peerings, begun, hello, incoming } = await upToThird(hybrid);
    const zero = toBase64url(new Uint8Array(32));
    const answer = (bad: Partial<Hello>) => answerHello({ ...hello, ...bad }, { peering: peerings.responder, seed: responderSeed, vault }, 1);
    expect(await answer({ ephemeralKey: zero })).toMatchObject({ reason: 'bad-key' });
    expect(await answer({ encapsulationKey: toBase64url(new Uint8Array(1_184).fill(255)) })).toMatchObject({ reason: 'bad-key' });
    expect(await hearResponderHello(begun, { ...incoming.answer, ephemeralKey: zero }, vault)).toMatchObject({ reason: 'bad-key' });
  });
});

describe('what the two sides offer', () => {
  const suitesOf = async (initiator: KeyAgreement, responder: KeyAgreement): Promise<string> => {
    const mode = 'Authenticated_Encryption' as const;
    const begun = await beginHandshake({ peering: peeringOf({ mode, keyAgreement: initiator }, alice, bob, [1, 1]), stream: streams.initiator, sessionId: counted(1, 16), seed: initiatorSeed, vault }, 0, 0);
    const incoming = await answerHello(begun.hello, { peering: peeringOf({ mode, keyAgreement: responder }, bob, alice, [1, 1]), seed: responderSeed, vault }, 0);
    return 'reason' in incoming ? incoming.reason : incoming.answer.suite;
  };

  test('leads to the hybrid wherever both may, and to nothing where one must and the other shall not', async () => {
    expect(await suitesOf('hybrid-preferred', 'hybrid-preferred')).toBe('X25519MLKEM768');
    expect(await suitesOf('hybrid-required', 'hybrid-preferred')).toBe('X25519MLKEM768');
    expect(await suitesOf('hybrid-preferred', 'hybrid-required')).toBe('X25519MLKEM768');
    expect(await suitesOf('classical', 'hybrid-preferred')).toBe('X25519');
    expect(await suitesOf('hybrid-preferred', 'classical')).toBe('X25519');
    expect(await suitesOf('classical', 'hybrid-required')).toBe('no-common-offer');
    expect(await suitesOf('hybrid-required', 'classical')).toBe('no-common-offer');
  });

  test('cannot be cut down on the way: a hello without its better suite leads to keys that open nothing', async () => {
    const { begun, hello, peerings } = await upToThird(hybrid);
    const weakened: Hello = { ...hello, suites: ['X25519'], encapsulationKey: '' };
    const incoming = must(await answerHello(weakened, { peering: peerings.responder, seed: responderSeed, vault }, 1_000));
    expect(incoming.answer.suite).toBe('X25519');
    // The responder's offer shows that it could have done better, so the initiator stops here ...
    expect(await hearResponderHello(begun, incoming.answer, vault)).toMatchObject({ reason: 'bad-choice' });
    // ... and where that is cut down too, the transcripts differ: the third message does not open.
    const signing = must(await hearResponderHello(begun, { ...incoming.answer, suites: ['X25519'] }, vault));
    if (signing.phase.type !== 'signing') throw new Error('nothing to sign');
    const outgoing = await completeInitiator({ ...signing, phase: signing.phase }, new Uint8Array(64), vault);
    if (outgoing.phase.type !== 'handshake-sent') throw new Error('no third message');
    const third: PacketOf<'initiator-handshake'> = { v: 2, type: 'initiator-handshake', sessionId: hello.sessionId, sealed: outgoing.phase.sealed };
    expect(await hearInitiator(incoming, third, { peering: peerings.responder, ownStream: streams.responder, vault, now: 1_000 })).toMatchObject({ reason: 'bad-mac' });
  });

  test('may name versions and suites of later days, which are signed and not chosen', async () => {
    const { hello, peerings } = await upToThird(hybrid);
    const later: Hello = { ...hello, versions: [2, 3], suites: ['SOMETHING-BETTER', ...hello.suites] };
    const incoming = must(await answerHello(later, { peering: peerings.responder, seed: responderSeed, vault }, 1_000));
    expect([incoming.answer.version, incoming.answer.suite]).toEqual([2, 'X25519MLKEM768']);
    expect(toHex(initiatorHelloBytes(later))).not.toBe(toHex(initiatorHelloBytes(hello)));
  });
});
