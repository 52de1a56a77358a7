/**
 * One whole handshake and one packet each way with fixed chance, in both modes, compared byte by byte with what was frozen
 * when version 1 of the protocol was set. The vectors are never edited: a change of the protocol is a new version.
 */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { concat, fromBase64url, toBase64url, toHex, utf8 } from '../../../src/cipher/bytes.ts';
import { hmacSha256, sha256 } from '../../../src/cipher/digest.ts';
import { sign } from '../../../src/cipher/signature.ts';
import { x25519 } from '../../../src/cipher/agreement.ts';
import { bytesField } from '../../../src/workers/link-manager/canonical.ts';
import { encodeBody } from '../../../src/workers/link-manager/delivery/delivery.ts';
import { encodeMessage } from '../../../src/workers/link-manager/delivery/body.ts';
import {
  answerHello, beginHandshake, completeInitiator, completeResponder, finishInitiator, hearInitiator, initiatorSigningInput, responderSigningInput,
} from '../../../src/workers/link-manager/session/handshake.ts';
import { handshakeKeys } from '../../../src/workers/link-manager/session/key-schedule.ts';
import { formatPacket, type PacketOf } from '../../../src/workers/link-manager/session/packet.ts';
import { openData, openHandshake, sealData, sealHandshake } from '../../../src/workers/link-manager/session/sealing.ts';
import type { Peering, Refused } from '../../../src/workers/link-manager/session/state.ts';
import {
  finishedInput, hellosBytes, initiatorHelloBytes, provenClaimsBytes, readProvenClaims, responderHelloBytes, type ProtocolMode,
} from '../../../src/workers/link-manager/session/transcript.ts';
import { alice, bob, groupId, type Party } from './cluster-fixture.ts';

const vectorsUrl = new URL('./vectors/handshake-v1.json', import.meta.url);
const hashOf = (party: Party): string => toBase64url(sha256(party.keys.publicKey));
const peeringOf = (mode: ProtocolMode, own: Party, peer: Party, ownSerial: number, peerSerial: number): Peering => ({
  groupId, mode, ownSerial, peerSerial, ownKeyHash: hashOf(own), peerKeys: [{ hash: hashOf(peer), publicKey: toBase64url(peer.keys.publicKey), spec: 'EdDSA' }],
});
const counted = (from: number, length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => (from + i) % 256);
const signAs = (party: Party, data: Uint8Array) => sign({ scheme: 'CORDA.EDDSA.ED25519', spec: 'EdDSA', privateKey: party.keys.privateKey, data });
const must = <Value extends object>(value: Value): Exclude<Value, Refused> => {
  if ('reason' in value) throw new Error(`refused: ${String(value.reason)}`);
  // A refusal is what has a reason.
  return value as Exclude<Value, Refused>;
};

const initiatorSeed = counted(1, 32);
const responderSeed = counted(101, 32);
const streams = { initiator: toBase64url(counted(10, 16)), responder: toBase64url(counted(60, 16)) };

/** The handshake up to the third message, as packets. */
const upToThird = async (mode: ProtocolMode) => {
  const peerings = { initiator: peeringOf(mode, alice, bob, 3, 5), responder: peeringOf(mode, bob, alice, 5, 3) };
  const begun = await beginHandshake({ peering: peerings.initiator, stream: streams.initiator, sessionId: counted(200, 16), seed: initiatorSeed }, 1_000, 2_000);
  const { terms } = begun;
  const hello: PacketOf<'initiator-hello'> = {
    v: 1, type: 'initiator-hello', sessionId: terms.sessionId, groupId, initiatorKeyHash: terms.initiatorKeyHash, responderKeyHash: terms.responderKeyHash, ephemeralKey: terms.initiatorEphemeralKey,
  };
  const incoming = await answerHello(hello, responderSeed, 1_000);
  const helloAnswer: PacketOf<'responder-hello'> = { v: 1, type: 'responder-hello', sessionId: terms.sessionId, ephemeralKey: incoming.responderEphemeralKey };
  const toSign = initiatorSigningInput(begun, incoming.responderEphemeralKey);
  const outgoing = must(await completeInitiator(begun, incoming.responderEphemeralKey, await signAs(alice, toSign)));
  if (outgoing.phase.type !== 'handshake-sent') throw new Error('no third message');
  const third: PacketOf<'initiator-handshake'> = { v: 1, type: 'initiator-handshake', sessionId: terms.sessionId, sealed: outgoing.phase.sealed };
  return { peerings, terms, hello, helloAnswer, incoming, outgoing: { ...outgoing, phase: outgoing.phase }, third, toSign };
};

