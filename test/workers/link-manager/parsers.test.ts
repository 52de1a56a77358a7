import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { fromBase64url, textOf, toBase64url, toHex, utf8 } from '../../../src/cipher/bytes.ts';
import { CanonicalError, createCanonicalReader } from '../../../src/workers/link-manager/canonical.ts';
import { decodeBody, encodeBody, type DataBody } from '../../../src/workers/link-manager/delivery/delivery.ts';
import { encodeMessage } from '../../../src/workers/link-manager/delivery/body.ts';
import { isRecent, printOf, remember } from '../../../src/workers/link-manager/delivery/recent-ids.ts';
import { formatPacket, parsePacket, type Packet } from '../../../src/workers/link-manager/session/packet.ts';
import { emptyWindow, isReplay, markSeen } from '../../../src/workers/link-manager/session/window.ts';

const base64urlOf = (length: number): fc.Arbitrary<string> => fc.uint8Array({ minLength: length, maxLength: length }).map(toBase64url);
const v = fc.constant(2 as const);
const offer = { versions: fc.array(fc.integer({ min: 1, max: 65_535 }), { minLength: 1, maxLength: 16 }), suites: fc.array(fc.stringMatching(/^[!-~]{1,40}$/), { maxLength: 14 }) };
const cookie = fc.oneof(fc.constant(''), base64urlOf(32));
const packetArbitrary: fc.Arbitrary<Packet> = fc.oneof(
  fc
    .record({ v, type: fc.constant('initiator-hello' as const), sessionId: base64urlOf(16), groupId: fc.string({ minLength: 1, maxLength: 100 }), initiatorKeyHash: base64urlOf(32), responderKeyHash: base64urlOf(32), ...offer, ephemeralKey: base64urlOf(32), encapsulationKey: base64urlOf(1_184), cookie })
    .chain((hello) => fc.constantFrom<Packet>({ ...hello, suites: ['X25519MLKEM768', ...hello.suites] }, { ...hello, suites: ['X25519'], encapsulationKey: '' })),
  fc.record({ v, type: fc.constant('hello-retry' as const), sessionId: base64urlOf(16), cookie: base64urlOf(32) }),
  fc
    .record({ v, type: fc.constant('responder-hello' as const), sessionId: base64urlOf(16), versions: offer.versions, suites: fc.constant<string[]>(['X25519MLKEM768', 'X25519']), version: fc.constant(2 as const), suite: fc.constantFrom('X25519MLKEM768' as const, 'X25519' as const), ephemeralKey: base64urlOf(32), encapsulated: base64urlOf(1_088) })
    .map((hello): Packet => ({ ...hello, encapsulated: hello.suite === 'X25519' ? '' : hello.encapsulated })),
  fc.record({ v, type: fc.constantFrom('initiator-handshake' as const, 'responder-handshake' as const), sessionId: base64urlOf(16), sealed: base64urlOf(200) }),
  fc.record({ v, type: fc.constant('data' as const), sessionId: base64urlOf(16), sender: fc.constantFrom('initiator' as const, 'responder' as const), counter: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }), sealed: base64urlOf(99) }),
  fc.record({ v, type: fc.constant('session-unknown' as const), sessionId: base64urlOf(16) }),
);

const messageArbitrary = fc.record({ step: fc.integer({ min: 1, max: 5 }), subsystem: fc.constantFrom('flow' as const, 'receipt' as const), receipt: fc.boolean(), messageId: fc.string({ maxLength: 30 }), receiverKey: fc.string({ maxLength: 30 }), payload: fc.string({ maxLength: 300, unit: 'grapheme' }) });
const bodyArbitrary: fc.Arbitrary<DataBody> = fc
  .record({ acknowledged: fc.nat(), gap: fc.boolean(), floor: fc.nat(1_000), skip: fc.nat(10), messages: fc.array(messageArbitrary, { maxLength: 8 }) })
  .map(({ acknowledged, gap, floor, skip, messages }) => {
    let seq = floor + skip;
    return { acknowledged, gap, floor, after: floor + skip, messages: messages.map(({ step, payload, ...message }) => ({ ...message, seq: (seq += step), part: 0, parts: 1, payload: utf8(payload) })) };
  });

const encode = ({ messages, ...header }: DataBody): Uint8Array =>
  encodeBody(header, messages.flatMap(({ seq, payload, part: _part, parts: _parts, ...message }) => [...encodeMessage({ position: seq, value: { ...message, senderKey: '', expiresAt: 0, payload: textOf(payload) } })]));

