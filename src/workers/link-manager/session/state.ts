/** What a pair's state keeps of its sessions: plain JSON, as it stands in the head. Binary is base64url; secrets are sealed (vault.ts). */
import type { PairVault } from '../vault.ts';
import type { Offer, Suite } from './offer.ts';
import type { PacketOf, Sender } from './packet.ts';
import type { Hello, InitiatorClaims, ProtocolMode, Terms } from './transcript.ts';
import type { ReplayWindow } from './window.ts';

/** A session whose keys are agreed. */
export type Session = {
  readonly id: string;
  readonly role: Sender;
  readonly mode: ProtocolMode;
  readonly suite: Suite;
  /** Sealed: keys and ivs of both directions. */
  readonly keys: string;
  /** The last counter used. */
  readonly sent: number;
  readonly received: ReplayWindow;
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
  readonly hello: Hello;
  /** An empty text until the peer asks for one. */
  readonly cookie: string;
  /** When it was taken over; repeats of the hello do not count. */
  readonly cookieAt: number;
  readonly claims: InitiatorClaims;
  readonly startedAt: number;
  readonly sentAt: number;
  readonly resends: number;
  readonly resendAt: number;
  readonly phase:
    /** `seed`: sealed. */
    | { readonly type: 'hello-sent'; readonly seed: string }
    /** `saidInHellos`: their hash. `secret`: sealed. */
    | { readonly type: 'signing'; readonly suite: Suite; readonly saidInHellos: string; readonly secret: string }
    /** `said`: hash of all up to the third message. `sealed`: that message. */
    | {
        readonly type: 'handshake-sent';
        readonly suite: Suite;
        readonly saidInHellos: string;
        readonly said: string;
        readonly secret: string;
        readonly sealed: string;
      };
};

/** A handshake that the peer, or somebody in its name, began. */
export type Incoming = {
  readonly terms: Terms;
  /** Which hello: a repeat is answered as the first was. */
  readonly helloHash: string;
  readonly answer: PacketOf<'responder-hello'>;
  /** Hash of the hellos. */
  readonly saidInHellos: string;
  /** Sealed. */
  readonly secret: string;
  readonly startedAt: number;
  readonly phase:
    | { readonly type: 'hello-answered' }
    | {
        readonly type: 'signing';
        /** Hash of all up to the third message, whose signature and MAC were good. */
        readonly said: string;
        readonly serials: readonly [initiator: number, responder: number];
        readonly mode: ProtocolMode;
        readonly ownStream: string;
        readonly peerStream: string;
        readonly certificates: readonly string[];
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

const outgoingSecret = ({ phase }: Outgoing): string => (phase.type === 'hello-sent' ? phase.seed : phase.secret);

/** With no handshake under way: those that were lead nowhere now. The same object where there was none. */
export const withoutHandshakes = (sessions: Sessions): Sessions =>
  sessions.outgoing === null && sessions.incoming.length === 0 ? sessions : { ...sessions, outgoing: null, incoming: [] };

/** Without what was sealed by a key that this process does not have; the same object where there is nothing of that. */
export const withoutForeign = (sessions: Sessions, vault: PairVault): Sessions => {
  const { ready, outgoing, incoming } = sessions;
  const known = {
    ready: ready.filter(({ keys }) => vault.knows(keys)),
    outgoing: outgoing !== null && vault.knows(outgoingSecret(outgoing)) ? outgoing : null,
    incoming: incoming.filter(({ secret }) => vault.knows(secret)),
  };
  const same = known.ready.length === ready.length && known.outgoing === outgoing && known.incoming.length === incoming.length;
  return same ? sessions : { ...sessions, ...known };
};

/** Why a packet was refused. Strangers are told none of this; the log and the metric are. */
export type RefusalReason =
  | 'malformed-packet'
  | 'too-many-strangers'
  | 'wrong-tag'
  | 'wrong-group'
  | 'unknown-identity'
  | 'unknown-peer'
  | 'virtual-node-paused'
  | 'unknown-session'
  | 'session-not-ready'
  | 'out-of-turn'
  | 'simultaneous-hello'
  | 'cookie-asked'
  | 'half-open-full'
  | 'no-common-offer'
  | 'bad-choice'
  | 'bad-key'
  | 'bad-mac'
  | 'bad-signature'
  | 'bad-certificate'
  | 'serial-mismatch'
  | 'mode-mismatch'
  | 'replayed-counter'
  | 'exhausted-counter'
  | 'stale-stream'
  | 'malformed-body'
  | 'bad-receipt'
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
  /** Of our session key, leaf first; none in a group without session PKI. */
  readonly ownCertificates: readonly string[];
  readonly peerSerial: number;
  readonly peerName: string;
  /** The peer's registered session keys; the first is the one greeted. Never empty. */
  readonly peerKeys: readonly { readonly hash: string; readonly publicKey: string; readonly spec: string }[];
  /** PEM certificates that a member's session certificate must chain to; `null` in a group without session PKI. */
  readonly sessionTrustRoots: readonly string[] | null;
  /** What this cluster offers for the agreement of keys. */
  readonly offer: Offer;
};
