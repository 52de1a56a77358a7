/** Bounds of the crypto room: each with its unit and the reason for its size. */

/**
 * PBKDF2-HMAC-SHA256 rounds for the root key: what OWASP asks for since 2023, nine times Corda's 65,536; a tenth of a second once,
 * when the worker starts. Part of what the root key is: another number is another key, and no wrapped key would open.
 */
export const rootKeyIterations = 600_000;

/** Bytes of an AES-256 key. */
export const wrappingKeyBytes = 32;

export const keyRingLimits = {
  /** How long, in ms, an unwrapped key stays in memory after it was loaded, used or not; Corda's hour after last use is too long. */
  unwrappedAgeMsMax: 5 * 60_000,
  /** Signing keys kept unwrapped: a cluster of a thousand virtual nodes with two busy keys each. */
  signersMax: 2_000,
  /** Wrapping keys kept unwrapped: one a tenant. */
  wrappingKeysMax: 1_000,
} as const;
export type KeyRingLimits = { readonly [Name in keyof typeof keyRingLimits]: number };

/** RSA keys made in one batch: each takes about a quarter of a second of a core, and the batch holds a transaction open. */
export const rsaKeysPerBatchMax = 10;

/** Tenants whose statements share one round trip: two statements each, below the hundred that the driver sends ahead. */
export const tenantsPerRoundTrip = 40;

/** How long a TLS certificate of our own making lasts, in ms: a year, since nobody renews it by hand. */
export const certificateAgeMs = 365 * 24 * 60 * 60_000;

/** A certificate that ends within this time, in ms, is made anew when a gateway asks. */
export const certificateRenewalMs = 30 * 24 * 60 * 60_000;

/** How far, in ms, a certificate's beginning lies back, for clocks of other clusters that are late. */
export const certificateBackdateMs = 60 * 60_000;

/** Host names of one certificate: those of gateways that asked before are kept as far as there is room. */
export const certificateHostsMax = 50;

/** Turns to make a certificate while another worker makes one too. */
export const certificateTurnsMax = 5;

/** Tenants whose wrapping keys one step of a rotation seals anew, and private keys of one tenant: some ten milliseconds each. */
export const tenantsPerRotationStep = 40;
export const keysPerRotationStep = 100;

/** Tenants of which one rotation of the root key tells: what fits into the answer about it. */
export const tenantsPerRotationMax = 20_000;
