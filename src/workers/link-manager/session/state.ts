/** What a pair's state keeps of its sessions: plain JSON, as it stands in the head. Binary is base64url. */
import type { Sender } from './packet.ts';
import type { InitiatorClaims, ProtocolMode, Terms } from './transcript.ts';
import type { ReplayWindow } from './window.ts';

/** A session whose keys are agreed. Its secrets stand here in clear: see docs/protocol.md, section 8. */
export type Session = {
  readonly id: string;
  readonly role: Sender;
  readonly mode: ProtocolMode;
  /** `counter`: the last one used. */
  readonly send: { readonly key: string; readonly iv: string; readonly counter: number };
  readonly receive: { readonly key: string; readonly iv: string; readonly window: ReplayWindow };
  /** Serials of both members that it was agreed for; with others it is not sent on any more. */
  readonly serials: readonly [initiator: number, responder: number];
  readonly readyAt: number;
  /** The peer has sealed something with it, so it holds the keys too. */
  readonly confirmed: boolean;
  /** Set when a newer session took its place: until then its packets are still read. */
  readonly readableUntil: number | null;
  /** The numberings of messages that this session was agreed for. */
  readonly ownStream: string;
  readonly peerStream: string;
  /** The fourth message, kept by the responder until the session is confirmed. */
  readonly answer: string | null;
};

/** A handshake that this side began. */
export type Outgoing = {
  readonly terms: Terms;
  readonly ephemeralPrivateKey: string;
  readonly claims: InitiatorClaims;
  readonly startedAt: number;
  readonly sentAt: number;
  readonly resends: number;
  readonly resendAt: number;
  readonly phase:
    | { readonly type: 'hello-sent' }
    | { readonly type: 'signing'; readonly responderEphemeralKey: string }
    | { readonly type: 'handshake-sent'; readonly responderEphemeralKey: string; readonly payload: string; readonly sealed: string };
};

/** A handshake that the peer, or somebody in its name, began. */
export type Incoming = {
  readonly terms: Terms;
  readonly responderEphemeralKey: string;
  readonly ephemeralPrivateKey: string;
  readonly startedAt: number;
  readonly phase:
    | { readonly type: 'hello-answered' }
    | {
        readonly type: 'signing';
        /** The third message's payload; its signature and MAC were good. */
        readonly payload: string;
        readonly serials: readonly [initiator: number, responder: number];
        readonly mode: ProtocolMode;
        readonly ownStream: string;
        readonly peerStream: string;
        readonly askedAt: number;
      };
};

export type Sessions = {
  /** Newest first. */
  readonly ready: readonly Session[];
  readonly outgoing: Outgoing | null;
  readonly incoming: readonly Incoming[];
  /** Handshakes begun since the last success: slows the next one down. */
  readonly attempts: number;
  /** No handshake is begun before this. */
  readonly notBefore: number;
};

export const noSessions: Sessions = { ready: [], outgoing: null, incoming: [], attempts: 0, notBefore: 0 };

/** Why a packet was refused. Strangers are told none of this; the log and the metric are. */
export type RefusalReason =
  | 'malformed-packet'
  | 'wrong-tag'
  | 'wrong-group'
  | 'unknown-identity'
  | 'unknown-peer'
  | 'virtual-node-paused'
  | 'unknown-session'
  | 'session-not-ready'
  | 'out-of-turn'
  | 'simultaneous-hello'
  | 'half-open-full'
  | 'bad-key'
  | 'bad-mac'
  | 'bad-signature'
  | 'serial-mismatch'
  | 'mode-mismatch'
  | 'replayed-counter'
  | 'stale-stream'
  | 'malformed-body'
  | 'impossible-acknowledgement'
  | 'notice-ignored';

export type Refused = { readonly type: 'refused'; readonly reason: RefusalReason; readonly detail?: string };

export const refused = (reason: RefusalReason, detail?: string): Refused => ({
  type: 'refused',
  reason,
  ...(detail === undefined ? {} : { detail }),
});

/** What this cluster knows of both sides of a pair when a step begins. */
export type Peering = {
  readonly groupId: string;
  readonly mode: ProtocolMode;
  readonly ownKeyHash: string;
  readonly ownSerial: number;
  readonly peerSerial: number;
  /** The peer's registered session keys; the first is the one greeted. Never empty. */
  readonly peerKeys: readonly { readonly hash: string; readonly publicKey: string; readonly spec: string }[];
};
