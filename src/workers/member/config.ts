/** Bounds of the member room, with unit and reason, and what it tells others of the platform. */

export { registrationContextMax } from '../../messages/rest-to-member.registration.ts';

/** UTF-16 code units of the reason that a registration ended for. */
export const reasonCharsMax = 2_000;

/** Registrations remembered of one virtual node; the oldest that failed are forgotten. */
export const registrationsMax = 20;

/** UTF-16 code units of one registration's context, keys and values: all that are remembered fit into one answer. */
export const contextCharsMax = 30_000;

/** UTF-8 bytes of a member context's JSON text: sealed and in base64url it is one unauthenticated message (150,000 characters). */
export const memberContextBytesMax = 90_000;
/** Certificates in the chain of a session key: a leaf and the authorities above it. */
export const sessionCertificatesMax = 8;

/** Custom fields `ext.*` of a member, and the length of a key and of any value, in UTF-16 code units (Corda). */
export const customFieldsMax = 100;
export const contextKeyCharsMax = 128;
export const contextValueCharsMax = 800;

/** UTF-16 code units of an answer's value as JSON text: a record (1,000,000) less its envelope and ids. */
export const replyCharsMax = 990_000;

/** Parsed group policies kept in memory, by the checksum of their CPI: a cluster has a few networks. */
export const policiesCachedMax = 50;

/** First wait before a registration that nobody answered is sent again; doubles up to the longest (Corda: 40 s). */
export const resendMsMin = 1_000;
export const resendMsMax = 40_000;
/** A registration that the manager has answered is shown to it again this often, to learn of what was lost on the way. */
export const askAgainMs = 10 * 60_000;
/** Messages between member rooms that cannot be delivered are given up after this; what they said is asked for again. */
export const peerMessageTtlMs = 24 * 3_600_000;

/** A virtual node that is deleted waits so long for crypto to sign and seal what its manager is told. */
export const leavingAnswerMs = 10_000;

/** Whoever has heard nothing new asks the manager for its list after this at the latest; operators say when (`MemberTimes`). */
export const syncMs = 48 * 3_600_000;
/** Members of one network: its state holds a name and a hash of each, 1.5 MB in all, and is written with each version. */
export const membersMax = 10_000;
/** Members of one cluster that are told of a new version: one suffices, a second is there if that one cannot hear. */
export const toldPerCluster = 2;
/** How often the next page of a list is asked for before the list is asked for anew: some 20 min. */
export const resumesMax = 5;
/** Entries kept while a list comes in pages: all of a network. */
export const entriesStagedMax = membersMax;
/** UTF-16 code units of the entries in one message of the manager: it is sealed whole and fits into a packet. */
export const pageCharsMax = 400_000;

// ── At the manager ───────────────────────────────────────────────────────────────────────────────────────────────────

/** A request is taken this long after it was written; later it is a replay. Longer than its member tries. */
export const requestMsMax = 45 * 60_000;
/** By which a member's clock may be ahead of the manager's. */
export const clockSkewMs = 5 * 60_000;
/** Requests under way at one time, with some 4 kB of state each; operators see to those that wait for them. */
export const requestsMax = 500;
/** Sealed texts of strangers that crypto is opening, and how long it may take. */
export const openingMax = 200;
export const openingMs = 60_000;
/** Requests that have ended, remembered by id: whoever repeats one is told again. Longer than a request can be repeated. */
export const endedKeptMax = 1_000;
/** Requests that have ended, kept for operators to read. */
export const historyMax = 1_000;
/** Somebody who was declined is known to this cluster so long, to be told of it. */
export const leavingMs = 30 * 60_000;
/** Commands of operators that a repeat is answered of: more than are under way when a worker is killed. */
export const commandsKeptMax = 50;
/** Steps of matching the approval rules against one request, some 20 ns each: 60 keys take 200 ordinary rules about 2,000,000. */
export const ruleStepsMax = 10_000_000;
/** Approval rules of each kind, and tokens. */
export const rulesMax = 200;
export const tokensMax = 2_000;

/** What a member's context says of us. */
export { platformVersion, softwareVersion } from '../../messages/grammar/platform.ts';

/** Times that operators set (`corda.membership`), in ms; read at each step. */
export type MemberTimes = {
  /** Whoever has heard nothing new asks the manager for its list this often. */
  readonly syncMs: number;
  /** A registration that the manager has not answered by then has failed. */
  readonly giveUpMs: number;
  /** A member that does not answer the question whether a request is its own is declined. */
  readonly verificationMs: number;
};
