/**
 * What the two sides may agree on, and how they choose: protocol versions, and the suite that makes the shared secret. Each side
 * names in its hello all that it would do; the responder chooses; both hellos are in the signed transcript, so nobody on the way
 * can take away a side's better offer unseen. Both sides choose by the same rule, and the initiator checks the choice.
 */
import { concat, type Bytes } from '../../../cipher/bytes.ts';
import { textField, u16, u8 } from '../canonical.ts';

/** The version of the session protocol, bound into every transcript and key. Of the hellos' form, too. */
export const protocolVersion = 2;

/** The stronger first. The names are those of TLS: draft-ietf-tls-ecdhe-mlkem, RFC 8446. */
export const suites = ['X25519MLKEM768', 'X25519'] as const;
export type Suite = (typeof suites)[number];

/** Numbers and names beyond those known here are of later versions: they are signed, never chosen. */
export type Offer = { readonly versions: readonly number[]; readonly suites: readonly string[] };

/** Whether sessions must, may or shall not have the post-quantum part. */
export const keyAgreements = ['hybrid-required', 'hybrid-preferred', 'classical'] as const;
export type KeyAgreement = (typeof keyAgreements)[number];

const suitesOf: Record<KeyAgreement, readonly Suite[]> = {
  'hybrid-required': ['X25519MLKEM768'],
  'hybrid-preferred': suites,
  classical: ['X25519'],
};

export const offerOf = (keyAgreement: KeyAgreement): Offer => ({ versions: [protocolVersion], suites: suitesOf[keyAgreement] });

export type Choice = { readonly version: typeof protocolVersion; readonly suite: Suite };

/** The highest version and the strongest suite in both offers; `undefined` where there are none. */
export const choose = (one: Offer, other: Offer): Choice | undefined => {
  const suite = suites.find((known) => one.suites.includes(known) && other.suites.includes(known));
  const version = one.versions.includes(protocolVersion) && other.versions.includes(protocolVersion) ? protocolVersion : undefined;
  return suite === undefined || version === undefined ? undefined : { version, suite };
};

export const offerBytes = (offer: Offer): Bytes =>
  concat(u8(offer.versions.length), ...offer.versions.map(u16), u8(offer.suites.length), ...offer.suites.map(textField));

export const offersEqual = (one: Offer, other: Offer): boolean =>
  one.versions.join() === other.versions.join() && one.suites.join() === other.suites.join();
