/**
 * Receipts: the receiver's signature over what it was handed on, kept by the sender (docs/protocol.md, section 6).
 *
 *     sender                                        receiver
 *     message, "a receipt is asked for" ──────────▶ hands it on; crypto signs
 *     checks digest, key and signature; keeps it ◀── receipt, a message of its own in the other direction
 *
 * Kept ones are items of the pair at negative positions, receipt n at -n; the oldest beyond a bound are dropped.
 */
import * as z from 'zod';
import { fromBase64url, toBase64url, utf8, concat, type Bytes } from '../../../cipher/bytes.ts';
import { CipherError } from '../../../cipher/cipher-error.ts';
import { sha256 } from '../../../cipher/digest.ts';
import { verify } from '../../../cipher/signature.ts';
import { deriveId } from '../../../identity/derive.ts';
import { signatureSpec } from '../../../messages/all-to-crypto.sign.ts';
import { base64url, timestampMs } from '../../../messages/grammar/shapes.ts';
import type { Receipt } from '../../../messages/rest-to-link-manager.receipt.ts';
import { bytesField, textField, u16, u64 } from '../canonical.ts';
import { contextualised } from '../session/session.ts';

/** A message of the peer that was handed on, and that crypto is to sign for. */
export type OwedReceipt = {
  readonly requestId: string;
  readonly messageId: string;
  readonly digest: string;
  readonly receivedAt: number;
  readonly keyHash: string;
  readonly askedAt: number;
};

/** A message of ours whose receipt has not come. */
export type AwaitedReceipt = { readonly messageId: string; readonly digest: string; readonly until: number };

export type Receipts = {
  readonly owed: readonly OwedReceipt[];
  readonly awaited: readonly AwaitedReceipt[];
  /** The number of the next one that is kept. */
  readonly next: number;
};

export const noReceipts: Receipts = { owed: [], awaited: [], next: 1 };

/** As it is stored. */
export type KeptReceipt = Omit<Receipt, 'number'> & { readonly type: 'receipt' };

export const digestOf = (payload: string): string => toBase64url(sha256(utf8(payload)));

/** Derived from where the message stood, so that a repeat asks for the same (W3). */
export const receiptIdOf = (stream: string, seq: number): string => deriveId('receipt', stream, String(seq));

export type Parties = { readonly groupId: string; readonly receiver: string; readonly sender: string };
type Stated = Pick<Receipt, 'messageId' | 'digest' | 'receivedAt' | 'keyHash'>;

/** What the receiver's session key signs. */
export const receiptSigningInput = ({ groupId, receiver, sender }: Parties, stated: Stated): Bytes =>
  contextualised(
    'Cordage session, receipt',
    sha256(
      concat(
        u16(1),
        textField(groupId),
        textField(receiver),
        textField(sender),
        textField(stated.messageId),
        bytesField(fromBase64url(stated.digest)),
        u64(stated.receivedAt),
        bytesField(fromBase64url(stated.keyHash)),
      ),
    ),
  );

const carried = z.strictObject({
  v: z.literal(1),
  messageId: z.string().max(200),
  digest: base64url.length(43),
  receivedAt: timestampMs,
  keyHash: base64url.length(43),
  signature: base64url.max(2_000),
});

/** The payload of a receipt's message. */
export const formatReceipt = ({ messageId, digest, receivedAt, keyHash }: OwedReceipt, signature: string): string =>
  JSON.stringify({ v: 1, messageId, digest, receivedAt, keyHash, signature } satisfies z.infer<typeof carried>);

const parseCarried = (payload: string): z.infer<typeof carried> | undefined => {
  try {
    return carried.safeParse(JSON.parse(payload)).data;
  } catch {
    return undefined;
  }
};

type Key = { readonly hash: string; readonly publicKey: string; readonly spec: string };

const isSigned = async (key: Key, data: Uint8Array, signature: string): Promise<boolean> => {
  const spec = signatureSpec.safeParse(key.spec);
  if (!spec.success) return false;
  try {
    return await verify({ publicKey: fromBase64url(key.publicKey), spec: spec.data, data, signature: fromBase64url(signature) });
  } catch (error) {
    if (error instanceof CipherError) return false;
    throw error;
  }
};

/** What is kept of a receipt that came, or why it is worth nothing. */
export const judgeReceipt = async (
  payload: string,
  { receipts, parties, peerKeys }: { readonly receipts: Receipts; readonly parties: Parties; readonly peerKeys: readonly Key[] },
): Promise<KeptReceipt | string> => {
  const read = parseCarried(payload);
  if (read === undefined) return 'it cannot be read';
  const { v: _v, ...stated } = read;
  const awaited = receipts.awaited.find(({ messageId }) => messageId === stated.messageId);
  if (awaited === undefined) return 'nobody waits for it';
  if (awaited.digest !== stated.digest) return 'it is for another content';
  const key = peerKeys.find(({ hash }) => hash === stated.keyHash);
  if (key === undefined) return 'its key is not registered';
  if (!(await isSigned(key, receiptSigningInput(parties, stated), stated.signature))) return 'its signature is wrong';
  return { type: 'receipt', ...stated, publicKey: key.publicKey, spec: key.spec };
};
