/** Ids are derived from what they name, never drawn, so that a repeat makes the same id (W3). */
import { hexToBytes } from '@noble/hashes/utils.js';
import { sha256Hex } from '../host/sha256.ts';

/** As hex. Parts are length-prefixed, so that no two lists of parts hash alike. */
const digest = (label: string, parts: readonly string[]): string => {
  let text = `${label.length}:${label}`;
  for (const part of parts) text += `${part.length}:${part}`;
  return sha256Hex(text);
};

const base64urlOf = (hex: string): string => {
  let binary = '';
  for (const byte of hexToBytes(hex)) binary += String.fromCharCode(byte);
  return btoa(binary).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '');
};

/** A UUID (RFC 9562, version 8) derived from a label and parts. */
export const deriveId = (label: string, ...parts: readonly string[]): string => {
  const hex = digest(label, parts);
  // The version is a digit of its own, the variant the upper two bits of another.
  const variant = '89ab'[Number.parseInt(hex[16]!, 16) & 3];
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-${variant}${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
};

/** A flow that REST starts: the same client request id at the same virtual node is the same flow. */
export const flowIdOf = (shortHash: string, clientRequestId: string): string => deriveId('flow', shortHash, clientRequestId);

/** 64 bits of a digest as base64url: chance needs longer than that to meet with another incarnation of one flow id. */
const incarnationHexDigits = 16;

/**
 * Tells a flow from others that begin under its id: a client may use its request id again once the flow was removed, while other rooms
 * remember for days what the earlier one has asked. It comes of the message that begins the flow, whose id REST draws for each request:
 * so that message begins the same flow however often it comes, and another one another.
 */
export const incarnationOf = (startId: string): string => base64urlOf(digest('incarnation', [startId]).slice(0, incarnationHexDigits));

/** What the ids of all that a flow does are derived from. Flows of before had no incarnation. */
export const originOf = (flowId: string, incarnation: string | undefined): string => (incarnation === undefined ? flowId : `${flowId}/${incarnation}`);

/** The nth session a flow opens. */
export const sessionIdOf = (origin: string, index: number): string => deriveId('session', origin, String(index));

/** The flow that answers a session at a virtual node. Naming the counterparty keeps a stranger from hitting another's flow. */
export const responderFlowIdOf = (groupId: string, responder: string, initiator: string, sessionId: string): string =>
  deriveId('responder', groupId, responder, initiator, sessionId);

/** Names a pair of identities in a group, the same from both sides, without saying who they are: base64url of a SHA-256. */
export const pairTagOf = (groupId: string, one: string, other: string): string => {
  const [first, second] = one < other ? [one, other] : [other, one];
  return base64urlOf(digest('pair', [groupId, first, second]));
};