/** Bytes that were changed may hold a part, or text that is not UTF-8: those are compared by what they are read as. */
const isPlain = ({ messages }: DataBody): boolean =>
  messages.every(({ parts, payload }) => parts === 1 && toHex(utf8(new TextDecoder('utf-8', { ignoreBOM: true }).decode(payload))) === toHex(payload));

describe('the parsers of what comes from outside', () => {
  test('a packet reads back as it was written', () => {
    fc.assert(fc.property(packetArbitrary, (packet) => {
      expect(parsePacket(formatPacket(packet))).toEqual({ type: 'packet', packet });
    }));
  });

  test('no text makes the packet parser throw, and nothing but a packet is one', () => {
    fc.assert(fc.property(fc.oneof(fc.string(), fc.json(), fc.string({ unit: 'binary', maxLength: 2_000 })), (text) => {
      expect(parsePacket(text).type).toBe('malformed');
    }));
  });

  test('a packet with a field more, less or of another type is malformed', () => {
    fc.assert(fc.property(packetArbitrary, fc.nat(), fc.jsonValue(), (packet, at, value) => {
      const names = Object.keys(packet);
      const name = names[at % names.length]!;
      const { [name as keyof Packet]: _gone, ...without } = packet;
      expect(parsePacket(JSON.stringify({ ...packet, extra: value })).type).toBe('malformed');
      expect(parsePacket(JSON.stringify(without)).type).toBe('malformed');
      expect(parsePacket(JSON.stringify({ ...packet, [name]: [[value]] })).type).toBe('malformed');
    }));
  });

  test('a body reads back as it was written, and has one encoding', () => {
    fc.assert(fc.property(bodyArbitrary, (body) => {
      const bytes = encode(body);
      expect(decodeBody(bytes)).toEqual(body);
      expect(encode(decodeBody(bytes))).toEqual(bytes);
    }));
  });

  test('changed, cut and lengthened bodies are refused or read as something else that is well formed, never with another error', () => {
    fc.assert(fc.property(bodyArbitrary, fc.nat(), fc.integer({ min: 1, max: 255 }), (body, at, flip) => {
      const bytes = encode(body);
      const changed = Uint8Array.from(bytes);
      changed[at % changed.length]! ^= flip;
      for (const input of [changed, bytes.subarray(0, at % bytes.length), Uint8Array.of(...bytes, flip)]) {
        try {
          const read = decodeBody(input);
          if (isPlain(read)) expect(encode(read)).toEqual(Uint8Array.from(input));
        } catch (error) {
          expect(error).toBeInstanceOf(CanonicalError);
        }
      }
    }));
  });

  test('random bytes never make the canonical reader read beyond them', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
      const reader = createCanonicalReader(bytes);
      try {
        reader.u8(); reader.u16(); reader.u64(); reader.bytes(10); reader.text(10);
        reader.end();
      } catch (error) {
        expect(error).toBeInstanceOf(CanonicalError);
      }
    }));
  });

  test('identifiers of a packet have one spelling', () => {
    fc.assert(fc.property(fc.stringMatching(/^[A-Za-z0-9_-]{22}$/), (text) => {
      const parsed = parsePacket(JSON.stringify({ v: 2, type: 'session-unknown', sessionId: text }));
      if (parsed.type === 'packet') expect(toBase64url(fromBase64url(text))).toBe(text);
    }));
  });
});

describe('the replay window', () => {
  test('accepts each counter once, in any order within the window, and nothing older', () => {
    fc.assert(fc.property(fc.array(fc.integer({ min: 1, max: 200 }), { maxLength: 300 }), fc.integer({ min: 1, max: 128 }), (counters, size) => {
      let window = emptyWindow;
      const seen = new Set<number>();
      let highest = 0;
      for (const counter of counters) {
        const expected = seen.has(counter) || counter <= highest - size;
        expect(isReplay(window, counter, size)).toBe(expected);
        if (expected) continue;
        window = markSeen(window, counter, size);
        seen.add(counter);
        highest = Math.max(highest, counter);
      }
    }));
  });
});

describe('recent message ids', () => {
  test('the last ids up to the bound are known, older ones are not', () => {
    let recent = '';
    for (let i = 0; i < 100; i++) recent = remember(recent, printOf(`id ${i}`), 32);
    for (let i = 0; i < 100; i++) expect(isRecent(recent, printOf(`id ${i}`))).toBe(i >= 68);
    expect(recent).toHaveLength(32 * 12);
  });
});
