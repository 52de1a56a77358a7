/** Ids are derived from what they name, never drawn, so that a repeat makes the same id (W3). */
import { bytesToHex } from '@noble/hashes/utils.js';
import { sha256 } from '../host/sha256.ts';

const encoder = new TextEncoder();

/** Parts are length-prefixed, so that no two lists of parts hash alike. */
const digest = (label: string, parts: readonly string[]): Uint8Array =>
  sha256(encoder.encode([label, ...parts].map((part) => `${part.length}:${part}`).join('')));

/** A UUID (RFC 9562, version 8) derived from a label and parts. */
export const deriveId = (label: string, ...parts: readonly string[]): string => {
  const bytes = digest(label, parts).slice(0, 16);
  bytes[6] = (bytes[6]! & 0x0f) | 0x80;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  const hex = bytesToHex(bytes);
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
};

/** A flow that REST starts: the same client request id at the same virtual node is the same flow. */
export const flowIdOf = (shortHash: string, clientRequestId: string): string => deriveId('flow', shortHash, clientRequestId);

/** The nth session a flow opens. */
export const sessionIdOf = (flowId: string, index: number): string => deriveId('session', flowId, String(index));

/** The flow that answers a session at a virtual node. Naming the counterparty keeps a stranger from hitting another's flow. */
export const responderFlowIdOf = (groupId: string, responder: string, initiator: string, sessionId: string): string =>
  deriveId('responder', groupId, responder, initiator, sessionId);

/** Names a pair of identities in a group, the same from both sides, without saying who they are: base64url of a SHA-256. */
export const pairTagOf = (groupId: string, one: string, other: string): string => {
  const [first, second] = one < other ? [one, other] : [other, one];
  let binary = '';
  for (const byte of digest('pair', [groupId, first, second])) binary += String.fromCharCode(byte);
  return btoa(binary).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '');
};
