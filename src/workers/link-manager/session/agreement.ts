/**
 * The shared secret of a handshake. For the hybrid suite it is made as in draft-ietf-tls-ecdhe-mlkem: the secret of ML-KEM-768,
 * then that of X25519, one behind the other, into the key schedule; so it holds as long as one of the two does. All public values
 * stand in the hellos, and so in the transcript.
 */
import { x25519, x25519KeyLength, x25519PublicKey } from '../../../cipher/agreement.ts';
import { concat, fromBase64url, toBase64url, type Bytes } from '../../../cipher/bytes.ts';
import { mlKemCoinsLength, mlKemDecapsulate, mlKemEncapsulate, mlKemPublicKey, mlKemSeedLength } from '../../../cipher/key-encapsulation.ts';
import type { Offer, Suite } from './offer.ts';

/** What is drawn for one handshake: an X25519 private key, and what ML-KEM makes its key (initiator) or its secret (responder) of. */
export const initiatorSeedLength = x25519KeyLength + mlKemSeedLength;
export const responderSeedLength = x25519KeyLength + mlKemCoinsLength;

const split = (seed: Uint8Array): { readonly ecdh: Uint8Array; readonly kem: Uint8Array } => ({
  ecdh: seed.subarray(0, x25519KeyLength),
  kem: seed.subarray(x25519KeyLength),
});

/** Public values in base64url; an empty text where the suite has none. */
export type InitiatorShare = { readonly ephemeralKey: string; readonly encapsulationKey: string };
export type ResponderShare = { readonly ephemeralKey: string; readonly encapsulated: string };

export const initiatorShare = async (seed: Uint8Array, offer: Offer): Promise<InitiatorShare> => {
  const { ecdh, kem } = split(seed);
  return {
    ephemeralKey: toBase64url(await x25519PublicKey(ecdh)),
    encapsulationKey: offer.suites.includes('X25519MLKEM768') ? toBase64url(mlKemPublicKey(kem)) : '',
  };
};

export type ResponderAgreement = { readonly share: ResponderShare; readonly secret: Bytes };

/** Throws CipherError on a point of low order, or what is no ML-KEM key. */
export const respond = async (suite: Suite, seed: Uint8Array, peer: InitiatorShare): Promise<ResponderAgreement> => {
  const { ecdh, kem } = split(seed);
  const shared = await x25519({ privateKey: ecdh, publicKey: fromBase64url(peer.ephemeralKey) });
  const ephemeralKey = toBase64url(await x25519PublicKey(ecdh));
  if (suite === 'X25519') return { share: { ephemeralKey, encapsulated: '' }, secret: shared };
  const { ciphertext, secret } = mlKemEncapsulate(fromBase64url(peer.encapsulationKey), kem);
  return { share: { ephemeralKey, encapsulated: toBase64url(ciphertext) }, secret: concat(secret, shared) };
};

/** The initiator's end. Throws CipherError as `respond` does. */
export const agree = async (suite: Suite, seed: Uint8Array, peer: ResponderShare): Promise<Bytes> => {
  const { ecdh, kem } = split(seed);
  const shared = await x25519({ privateKey: ecdh, publicKey: fromBase64url(peer.ephemeralKey) });
  return suite === 'X25519' ? shared : concat(mlKemDecapsulate(kem, fromBase64url(peer.encapsulated)), shared);
};
