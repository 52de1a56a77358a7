/** What the steps of a session are given, and what they give. */
import type { Bytes } from '../../../cipher/bytes.ts';
import { deriveId } from '../../../identity/derive.ts';
import type { LinkManagerLimits } from '../config.ts';
import type { HelloGate } from '../hello-gate.ts';
import type { PairVault } from '../vault.ts';
import { protocolVersion } from './offer.ts';
import type { Packet, Sender } from './packet.ts';
import type { Peering, Refused, Session, Sessions } from './state.ts';

export type SessionContext = {
  readonly tag: string;
  readonly peering: Peering;
  /** The name of our numbering of messages. */
  readonly ownStream: string;
  readonly now: number;
  readonly random: (length: number) => Uint8Array;
  readonly limits: LinkManagerLimits;
  readonly vault: PairVault;
  readonly helloGate: HelloGate;
};

export type SignRequest = { readonly requestId: string; readonly data: Bytes };

export type Heard = {
  readonly type: 'heard';
  readonly sessions: Sessions;
  readonly out: readonly Packet[];
  readonly sign?: SignRequest;
  /** A session became ready in this step. */
  readonly established?: Session;
  /** An authenticated body, of the session as it was sealed for. */
  readonly body?: { readonly session: Session; readonly bytes: Uint8Array };
  /** What was heard was put aside for this reason, though something was answered. */
  readonly putAside?: Refused;
};

export const heard = (sessions: Sessions, out: readonly Packet[] = []): Heard => ({ type: 'heard', sessions, out });

export const signatureIdOf = (sessionId: string, role: Sender): string => deriveId('session-signature', sessionId, role);

export const handshakeOf = (type: 'initiator-handshake' | 'responder-handshake', sessionId: string, sealed: string): Packet => ({
  v: protocolVersion, type, sessionId, sealed,
});

/** A session is ready: the newest first, those before it readable for a while, of other streams none. */
export const establish = (sessions: Sessions, session: Session, { now, limits }: SessionContext): Sessions => {
  const kept = sessions.ready
    .filter((old) => old.peerStream === session.peerStream && old.ownStream === session.ownStream)
    .map((old) => ({ ...old, readableUntil: old.readableUntil ?? now + limits.sessionGraceMs }));
  return { ...sessions, ready: [session, ...kept].slice(0, limits.sessionsMax), attempts: 0, notBefore: 0 };
};