const wholeHandshake = async (mode: ProtocolMode) => {
  const first = await upToThird(mode);
  const { peerings, incoming, third } = first;
  const heard = must(await hearInitiator(incoming, third, { peering: peerings.responder, ownStream: streams.responder, now: 1_000 }));
  if (heard.phase.type !== 'signing') throw new Error('not signing');
  const signing = { ...heard, phase: heard.phase };
  const responderToSign = responderSigningInput(signing);
  const responderSession = must(await completeResponder(signing, await signAs(bob, responderToSign), 1_000));
  const fourth: PacketOf<'responder-handshake'> = { v: 1, type: 'responder-handshake', sessionId: third.sessionId, sealed: responderSession.answer! };
  const initiatorSession = must(await finishInitiator(first.outgoing, fourth, peerings.initiator, 1_000));
  return { ...first, heard, responderToSign, responderSession, initiatorSession, fourth };
};

const body = (payload: string): Uint8Array =>
  encodeBody({ acknowledged: 7, gap: false, floor: 0, after: 0 }, [
    encodeMessage({ position: 1, value: { messageId: 'message-1', subsystem: 'flow', receiverKey: 'flow-1', senderKey: 'flow-0', expiresAt: 0, payload } }),
  ]);

const computeVectors = async (mode: ProtocolMode): Promise<Record<string, string>> => {
  const all = await wholeHandshake(mode);
  const { terms, helloAnswer, outgoing, heard } = all;
  const secret = await x25519({ privateKey: initiatorSeed, publicKey: fromBase64url(helloAnswer.ephemeralKey) });
  const hellos = hellosBytes(terms, helloAnswer.ephemeralKey);
  const hs = { initiator: handshakeKeys({ secret, hellos, terms, sender: 'initiator' }), responder: handshakeKeys({ secret, hellos, terms, sender: 'responder' }) };
  const fourthPayload = await openHandshake(all.fourth, hs.responder);
  const there = await sealData(all.initiatorSession, body('from the initiator'));
  const back = await sealData(all.responderSession, body('from the responder'));
  if (heard.phase.type !== 'signing') throw new Error('not signing');
  return {
    mode,
    groupId,
    initiatorSessionPublicKey: toHex(alice.keys.publicKey),
    responderSessionPublicKey: toHex(bob.keys.publicKey),
    initiatorEphemeralPrivateKey: toHex(initiatorSeed),
    responderEphemeralPrivateKey: toHex(responderSeed),
    sharedSecret: toHex(secret),
    initiatorHello: formatPacket(all.hello),
    responderHello: formatPacket(helloAnswer),
    initiatorHelloBytes: toHex(initiatorHelloBytes(terms)),
    responderHelloBytes: toHex(responderHelloBytes(terms.sessionId, helloAnswer.ephemeralKey)),
    initiatorHandshakeKey: toHex(hs.initiator.key),
    initiatorHandshakeIv: toHex(hs.initiator.iv),
    initiatorHandshakeMacKey: toHex(hs.initiator.macKey),
    responderHandshakeKey: toHex(hs.responder.key),
    responderHandshakeIv: toHex(hs.responder.iv),
    responderHandshakeMacKey: toHex(hs.responder.macKey),
    initiatorSigningInput: toHex(all.toSign),
    initiatorPayload: toHex(fromBase64url(outgoing.phase.payload)),
    initiatorHandshake: formatPacket(all.third),
    responderSigningInput: toHex(all.responderToSign),
    responderPayload: toHex(fourthPayload!),
    responderHandshake: formatPacket(all.fourth),
    initiatorSessionKey: toHex(fromBase64url(all.initiatorSession.send.key)),
    initiatorSessionIv: toHex(fromBase64url(all.initiatorSession.send.iv)),
    responderSessionKey: toHex(fromBase64url(all.initiatorSession.receive.key)),
    responderSessionIv: toHex(fromBase64url(all.initiatorSession.receive.iv)),
    initiatorBody: toHex(body('from the initiator')),
    initiatorData: formatPacket(there.packet),
    responderBody: toHex(body('from the responder')),
    responderData: formatPacket(back.packet),
  };
};

