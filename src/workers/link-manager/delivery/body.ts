/**
 * What is inside a sealed data packet, in the canonical encoding: an acknowledgement of the other direction, and messages of
 * this one. `floor` and `after` tell the receiver about numbers that will never come (their messages ran out of time).
 */
import { concat, type Bytes } from '../../../cipher/bytes.ts';
import { packetCharsMax } from '../../../messages/link-manager-to-gateway.link-out.ts';
import { payloadCharsMax } from '../../../messages/all-to-link-manager.send.ts';
import { CanonicalError, createCanonicalReader, textField, u32, u64, u8 } from '../canonical.ts';
import type { OutboundItem, OutboundMessage } from './backlog.ts';

export type CarriedMessage = {
  readonly seq: number;
  readonly messageId: string;
  readonly subsystem: 'flow';
  readonly receiverKey: string;
  readonly payload: string;
};

export type DataBody = {
  /** All messages of the other direction up to this number have been handed on; 0 for none. */
  readonly acknowledged: number;
  /** The other direction has a gap after `acknowledged`: please repeat from there. */
  readonly gap: boolean;
  /** Nothing numbered up to this will be sent again. */
  readonly floor: number;
  /** Between this number and the last message here, there is nothing but the messages here. */
  readonly after: number;
  /** In ascending order. */
  readonly messages: readonly CarriedMessage[];
};

const formatVersion = 1;
const subsystemCodes = { flow: 1 } as const;
const headerBytes = 1 + 8 + 1 + 8 + 8 + 4;
/** Outer JSON of a data packet and the tag or MAC of its sealing. */
const outerChars = 300;
const sealBytes = 32;

/** Messages of one packet, encoded, may take so many bytes. */
export const messagesBytesMax = Math.floor(((packetCharsMax - outerChars) * 3) / 4) - sealBytes - headerBytes;

const idBytesMax = 800;
const payloadBytesMax = payloadCharsMax * 3;
const messagesMax = 100_000;

export const encodeMessage = ({ position, value }: OutboundItem): Bytes =>
  concat(u64(position), textField(value.messageId), u8(subsystemCodes[value.subsystem]), textField(value.receiverKey), textField(value.payload));

/** UTF-8 takes at most three bytes for a UTF-16 code unit; only where that might not fit is the message encoded to see. */
export const isTooLarge = (message: OutboundMessage): boolean =>
  (message.payload.length + message.messageId.length + message.receiverKey.length) * 3 + 100 > messagesBytesMax &&
  encodeMessage({ position: 1, value: message }).length > messagesBytesMax;

export type BodyHeader = Omit<DataBody, 'messages'>;

export const encodeBody = (header: BodyHeader, messages: readonly Uint8Array[]): Bytes =>
  concat(u8(formatVersion), u64(header.acknowledged), u8(header.gap ? 1 : 0), u64(header.floor), u64(header.after), u32(messages.length), ...messages);

/** Throws CanonicalError. The peer is authenticated, but its numbers are still checked. */
export const decodeBody = (bytes: Uint8Array): DataBody => {
  const reader = createCanonicalReader(bytes);
  const version = reader.u8();
  if (version !== formatVersion) throw new CanonicalError(`body format ${version} is unknown`);
  const acknowledged = reader.u64();
  const flags = reader.u8();
  if (flags > 1) throw new CanonicalError(`flags ${flags} are unknown`);
  const floor = reader.u64();
  const after = reader.u64();
  if (after < floor) throw new CanonicalError('a number before the floor');
  const count = reader.u32();
  if (count > messagesMax) throw new CanonicalError(`${count} messages in one packet`);
  const messages: CarriedMessage[] = [];
  for (let i = 0; i < count; i++) {
    const seq = reader.u64();
    if (seq <= (messages.at(-1)?.seq ?? after)) throw new CanonicalError('message numbers do not ascend');
    const messageId = reader.text(idBytesMax);
    if (reader.u8() !== subsystemCodes.flow) throw new CanonicalError('an unknown subsystem');
    messages.push({ seq, messageId, subsystem: 'flow', receiverKey: reader.text(idBytesMax), payload: reader.text(payloadBytesMax) });
  }
  reader.end();
  return { acknowledged, gap: flags === 1, floor, after, messages };
};
