/** Hears `all-to-link-manager.answer`: crypto has signed a handshake, or would not. */
import { fromBase64url, toBase64url } from '../../cipher/bytes.ts';
import { allToCryptoSign } from '../../messages/all-to-crypto.sign.ts';
import { allToLinkManagerAnswer } from '../../messages/all-to-link-manager.answer.ts';
import type { Answer, Outcome } from '../../messages/grammar/envelope.ts';
import type { Hearing } from '../../shell/worker.ts';
import type { LinkEvent } from './head.ts';
import { takeReceiptSignature } from './receipts.ts';
import { hearSignature, hearSignatureRefused } from './session/session.ts';
import { applyHeard, refuse, routeOf, sessionContextOf, setHead, type Turn } from './turn.ts';

export const hearsAnswer: Hearing<Answer, LinkEvent> = {
  wire: allToLinkManagerAnswer,
  toEvent: ({ body }) => ({ type: 'answer', requestId: body.requestId, outcome: body.outcome }),
};

const signatureOf = (outcome: Outcome): { signature: Uint8Array } | { fault: string } => {
  if (outcome.type === 'refused') return { fault: `${outcome.code}: ${outcome.message}` };
  const reply = allToCryptoSign.reply!.safeParse(outcome.value);
  return reply.success ? { signature: fromBase64url(reply.data.signature) } : { fault: 'the answer holds no signature' };
};

export const onAnswer = async (turn: Turn, { requestId, outcome }: { requestId: string; outcome: Outcome }): Promise<void> => {
  const { head } = turn;
  if (head === undefined) return;
  const route = routeOf(turn, head.pair);
  // A pair that cannot be reached now has no use for the handshake; it is begun anew when it can.
  if (route.type !== 'remote') return;
  const context = sessionContextOf(turn, route, head);
  const signed = signatureOf(outcome);
  if (takeReceiptSignature(turn, head, requestId, 'fault' in signed ? signed : { signature: toBase64url(signed.signature) })) return;
  if ('fault' in signed) {
    const sessions = hearSignatureRefused(head.sessions, requestId, context);
    if (sessions === undefined) return;
    turn.deps.log.error('link-manager.signature-refused', {
      tag: turn.key, tenant: route.signer.tenant, keyId: route.signer.keyId, reason: signed.fault,
      remedy: 'the session key that this identity registered with must exist in crypto',
    });
    return setHead(turn, { ...head, sessions });
  }
  const heard = await hearSignature(head.sessions, requestId, signed.signature, context);
  if (heard === undefined) return;
  if (heard.type === 'refused') return refuse(turn, heard);
  applyHeard(turn, route, head, heard);
};
