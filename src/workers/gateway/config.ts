/** Bounds of this room. Times in milliseconds. */
export type GatewayLimits = { readonly [Name in keyof typeof gatewayLimits]: number };

export const gatewayLimits = {
  /** Bytes of request bodies held at one time while they are read and published; beyond this a peer is asked to come back. */
  inboundBytesMax: 256 * 1024 * 1024,
  /** Packets of no session that one address may send in a minute: a cluster whose members all join at once, with repeats. */
  strangerPacketsPerMinuteMax: 120,
  /** Addresses counted in a minute; those beyond share one count. */
  strangerAddressesMax: 10_000,
  /** What `Retry-After` says then, and when the bus does not answer, in seconds. */
  retryAfterSeconds: 1,

  /** Characters of one request's body: below the receiver's bound on bytes, since packets are ASCII but for names in a hello. */
  batchCharsMax: 6 * 1024 * 1024,
  /** Packets waiting for one destination; more are dropped, and the link manager repeats them. */
  destinationPacketsMax: 5_000,
  /** Characters waiting for one destination, and for all. */
  destinationCharsMax: 64 * 1024 * 1024,
  queuedCharsMax: 256 * 1024 * 1024,
  /** Destinations known at one time. */
  destinationsMax: 10_000,
  /** A packet that waited longer has been repeated by then. */
  packetMsMax: 30_000,
  /** From a request's first byte to the head of its answer (Corda: 3 s). */
  responseMsMax: 10_000,
  /** Tries of one batch, the second on a fresh connection: an idle one may be closed by the peer while we write. */
  triesMax: 2,
  /** Wait after a failure before the destination is tried again: doubles up to the maximum. */
  failurePauseMsMin: 50,
  failurePauseMsMax: 2_000,
  /** A peer that asks for patience is given at most this. */
  retryAfterMsMax: 10_000,
  /** What waits when the worker ends may take so long to leave. */
  closeMsMax: 2_000,
} as const satisfies Record<string, number>;
