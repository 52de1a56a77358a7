/** Sealing and opening packets. The nonce is the direction's iv XOR the counter, as in TLS 1.3 (RFC 8446 section 5.3). */
import { openAesGcm, sealAesGcm } from '../../../cipher/aead.ts';
import { concat, equalConstantTime, fromBase64url, toBase64url, type Bytes } from '../../../cipher/bytes.ts';
import { CipherError } from '../../../cipher/cipher-error.ts';
import { hmacSha256 } from '../../../cipher/digest.ts';
import { bytesField, textField, u16, u64 } from '../canonical.ts';
import type { PairVault } from '../vault.ts';
import type { DirectionKeys, HandshakeKeys } from './key-schedule.ts';
import { protocolVersion } from './offer.ts';
import type { Packet, PacketOf, Sender } from './packet.ts';
import type { Session } from './state.ts';

const macLength = 32;

/** The packet's outer fields, so that none can be changed or moved to another packet. */
const headerBytes = (type: Packet['type'], sessionId: string): Bytes =>
  concat(textField(`Cordage session, ${type}`), u16(protocolVersion), bytesField(fromBase64url(sessionId)));

const dataHeaderBytes = (sessionId: string, sender: Sender, counter: number): Bytes =>
  concat(headerBytes('data', sessionId), textField(sender), u64(counter));

const nonceOf = (iv: Uint8Array, counter: number): Bytes => {
  const nonce = Uint8Array.from(iv);
  for (const [i, byte] of u64(counter).entries()) nonce[i + 4]! ^= byte;
  return nonce;
};

/** `undefined` where the tag is wrong or the text is no base64url; other errors are thrown on. */
const opened = async (open: () => Promise<Uint8Array>): Promise<Uint8Array | undefined> => {
  try {
    return await open();
  } catch (error) {
    if (error instanceof CipherError) return undefined;
    throw error;
  }
};

type HandshakeType = 'initiator-handshake' | 'responder-handshake';

export const sealHandshake = async (type: HandshakeType, sessionId: string, keys: HandshakeKeys, payload: Uint8Array): Promise<string> =>
  toBase64url(await sealAesGcm({ key: keys.key, nonce: keys.iv, aad: headerBytes(type, sessionId), plaintext: payload }));

export const openHandshake = (packet: PacketOf<HandshakeType>, keys: HandshakeKeys): Promise<Uint8Array | undefined> =>
  opened(async () => {
    const ciphertext = fromBase64url(packet.sealed);
    return openAesGcm({ key: keys.key, nonce: keys.iv, aad: headerBytes(packet.type, packet.sessionId), ciphertext });
  });

// ── Keys of a session, as they are sealed at rest ────────────────────────────────────────────────────────────────────

const keyLength = 32;
const ivLength = 12;
const directionLength = keyLength + ivLength;

export type SessionKeys = { readonly send: DirectionKeys; readonly receive: DirectionKeys };

export const sealSessionKeys = ({ send, receive }: SessionKeys, sessionId: string, vault: PairVault): Promise<string> =>
  vault.seal('session keys', sessionId, concat(send.key, send.iv, receive.key, receive.iv));

export const openSessionKeys = async (session: Session, vault: PairVault): Promise<SessionKeys> => {
  // Copied, since cipher ports want bytes over a buffer of their own.
  const bytes = Uint8Array.from(await vault.open('session keys', session.id, session.keys));
  const at = (start: number): DirectionKeys => ({ key: bytes.subarray(start, start + keyLength), iv: bytes.subarray(start + keyLength, start + directionLength) });
  return { send: at(0), receive: at(directionLength) };
};

// ── Data ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Seals with the next counter; the session returned is the one to go on with. */
export const sealData = async (session: Session, body: Uint8Array, vault: PairVault): Promise<{ packet: PacketOf<'data'>; session: Session }> => {
  const counter = session.sent + 1;
  const { key, iv } = (await openSessionKeys(session, vault)).send;
  const header = dataHeaderBytes(session.id, session.role, counter);
  const sealed =
    session.mode === 'Authentication'
      ? concat(body, hmacSha256(key, concat(bytesField(header), body)))
      : await sealAesGcm({ key, nonce: nonceOf(iv, counter), aad: header, plaintext: body });
  return {
    packet: { v: protocolVersion, type: 'data', sessionId: session.id, sender: session.role, counter, sealed: toBase64url(sealed) },
    session: { ...session, sent: counter },
  };
};

/** The body, or `undefined` where it was not sealed by the session's peer. */
export const openData = (session: Session, packet: PacketOf<'data'>, vault: PairVault): Promise<Uint8Array | undefined> =>
  opened(async () => {
    if (packet.sender === session.role) throw new CipherError('CIPHER_OPEN_FAILED', 'a packet of ours came back');
    const { key, iv } = (await openSessionKeys(session, vault)).receive;
    const header = dataHeaderBytes(session.id, packet.sender, packet.counter);
    const sealed = fromBase64url(packet.sealed);
    if (session.mode === 'Authenticated_Encryption') {
      return openAesGcm({ key, nonce: nonceOf(iv, packet.counter), aad: header, ciphertext: sealed });
    }
    const body = sealed.subarray(0, Math.max(sealed.length - macLength, 0));
    const mac = hmacSha256(key, concat(bytesField(header), body));
    if (!equalConstantTime(mac, sealed.subarray(body.length))) throw new CipherError('CIPHER_OPEN_FAILED', 'the MAC is wrong');
    return body;
  });
