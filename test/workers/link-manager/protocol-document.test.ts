/**
 * A second reader of the protocol, written from docs/protocol.md with Node's own cryptography and none of our code: given the
 * ephemeral keys of a captured handshake it opens everything. Where it fails, the document or the code has changed.
 */
import {
  createDecipheriv, createHash, createHmac, createPrivateKey, createPublicKey, decapsulate, diffieHellman, hkdfSync, verify,
} from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';

type Vector = Record<string, string>;
const vectors = JSON.parse(readFileSync(new URL('./vectors/handshake-v2.json', import.meta.url), 'utf8')) as Vector[];
type Fields = Record<string, string> & { counter: number; version: number; versions: number[]; suites: string[] };

const u32 = (value: number): Buffer => { const out = Buffer.alloc(4); out.writeUInt32BE(value); return out; };
const u64 = (value: number): Buffer => { const out = Buffer.alloc(8); out.writeBigUInt64BE(BigInt(value)); return out; };
const u16 = (value: number): Buffer => Buffer.from([value >> 8, value & 255]);
const bytes = (value: Buffer): Buffer => Buffer.concat([u32(value.length), value]);
const text = (value: string): Buffer => bytes(Buffer.from(value, 'utf8'));
const b64 = (value: string): Buffer => Buffer.from(value, 'base64url');
const sha256 = (...parts: Buffer[]): Buffer => createHash('sha256').update(Buffer.concat(parts)).digest();

/** Takes fields off the front. */
const reader = (buffer: Buffer) => {
  let at = 0;
  const take = (length: number): Buffer => buffer.subarray(at, (at += length));
  const read = { u8: () => take(1).readUInt8(), u32: () => take(4).readUInt32BE(), u64: () => Number(take(8).readBigUInt64BE()), bytes: () => take(read.u32()), text: () => read.bytes().toString('utf8'), left: () => buffer.length - at };
  return read;
};

const x25519Keys = (privateKey: Buffer, peer: Buffer) => ({
  privateKey: createPrivateKey({ key: Buffer.concat([Buffer.from('302e020100300506032b656e04220420', 'hex'), privateKey]), format: 'der', type: 'pkcs8' }),
  publicKey: createPublicKey({ key: Buffer.concat([Buffer.from('302a300506032b656e032100', 'hex'), peer]), format: 'der', type: 'spki' }),
});
/** RFC 9935: a private key as its seed. */
const mlKemKey = (seed: Buffer) =>
  createPrivateKey({ key: Buffer.concat([Buffer.from('3054020100300b060960864801650304040204428040', 'hex'), seed]), format: 'der', type: 'pkcs8' });
const openGcm = (key: Buffer, nonce: Buffer, aad: Buffer, sealed: Buffer): Buffer => {
  const decipher = createDecipheriv('aes-256-gcm', key, nonce).setAAD(aad).setAuthTag(sealed.subarray(-16));
  return Buffer.concat([decipher.update(sealed.subarray(0, -16)), decipher.final()]);
};
const offer = ({ versions, suites }: Fields): Buffer =>
  Buffer.concat([Buffer.from([versions.length]), ...versions.map(u16), Buffer.from([suites.length]), ...suites.map(text)]);

