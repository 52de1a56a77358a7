/** How the member room speaks to that of another cluster, or of its own: ids are derived, so that a repeat is the same message (W3). */
import { deriveId, pairTagOf } from '../../../identity/derive.ts';
import { holdingIdentityOf } from '../../../identity/holding-identity.ts';
import type { X500Name } from '../../../identity/x500.ts';
import { allToCryptoSign, signatureSpec } from '../../../messages/all-to-crypto.sign.ts';
import { allToLinkManagerSend } from '../../../messages/all-to-link-manager.send.ts';
import { allToMemberAnswer } from '../../../messages/all-to-member.answer.ts';
import { encode } from '../../../messages/grammar/envelope.ts';
import type { OutRecord } from '../../../messages/grammar/record.ts';
import { toBase64url } from '../../../cipher/bytes.ts';
import type { PeerMessage } from './peer-message.ts';

export type From = { readonly groupId: string; readonly x500Name: string };

/** Names come from the member list or our own views, canonical all. */
export const shortHashOf = (x500Name: string, groupId: string): string => holdingIdentityOf(x500Name as X500Name, groupId).shortHash;

export type Said = {
  readonly from: From;
  readonly to: string;
  readonly receiverKey: string;
  /** What makes this message another than those before it. */
  readonly id: string;
  readonly expiresAt: number;
  readonly message: PeerMessage;
};

export const say = ({ from, to, receiverKey, id, expiresAt, message }: Said): OutRecord => {
  const messageId = deriveId('member-message', from.groupId, from.x500Name, to, id);
  return encode(allToLinkManagerSend, {
    key: pairTagOf(from.groupId, from.x500Name, to),
    id: messageId,
    body: {
      messageId, groupId: from.groupId, source: from.x500Name, destination: to, subsystem: 'member',
      receiverKey, senderKey: receiverKey, expiresAt, payload: JSON.stringify(message),
    },
  });
};

export type SignAsked = { readonly tenant: string; readonly keyId: string; readonly spec: string; readonly id: string; readonly input: Uint8Array };

/** The answer comes back under the tenant's key. */
export const askToSign = ({ tenant, keyId, spec, id, input }: SignAsked): OutRecord => {
  const known = signatureSpec.safeParse(spec);
  return encode(allToCryptoSign, {
    key: tenant, id,
    replyTo: { topic: allToMemberAnswer.topic, key: tenant },
    body: { tenant, keyId, data: toBase64url(input), ...(known.success ? { spec: known.data } : {}) },
  });
};