describe('the handshake, version 1', () => {
  test.each(['Authenticated_Encryption', 'Authentication'] as const)('makes the frozen bytes in mode %s', async (mode) => {
    // The file was written by this test's own computation when version 1 was frozen.
    const vectors = JSON.parse(readFileSync(vectorsUrl, 'utf8')) as Record<string, string>[];
    expect(await computeVectors(mode)).toEqual(vectors.find((vector) => vector['mode'] === mode));
  });

  test('both sides come to the same keys, each sending with what the other receives with', async () => {
    const { initiatorSession, responderSession } = await wholeHandshake('Authenticated_Encryption');
    expect(initiatorSession.send.key).toBe(responderSession.receive.key);
    expect(initiatorSession.receive.iv).toBe(responderSession.send.iv);
    expect(initiatorSession.send.key).not.toBe(initiatorSession.receive.key);
    const { packet } = await sealData(initiatorSession, utf8('hello'));
    expect(await openData(responderSession, packet)).toEqual(utf8('hello'));
  });

  test('a third message whose finished MAC or signature is wrong is refused though its seal is good', async () => {
    const { incoming, third, terms, helloAnswer, peerings } = await upToThird('Authenticated_Encryption');
    const secret = await x25519({ privateKey: initiatorSeed, publicKey: fromBase64url(helloAnswer.ephemeralKey) });
    const hellos = hellosBytes(terms, helloAnswer.ephemeralKey);
    const keys = handshakeKeys({ secret, hellos, terms, sender: 'initiator' });
    const proven = readProvenClaims((await openHandshake(third, keys))!);
    const resealed = async (payload: Uint8Array) => ({ ...third, sealed: await sealHandshake('initiator-handshake', terms.sessionId, keys, payload) });
    const hear = async (payload: Uint8Array) => hearInitiator(incoming, await resealed(payload), { peering: peerings.responder, ownStream: streams.responder, now: 1 });
    const finished = Uint8Array.from(proven.finished, (byte) => byte ^ 1);
    expect(await hear(provenClaimsBytes({ ...proven, finished }))).toMatchObject({ reason: 'bad-mac' });
    const signature = Uint8Array.from(proven.signature, (byte, i) => (i === 9 ? byte ^ 1 : byte));
    const remade = { ...proven, signature, finished: hmacSha256(keys.macKey, finishedInput(hellos, proven.claims, signature)) };
    expect(await hear(provenClaimsBytes(remade))).toMatchObject({ reason: 'bad-signature' });
    expect(await hear(concat(bytesField(proven.claims), bytesField(proven.signature)))).toMatchObject({ reason: 'malformed-packet' });
    expect(await hear(provenClaimsBytes(proven))).not.toHaveProperty('reason');
  });

  test('keys differ when the group differs', async () => {
    const { terms, helloAnswer } = await upToThird('Authenticated_Encryption');
    const secret = await x25519({ privateKey: initiatorSeed, publicKey: fromBase64url(helloAnswer.ephemeralKey) });
    const keysIn = (group: string) => {
      const theirs = { ...terms, groupId: group };
      return toHex(handshakeKeys({ secret, hellos: hellosBytes(theirs, helloAnswer.ephemeralKey), terms: theirs, sender: 'initiator' }).key);
    };
    expect(keysIn('one')).not.toBe(keysIn('other'));
  });

  test('an ephemeral key of low order is refused by both sides', async () => {
    const { peerings, outgoing, hello } = await upToThird('Authenticated_Encryption');
    const zero = toBase64url(new Uint8Array(32));
    const begun = { ...outgoing, phase: { type: 'signing' as const, responderEphemeralKey: zero } };
    expect(await completeInitiator(begun, zero, new Uint8Array(64))).toMatchObject({ reason: 'bad-key' });
    const incoming = await answerHello({ ...hello, ephemeralKey: zero }, responderSeed, 1);
    const third: PacketOf<'initiator-handshake'> = { v: 1, type: 'initiator-handshake', sessionId: hello.sessionId, sealed: 'AAAA' };
    expect(await hearInitiator(incoming, third, { peering: peerings.responder, ownStream: streams.responder, now: 1 })).toMatchObject({ reason: 'bad-key' });
  });
});