describe.each(vectors)('a captured handshake in mode $mode with $suite, read by the document', (vector) => {
  const packet = (name: string): Fields => JSON.parse(vector[name]!) as Fields;
  const [hello, helloAnswer] = [packet('initiatorHello'), packet('responderHello')];
  const sessionId = b64(hello['sessionId']!);
  const hashes = [b64(hello['initiatorKeyHash']!), b64(hello['responderKeyHash']!)] as const;
  const h1 = Buffer.concat([
    text('Cordage session, initiator hello'), u16(2), bytes(sessionId), text(hello['groupId']!), ...hashes.map(bytes), offer(hello),
    bytes(b64(hello['ephemeralKey']!)), bytes(b64(hello['encapsulationKey']!)),
  ]);
  const h2 = Buffer.concat([
    text('Cordage session, responder hello'), u16(helloAnswer.version), bytes(sessionId), offer(helloAnswer), text(helloAnswer['suite']!),
    bytes(b64(helloAnswer['ephemeralKey']!)), bytes(b64(helloAnswer['encapsulated']!)),
  ]);
  const saidInHellos = sha256(h1, h2);
  const seed = Buffer.from(vector['initiatorSeed']!, 'hex');
  const ecdh = diffieHellman(x25519Keys(seed.subarray(0, 32), b64(helloAnswer['ephemeralKey']!)));
  const isHybrid = helloAnswer['suite'] === 'X25519MLKEM768';
  const secret = isHybrid ? Buffer.concat([decapsulate(mlKemKey(seed.subarray(32)), b64(helloAnswer['encapsulated']!)), ecdh]) : ecdh;
  const derive = (salt: Buffer, side: string, label: string, length: number, serials: Buffer = Buffer.alloc(0)): Buffer => {
    const info = Buffer.concat([text(`Cordage session, ${side} ${label}`), u16(2), text(hello['groupId']!), ...hashes.map(bytes), serials]);
    return Buffer.from(hkdfSync('sha256', secret, salt, info, length));
  };

  const openPayload = (side: 'initiator' | 'responder', said: Buffer, publicKeyHex: string) => {
    const sealed = b64(packet(`${side}Handshake`)['sealed']!);
    const aad = Buffer.concat([text(`Cordage session, ${side}-handshake`), u16(2), bytes(sessionId)]);
    const payload = openGcm(derive(saidInHellos, side, 'handshake key', 32), derive(saidInHellos, side, 'handshake iv', 12), aad, sealed);
    const fields = reader(payload);
    const [claims, signature, finished] = [fields.bytes(), fields.bytes(), fields.bytes()];
    const signed = Buffer.concat([Buffer.alloc(64, 0x20), Buffer.from(`Cordage session, ${side} signature`), Buffer.from([0]), sha256(said, bytes(claims))]);
    const publicKey = createPublicKey({ key: Buffer.from(publicKeyHex, 'hex'), format: 'der', type: 'spki' });
    expect(verify(null, signed, publicKey, signature)).toBe(true);
    const macKey = derive(saidInHellos, side, 'handshake mac key', 32);
    expect(createHmac('sha256', macKey).update(sha256(said, bytes(claims), bytes(signature))).digest()).toEqual(finished);
    expect(fields.left()).toBe(0);
    return { said: sha256(said, bytes(payload)), claims: reader(claims) };
  };
  const third = openPayload('initiator', saidInHellos, vector['initiatorSessionPublicKey']!);
  const fourth = openPayload('responder', third.said, vector['responderSessionPublicKey']!);
  const modeCode = vector['mode'] === 'Authentication' ? 2 : 1;
  const serials = [3, 5] as const;

  test('the hellos name the session keys, and the claims repeat them with serials, mode, streams and certificates', () => {
    expect(hashes[0]).toEqual(sha256(Buffer.from(vector['initiatorSessionPublicKey']!, 'hex')));
    const { claims } = third;
    expect(claims.text()).toBe(vector['groupId']);
    expect([claims.bytes(), claims.bytes()]).toEqual([...hashes]);
    expect([claims.u64(), claims.u64(), claims.u8(), claims.bytes().length]).toEqual([...serials, modeCode, 16]);
    expect([fourth.claims.bytes(), fourth.claims.u8(), fourth.claims.bytes().length]).toEqual([hashes[1], modeCode, 16]);
    for (const side of [claims, fourth.claims]) {
      const certificates = Array.from({ length: side.u8() }, () => [...side.bytes()]);
      expect(certificates).toEqual(vector['certificates'] === undefined ? [] : [Array.from({ length: 40 }, (_, i) => 30 + i), Array.from({ length: 50 }, (_, i) => 90 + i)]);
      expect(side.left()).toBe(0);
    }
  });

  test.each(['initiator', 'responder'] as const)('a data packet of the %s opens with the session keys', (side) => {
    const data = packet(`${side}Data`);
    const bound = Buffer.concat(serials.map(u64));
    const [key, iv] = [derive(fourth.said, side, 'session key', 32, bound), derive(fourth.said, side, 'session iv', 12, bound)];
    const header = Buffer.concat([text('Cordage session, data'), u16(2), bytes(sessionId), text(side), u64(data.counter)]);
    const sealed = b64(data['sealed']!);
    const nonce = Buffer.from(iv.map((byte, i) => byte ^ Buffer.concat([u32(0), u64(data.counter)])[i]!));
    const body = modeCode === 1 ? openGcm(key, nonce, header, sealed) : sealed.subarray(0, -32);
    if (modeCode === 2) expect(createHmac('sha256', key).update(Buffer.concat([bytes(header), body])).digest()).toEqual(sealed.subarray(-32));
    const fields = reader(body);
    expect([fields.u8(), fields.u64(), fields.u8(), fields.u64(), fields.u64(), fields.u32()]).toEqual([2, 7, 0, 0, 0, 1]);
    expect([fields.u64(), fields.u8(), fields.u8(), fields.u8(), fields.u8()]).toEqual([1, 1, 0, 0, 1]);
    expect([fields.text(), fields.text(), fields.bytes().toString('utf8'), fields.left()]).toEqual(['message-1', 'flow-1', `from the ${side}`, 0]);
  });
});
