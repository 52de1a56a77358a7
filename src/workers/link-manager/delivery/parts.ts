/**
 * A message that came in part. It waits in memory alone: nothing of it is acknowledged before it is whole, so where memory is
 * lost its sender sends it again.
 */
import { concat, textOf } from '../../../cipher/bytes.ts';
import { CipherError } from '../../../cipher/cipher-error.ts';
import { payloadCharsMax } from '../../../messages/all-to-link-manager.send.ts';
import { CanonicalError } from '../canonical.ts';
import type { Subsystem } from './backlog.ts';
import type { CarriedMessage } from './body.ts';

/** A message in one piece. */
export type WholeMessage = {
  readonly seq: number;
  readonly subsystem: Subsystem;
  readonly receipt: boolean;
  readonly messageId: string;
  readonly receiverKey: string;
  readonly payload: string;
};

export type PartialMessage = { readonly stream: string | null; readonly seq: number; readonly parts: readonly (CarriedMessage | undefined)[] };

/** Throws CanonicalError on what no honest peer sends. */
export const wholeOf = (parts: readonly CarriedMessage[]): WholeMessage => {
  const { seq, subsystem, receipt, messageId, receiverKey } = parts[0]!;
  const payload = textOrRefusal(parts.map((part) => part.payload));
  if (payload.length > payloadCharsMax) throw new CanonicalError(`a payload of ${payload.length} characters where ${payloadCharsMax} are allowed`);
  return { seq, subsystem, receipt, messageId, receiverKey, payload };
};

const textOrRefusal = (parts: readonly Uint8Array[]): string => {
  try {
    return textOf(parts.length === 1 ? parts[0]! : concat(...parts));
  } catch (error) {
    if (error instanceof CipherError) throw new CanonicalError('a payload that is not UTF-8');
    throw error;
  }
};

const isPartOf = (partial: PartialMessage, stream: string | null, message: CarriedMessage): boolean =>
  partial.stream === stream && partial.seq === message.seq && partial.parts.length === message.parts;

/** Puts a part to those before it; parts may come in any order. The message, once all are there. */
export const addPart = (partial: PartialMessage | undefined, stream: string | null, message: CarriedMessage): { readonly partial?: PartialMessage; readonly whole?: WholeMessage } => {
  const known = partial !== undefined && isPartOf(partial, stream, message) ? partial.parts : Array.from({ length: message.parts }, () => undefined);
  const parts = known.with(message.part, message);
  const present = parts.filter((part) => part !== undefined);
  if (present.length < message.parts) return { partial: { stream, seq: message.seq, parts } };
  return { whole: wholeOf(present) };
};
