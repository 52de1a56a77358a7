/** Bounds of the rest room: each with its unit and the reason for its size. */
import { cpiBytesMax, cpiChunkBytesMax } from '../../messages/rest-to-db.cpi.ts';
import { requestBodyCharsMax } from '../../messages/rest-to-flow.start.ts';

export const restLimits = {
  /** Bytes of a JSON body: a flow's argument of the size that its wire takes, in UTF-8, and room for the rest. */
  jsonBytesMax: 3 * requestBodyCharsMax + 64 * 1024,
  /** Nesting of a JSON body: printing it again recurses, and no honest body comes near. */
  jsonDepthMax: 100,
  /** UTF-16 code units of a path and query: what common proxies let through. */
  urlCharsMax: 8_000,

  /** Bytes of an upload: the largest CPI and the multipart text around it. */
  uploadBytesMax: cpiBytesMax + 64 * 1024,
  /** Bytes of the file of an exported virtual node that is imported, and of the form around it: more than db takes of one. It passes through piece by piece. */
  transferBytesMax: 2 * 1024 * 1024 * 1024,
  /** Uploads read at once: each holds its whole file in memory until it is published. */
  uploadsAtOnceMax: 4,
  uploadChunkBytes: cpiChunkBytesMax,
  /** Parts of a multipart body: the operations take two fields, one of them repeatable. */
  multipartPartsMax: 20,
  /** Bytes of one part's headers. */
  multipartHeadBytesMax: 8 * 1024,
  /** Bytes of all certificates of one request: a chain of twenty. */
  certificateBytesMax: 100_000,

  /** How long a request to another room may take, in ms: longer than any of them retries inside. */
  askTimeoutMs: 15_000,
  /** One chunk of an upload, in ms; the last one may wait for the verification of the whole file. */
  uploadAskTimeoutMs: 60_000,
  /** What `Retry-After` says after a 503, in seconds. */
  retryAfterSeconds: 1,

  /**
   * Flow starts that the flow room has not answered, of all virtual nodes and of one: what it takes in a second or two. One node may
   * not take all places.
   */
  startsUnansweredMax: 4_000,
  startsUnansweredPerNodeMax: 2_000,

  /** Longest wait for a flow's result, in ms: below the idle time-outs of common proxies. */
  waitMsMax: 55_000,
  /** While statuses cannot be followed, waits and feeds ask the flow room this often, in ms. */
  untrackedAskMs: 500,
  /** Waits and feeds at once: each holds a connection. One wait more is answered at once, one feed more is refused. */
  listenersMax: 20_000,
  /** Flow statuses kept in memory, by count and by UTF-16 code units of their results. */
  statusesKeptMax: 20_000,
  statusCharsKeptMax: 64_000_000,
  /** Back-off of the status follower when the bus fails, in ms: first and longest. */
  followRetryMsMin: 100,
  followRetryMsMax: 5_000,
  /** One poll of the status follower, in ms: it wakes when a record comes, so this only bounds a dead connection. */
  followPollMs: 10_000,
  /** Flow statuses that a list shows: as many as its wire allows. */
  flowsListedMax: 1_000,

  /** Silence after which a WebSocket is closed, in ms (Corda: `corda.rest.websocket.idleTimeoutMs`). */
  webSocketIdleMs: 30_000,
  /** Pause between comments that keep an event stream alive through proxies, in ms. */
  eventStreamBeatMs: 15_000,
  /** Longest life of an event stream, in ms: browsers come back by themselves. */
  eventStreamMsMax: 30 * 60_000,

  /** Verified logins remembered, and for how long in ms (Corda: 1,000 for 600 s). A changed user record ends them at once. */
  verifiedLoginsMax: 1_000,
  verifiedLoginMsMax: 600_000,
  /** Password checks at once, and waiting: scrypt takes tens of megabytes each. */
  passwordChecksAtOnceMax: 2,
  passwordChecksWaitingMax: 100,
  /** Wrong passwords within the window, by login and address together, by address, and by login. */
  failedLoginsPerPairMax: 10,
  failedLoginsPerAddressMax: 100,
  failedLoginsPerLoginMax: 100,
  failedLoginWindowMs: 60_000,
  /** Logins and addresses whose failures are counted. */
  failedLoginsTrackedMax: 10_000,
  /** UTF-16 code units of an Authorization header. */
  authorizationCharsMax: 2_000,
  /** Memory of one password check, in bytes (scrypt needs 128·N·r): a user record that asks for more is not believed. */
  passwordMemoryBytesMax: 256 * 1024 * 1024,
} as const;

/** Steps that one decision on permissions may take: a fifth of a second. Corda's roles take some hundreds. */
export const decisionStepsMax = 20_000_000;
/** Decisions remembered of one user while neither it nor its roles change. */
export const decisionsKeptMax = 1_000;

/** Keys of an identity provider: time to fetch them, least time between two fetches, and how long they are good, in ms; their bytes. */
export const keysTimeoutMs = 5_000;
export const keysPauseMs = 30_000;
export const keysAgeMsMax = 600_000;
/** Key sets kept: two providers can be configured at a time. */
export const keySetsMax = 10;
export const keysBytesMax = 256 * 1024;

/** Shortest password, in UTF-16 code units, as in Corda; the longest is configuration. */
export const passwordCharsMin = 5;

export type RestLimits = { readonly [Name in keyof typeof restLimits]: number };
