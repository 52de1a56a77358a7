/**
 * Secrets of sessions at rest, and the keys of cookies. Both come of a passphrase that this room's processes share and nobody else
 * has, so a stolen database reads no recorded traffic, and any replica takes any session over or checks any other's cookie.
 *
 *     passphrase, salt ──PBKDF2──▶ root ──HKDF──▶ name (says which root sealed something)
 *                                    ├──HKDF, 16 random bytes──▶ AES-256-GCM key of one sealed text (nonce zero: it seals once)
 *                                    └──HKDF, time window──▶ HMAC key of the cookies of that window
 *
 * A text that was sealed says what it is and where it belongs in its additional data, so no row's secret opens in another's place.
 * The passphrase is changed by starting with the new one and naming the old one beside it until sessions of the old have ended.
 */
import { aeadNonceLength, prepareAead } from '../../cipher/aead.ts';
import { createBoundedCache } from '../../cipher/bounded-cache.ts';
import { concat, equalConstantTime, fromBase64url, toBase64url, utf8, type Bytes } from '../../cipher/bytes.ts';
import { hkdfSha256, hmacSha256 } from '../../cipher/digest.ts';
import { keyOfPassphrase } from '../../cipher/passphrase.ts';
import { Secret } from '../../cipher/secret.ts';
import { bytesField, textField, u16, u64 } from './canonical.ts';
import { passphraseIterations, type LinkManagerLimits } from './config.ts';

const formatVersion = 1;
const rootLength = 32;
const keyLength = 32;
const saltLength = 16;
const nameLength = 6;

export type LinkKey = { readonly name: string; readonly root: Secret };

const labelled = (label: string, ...rest: readonly Uint8Array[]): Bytes => concat(textField(`Cordage link manager, ${label}`), u16(formatVersion), ...rest);

const derive = ({ root }: LinkKey, salt: Uint8Array, info: Uint8Array, length: number): Bytes =>
  hkdfSha256({ ikm: root.reveal(), salt, info, length });

const noSalt = new Uint8Array(0);

/** `iterations`: fewer only in tests and simulation, which have nothing to hide. */
export const deriveLinkKey = async (input: { passphrase: string; salt: string; iterations?: number }): Promise<LinkKey> => {
  const { passphrase, salt, iterations = passphraseIterations } = input;
  const root = new Secret(await keyOfPassphrase({ passphrase, salt, iterations, length: rootLength }));
  const name = toBase64url(derive({ name: '', root }, noSalt, labelled('name of the key'), nameLength));
  return { name, root };
};

/** What a sealed text is. */
export type SecretKind = 'initiator seed' | 'handshake secret' | 'session keys';

/** The vault of one pair. */
export type PairVault = {
  seal(kind: SecretKind, sessionId: string, secret: Uint8Array): Promise<string>;
  /** Throws CipherError where the text was not sealed here, in this place, by a key that this process has. */
  open(kind: SecretKind, sessionId: string, sealed: string): Promise<Uint8Array>;
  /** False for what a key sealed that this process does not have. */
  knows(sealed: string): boolean;
  /** What proves that its bearer was sent something at the address of the pair's other member a short while ago. */
  cookieOf(helloHash: Uint8Array, now: number): string;
  isCookie(cookie: string, helloHash: Uint8Array, now: number): boolean;
};

export type Vault = { of(pairTag: string): PairVault };

export type VaultOptions = {
  /** The first seals; all open. */
  readonly keys: readonly [LinkKey, ...LinkKey[]];
  readonly random: (length: number) => Uint8Array;
  readonly limits: Pick<LinkManagerLimits, 'cookieWindowMs' | 'openedSecretsMax'>;
};

const zeroNonce = new Uint8Array(aeadNonceLength);

export const createVault = ({ keys, random, limits }: VaultOptions): Vault => {
  /** Opened ones of sessions in use, so that a packet costs no derivation. */
  const opened = createBoundedCache<Uint8Array>(limits.openedSecretsMax);
  const [current] = keys;
  const keyNamed = (sealed: string): LinkKey | undefined => keys.find(({ name }) => sealed.startsWith(`${name}.`));
  const aeadOf = async (key: LinkKey, salt: Uint8Array) => {
    const bytes = derive(key, salt, labelled('key of a secret at rest'), keyLength);
    const aead = await prepareAead(bytes);
    bytes.fill(0);
    return aead;
  };
  const place = (tag: string, kind: SecretKind, sessionId: string): Bytes => labelled(kind, textField(tag), textField(sessionId));

  const cookieWith = (key: LinkKey, tag: string, helloHash: Uint8Array, window: number): Bytes => {
    const cookieKey = derive(key, noSalt, labelled('key of cookies', u64(window)), keyLength);
    return hmacSha256(cookieKey, concat(textField(tag), bytesField(helloHash)));
  };
  const windowOf = (now: number): number => Math.floor(now / limits.cookieWindowMs);

  return {
    of: (tag) => ({
      seal: async (kind, sessionId, secret) => {
        const salt = random(saltLength);
        const aead = await aeadOf(current, salt);
        const ciphertext = await aead.seal({ nonce: zeroNonce, aad: place(tag, kind, sessionId), plaintext: secret });
        aead.wipe();
        const sealed = `${current.name}.${toBase64url(concat(salt, ciphertext))}`;
        opened.set(`${tag} ${kind} ${sessionId} ${sealed}`, secret.slice());
        return sealed;
      },
      open: async (kind, sessionId, sealed) => {
        const id = `${tag} ${kind} ${sessionId} ${sealed}`;
        const known = opened.get(id);
        if (known !== undefined) return known;
        const key = keyNamed(sealed);
        if (key === undefined) throw new Error('a secret of a key that this process does not have; `knows` is asked first');
        const bytes = fromBase64url(sealed.slice(key.name.length + 1));
        const aead = await aeadOf(key, bytes.subarray(0, saltLength));
        const secret = await aead.open({ nonce: zeroNonce, aad: place(tag, kind, sessionId), ciphertext: bytes.subarray(saltLength) });
        aead.wipe();
        opened.set(id, secret);
        return secret;
      },
      knows: (sealed) => keyNamed(sealed) !== undefined,
      cookieOf: (helloHash, now) => toBase64url(cookieWith(current, tag, helloHash, windowOf(now))),
      isCookie: (cookie, helloHash, now) => {
        const given = utf8(cookie);
        const window = windowOf(now);
        return keys.some((key) => [window, window - 1].some((one) => equalConstantTime(utf8(toBase64url(cookieWith(key, tag, helloHash, one))), given)));
      },
    }),
  };
};
