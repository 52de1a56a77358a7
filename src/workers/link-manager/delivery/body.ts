/**
 * What is inside a sealed data packet, in the canonical encoding: an acknowledgement of the other direction, and messages of
 * this one. `floor` and `after` tell the receiver about numbers that will never come (their messages ran out of time). A message
 * that does not fit into one packet goes in parts, each in a packet of its own, all under the message's one number.
 */
import { concat, utf8, type Bytes } from '../../../cipher/bytes.ts';
import { packetCharsMax } from '../../../messages/link-manager-to-gateway.link-out.ts';
import { CanonicalError, createCanonicalReader, bytesField, textField, u32, u64, u8, type CanonicalReader } from '../canonical.ts';
import type { OutboundItem, Subsystem } from './backlog.ts';

export type CarriedMessage = {
  readonly seq: number;
  readonly subsystem: Subsystem;
  /** The sender asks for a signed receipt. */
  readonly receipt: boolean;
  /** From 0; `parts` is 1 for a message in one piece. */
  readonly part: number;
  readonly parts: number;
  readonly messageId: string;
  readonly receiverKey: string;
  /** UTF-8, of this part. */
  readonly payload: Uint8Array;
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
  /** In ascending order; a part stands alone. */
  readonly messages: readonly CarriedMessage[];
};

const formatVersion = 2;
const subsystemCodes: Record<Subsystem, number> = { flow: 1, receipt: 2, member: 3 };
const headerBytes = 1 + 8 + 1 + 8 + 8 + 4;
/** Outer JSON of a data packet and the tag or MAC of its sealing. */
const outerChars = 300;
const sealBytes = 32;

/** Messages of one packet, encoded, may take so many bytes. */
export const messagesBytesMax = Math.floor(((packetCharsMax - outerChars) * 3) / 4) - sealBytes - headerBytes;

/** Parts of one message: the longest payload in UTF-8 takes three. */
export const partsMax = 4;

const idBytesMax = 800;
const messagesMax = 100_000;

const fixedBytes = 8 + 1 + 1 + 1 + 1 + 4 + 4 + 4;
/** Of the texts of a message in one piece, for which no room has to be reckoned: a code unit takes three bytes at most. */
const shortCharsMax = Math.floor((messagesBytesMax - fixedBytes) / 3);
const encoder = new TextEncoder();

/** Writes a text behind its length; gives where the next field begins. */
const putText = (bytes: Uint8Array, view: DataView, at: number, text: string): number => {
  const { written } = encoder.encodeInto(text, bytes.subarray(at + 4));
  view.setUint32(at, written);
  return at + 4 + written;
};

/** As `encodeLong` does for one part, in one buffer. */
const encodeShort = ({ position, value }: OutboundItem): Bytes => {
  const { messageId, receiverKey, payload } = value;
  const bytes = new Uint8Array(fixedBytes + 3 * (messageId.length + receiverKey.length + payload.length));
  const view = new DataView(bytes.buffer);
  bytes.set(u64(position));
  bytes[8] = subsystemCodes[value.subsystem];
  bytes[9] = value.receipt ? 1 : 0;
  bytes[10] = 0;
  bytes[11] = 1;
  const end = putText(bytes, view, putText(bytes, view, putText(bytes, view, 12, messageId), receiverKey), payload);
  return bytes.subarray(0, end);
};

/** The message in as many parts as it needs, each encoded; one for nearly all. */
export const encodeMessage = (item: OutboundItem): readonly Bytes[] => {
  const { messageId, receiverKey, payload } = item.value;
  return messageId.length + receiverKey.length + payload.length <= shortCharsMax ? [encodeShort(item)] : encodeLong(item);
};

const encodeLong = ({ position, value }: OutboundItem): readonly Bytes[] => {
  const payload = utf8(value.payload);
  const before = concat(u64(position), u8(subsystemCodes[value.subsystem]), u8(value.receipt ? 1 : 0));
  const ids = concat(textField(value.messageId), textField(value.receiverKey));
  const room = messagesBytesMax - before.length - 2 - ids.length - 4;
  const parts = Math.max(1, Math.ceil(payload.length / room));
  return Array.from({ length: parts }, (_, part) =>
    concat(before, u8(part), u8(parts), ids, bytesField(payload.subarray(part * room, (part + 1) * room))),
  );
};

export type BodyHeader = Omit<DataBody, 'messages'>;

export const encodeBody = (header: BodyHeader, messages: readonly Uint8Array[]): Bytes =>
  concat(u8(formatVersion), u64(header.acknowledged), u8(header.gap ? 1 : 0), u64(header.floor), u64(header.after), u32(messages.length), ...messages);

const readFlag = (reader: CanonicalReader, what: string): boolean => {
  const flags = reader.u8();
  if (flags > 1) throw new CanonicalError(`${what} flags ${flags} are unknown`);
  return flags === 1;
};

const readSubsystem = (reader: CanonicalReader): Subsystem => {
  const code = reader.u8();
  if (code === subsystemCodes.flow) return 'flow';
  if (code === subsystemCodes.receipt) return 'receipt';
  if (code === subsystemCodes.member) return 'member';
  throw new CanonicalError(`subsystem ${code} is unknown`);
};

const readMessage = (reader: CanonicalReader): CarriedMessage => {
  const message: CarriedMessage = {
    seq: reader.u64(),
    subsystem: readSubsystem(reader),
    receipt: readFlag(reader, 'message'),
    part: reader.u8(),
    parts: reader.u8(),
    messageId: reader.text(idBytesMax),
    receiverKey: reader.text(idBytesMax),
    payload: reader.bytes(messagesBytesMax),
  };
  if (message.parts < 1 || message.parts > partsMax || message.part >= message.parts) {
    throw new CanonicalError(`part ${message.part} of ${message.parts}, where ${partsMax} are allowed`);
  }
  return message;
};

/** Throws CanonicalError. The peer is authenticated, but its numbers are still checked. */
export const decodeBody = (bytes: Uint8Array): DataBody => {
  const reader = createCanonicalReader(bytes);
  const version = reader.u8();
  if (version !== formatVersion) throw new CanonicalError(`body format ${version} is unknown`);
  const acknowledged = reader.u64();
  const gap = readFlag(reader, 'body');
  const floor = reader.u64();
  const after = reader.u64();
  if (after < floor) throw new CanonicalError('a number before the floor');
  const count = reader.u32();
  if (count > messagesMax) throw new CanonicalError(`${count} messages in one packet`);
  const messages: CarriedMessage[] = [];
  for (let i = 0; i < count; i++) {
    const message = readMessage(reader);
    if (message.seq <= (messages.at(-1)?.seq ?? after)) throw new CanonicalError('message numbers do not ascend');
    if (message.parts > 1 && count > 1) throw new CanonicalError('a part beside other messages');
    messages.push(message);
  }
  reader.end();
  return { acknowledged, gap, floor, after, messages };
};
