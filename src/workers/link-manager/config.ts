/** Bounds of this room. Times in milliseconds, sizes in UTF-16 code units of text unless the name says bytes. */
export type LinkManagerLimits = { readonly [Name in keyof typeof linkManagerLimits]: number };

export const linkManagerLimits = {
  /** First wait for the answer to a handshake message; doubles with each repeat. A handshake takes two round trips and two signatures. */
  handshakeResendMsMin: 1_000,
  /** Longest wait between repeats: a peer back after days is greeted within a minute. */
  handshakeResendMsMax: 60_000,
  /** Repeats of the third message before a fresh handshake begins: the peer has forgotten this one. */
  handshakeResendsMax: 3,
  /** A half-open handshake of a peer is forgotten after this. */
  halfOpenMsMax: 60_000,
  /** Half-open handshakes kept per pair, so that forged hellos cannot push out the honest one at will. */
  halfOpenMax: 4,
  /** A half-open handshake younger than this is not pushed out by another hello. */
  halfOpenMsMin: 5_000,
  /**
   * Half-open handshakes of all pairs that one replica began without having asked for a cookie: what restarts of a few dozen
   * peers make at one time. Beyond, and for a pair's second one, the cookie comes first.
   */
  halfOpenUnprovenMax: 100,
  /** Half-open handshakes of one member, proven to be its own, with all identities here: as many as it needs after a restart. */
  halfOpenPerSourceMax: 500,
  /** Half-open handshakes of all pairs that one replica began: some 30 MB of states, and what it can bring to an end in time. */
  halfOpenTotalMax: 10_000,
  /** A cookie is good in the window it was made in and the next one. */
  cookieWindowMs: 30_000,
  /** Cookies that one replica asks for in a second: more than it can bring handshakes to an end in. */
  cookiesPerSecondMax: 1_000,
  /** A hello is said again at once with a cookie, but to those who ask on and on only this often. */
  helloRetryMs: 250,
  /** Secrets of sessions and handshakes kept open in memory: two of each of some thousands of busy pairs. */
  openedSecretsMax: 10_000,
  /** A signature asked of crypto and not answered is asked for again, with the same id. */
  signatureRepeatMs: 10_000,

  /** A session older than this is renewed with the next message. */
  sessionRenewMs: 24 * 3_600_000,
  /** A session past this is no longer used, renewed or not. */
  sessionMsMax: 7 * 24 * 3_600_000,
  /** Packets in one direction after which a session is renewed: far below what one AES-GCM key may seal (2^32). */
  sessionRenewPackets: 2 ** 20,
  /** Packets in one direction after which a session is not used any more. */
  sessionPacketsMax: 2 ** 24,
  /** The side that answered the last handshake waits this much longer before it renews, so that both do not at once. */
  sessionRenewResponderMs: 600_000,
  /** How long packets of a replaced session are still read. */
  sessionGraceMs: 120_000,
  /** Sessions readable at one time: the newest, the one before, one in between. */
  sessionsMax: 3,
  /** Counters behind the highest that are still told apart from replays. */
  replayWindow: 256,

  /** First wait for an acknowledgement; doubles up to the maximum, with jitter of a quarter. */
  resendMsMin: 1_000,
  resendMsMax: 60_000,
  /** Unanswered repeats after which the session itself is doubted and a fresh handshake begins. */
  resendsBeforeHandshake: 3,
  /** A receiver's report of a gap is followed at most this often. */
  gapResendMs: 200,
  /** An acknowledgement waits this long for a message to ride with: longer than a flow takes to say the next thing. */
  ackDelayMs: 100,
  /** It waits no longer once this part of a window came: a quarter. Its peer's windows are like its own. */
  ackWindowParts: 4,
  /** Wakings stand on this grid: the column of due times stays as it is from step to step, and its index is not written. */
  wakeGridMs: 50,
  /** Messages and characters of payload under way to one peer and not acknowledged. */
  windowMessages: 256,
  windowChars: 2_000_000,
  /** Messages waiting for one pair; a further one is refused to its sender. */
  backlogMessagesMax: 1_000_000,
  /** Of the waiting messages, those kept in memory between steps. At least two windows. */
  cachedMessagesMax: 1_024,
  cachedChars: 6_000_000,
  /** Messages that ran out of time and are not in memory are looked for at most this often, and a page of them in this time. */
  expirySweepMs: 2_000,
  sweepPageMs: 50,
  /** Messages that came in part and wait for the rest, of all pairs of one replica: some 80 MB at most. */
  partialsMax: 32,
  /** Receipts of one pair: those that crypto is to sign, at a time; a further message waits. */
  receiptsOwedMax: 64,
  /** Messages of one pair whose receipts have not come; a further one is refused to its sender. */
  receiptsAwaitedMax: 256,
  /** How long after a message's own time its receipt may still come. */
  receiptTtlMs: 7 * 24 * 3_600_000,
  /** Receipts of one pair that are kept: the newest. */
  receiptsKeptMax: 10_000,
  /** Message ids remembered per pair to recognise a sender's repeats. */
  recentIdsMax: 256,

  /** Packets of no session that one replica hands to managers in a second: far more than join, few enough to open and judge. */
  unauthenticatedPerSecondMax: 50,

  /** Wait before looking again for a peer that is no member yet, or a virtual node that is paused. */
  holdMsMin: 500,
  holdMsMax: 30_000,
  /** The views are brought up to date for a stranger's sake at most this often: it costs four reads of the bus. */
  directoryRefreshMs: 100,
  /** Pairs whose tags are known; beyond this, packets of unknown sessions are not answered with a notice. */
  pairTagsMax: 100_000,
  /** Notices of an unknown session: one a pair in this time, and so many a second in all. */
  noticeMs: 2_000,
  noticesPerSecondMax: 20,
  /** A notice begins at most one fresh handshake in this time. */
  noticeHandshakeMs: 5_000,
} as const satisfies Record<string, number>;

/**
 * PBKDF2-HMAC-SHA256 rounds for the key that seals sessions' secrets: as many as crypto's root key. Part of what the key is: with
 * another number no stored session opens, and all are agreed anew.
 */
export const passphraseIterations = 600_000;
