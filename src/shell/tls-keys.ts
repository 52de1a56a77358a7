/**
 * The TLS keys that a gateway or a REST server serves with, kept up to date while it runs: those of the certificates that operators
 * imported for it, in order of holder and alias, then the cluster's own. Each question to crypto has an ephemeral key of its own.
 *
 *     opened ──▶ has its own key ──certificate imported or renewed, or time for a look──▶ asks crypto, tells its owner
 *
 * A key that crypto does not give leaves what is served as it was: an imported certificate without a key is passed over, and
 * a crypto room that does not answer is asked again at the next look.
 */
import { generateX25519 } from '../cipher/agreement.ts';
import { toBase64url } from '../cipher/bytes.ts';
import { encodePem } from '../cipher/pem.ts';
import { openSealed } from '../cipher/sealed.ts';
import { pause, type Clock } from '../host/clock.ts';
import type { TlsKey } from '../host/http-server.ts';
import type { TlsCertificate, TlsUsage } from '../messages/db-to-all.certificate.ts';
import type { Outcome } from '../messages/grammar/envelope.ts';
import type { TlsKeyReply, TlsKeyRequest } from '../messages/grammar/tls-key.ts';
import type { Wire } from '../messages/grammar/wire.ts';
import type { Log } from '../observability/log.ts';
import { tlsKeyLimits, type TlsKeyLimits } from './config.ts';
import { RequestTimeout, type Requests } from './requests.ts';
import type { ChangingView } from './view.ts';

export type TlsKeyErrorCode = 'TLS_KEY_REFUSED' | 'TLS_KEY_TIMEOUT';

export class TlsKeyError extends Error {
  readonly code: TlsKeyErrorCode;
  constructor(code: TlsKeyErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'TlsKeyError';
    this.code = code;
  }
}

export type TlsKeysOptions = {
  readonly requests: Requests;
  /** The asking room's own wire. */
  readonly wire: Wire<TlsKeyRequest, TlsKeyReply>;
  readonly certificates: ChangingView<TlsCertificate>;
  /** Which of the certificates are served with. */
  readonly usage: TlsUsage;
  /** Names and addresses under which others reach this process. */
  readonly hostNames: readonly string[];
  readonly clock: Clock;
  readonly log: Log;
  readonly limits?: Partial<TlsKeyLimits>;
  readonly signal?: AbortSignal;
};

export type TlsKeys = {
  /** Never empty; the first serves who names no host. */
  current(): readonly TlsKey[];
  /** That of a certificate, by `<holder>/<alias>`. */
  named(name: string): TlsKey | undefined;
  /** Called with the new keys whenever they differ from those before. */
  onChange(listener: (keys: readonly TlsKey[]) => void): void;
  close(): Promise<void>;
};

type Wanted = TlsKeyRequest['wanted'];
type Given = { readonly certificateChainPem: string | undefined; readonly privateKeyPem: string };

class TlsKeyRing implements TlsKeys {
  readonly #options: TlsKeysOptions;
  readonly #limits: TlsKeyLimits;
  readonly #closing = new AbortController();
  readonly #listeners: ((keys: readonly TlsKey[]) => void)[] = [];
  /** Private keys of imported certificates, by public key. */
  #imported = new Map<string, string>();
  #keys: readonly TlsKey[];
  #named: ReadonlyMap<string, TlsKey> = new Map();
  #own: TlsKey;
  #unfollow = (): void => {};
  #cancelLook = (): void => {};
  /** One look at a time; one more is enough for whatever changed meanwhile. */
  #looking: Promise<void> = Promise.resolve();
  #lookWaits = false;

  constructor(options: TlsKeysOptions, limits: TlsKeyLimits, own: TlsKey) {
    this.#options = options;
    this.#limits = limits;
    this.#own = own;
    this.#keys = [own];
  }

  async start(): Promise<void> {
    this.#unfollow = this.#options.certificates.onChange(() => this.#look());
    await this.#readCertificates();
    this.#lookLater();
  }

  current(): readonly TlsKey[] {
    return this.#keys;
  }

  named(name: string): TlsKey | undefined {
    return this.#named.get(name);
  }

  onChange(listener: (keys: readonly TlsKey[]) => void): void {
    this.#listeners.push(listener);
  }

  async close(): Promise<void> {
    this.#unfollow();
    this.#cancelLook();
    this.#closing.abort();
    await this.#looking;
  }

  #lookLater(): void {
    this.#cancelLook = this.#options.clock.after(this.#limits.tlsKeyLookMs, () => {
      this.#look();
      this.#lookLater();
    });
  }

  #look(): void {
    if (this.#lookWaits || this.#closing.signal.aborted) return;
    this.#lookWaits = true;
    this.#looking = this.#looking.then(async () => {
      this.#lookWaits = false;
      if (this.#closing.signal.aborted) return;
      try {
        await this.#renew();
      } catch (error) {
        this.#options.log.warn('tls-keys.not-renewed', { error, next: 'what is served stays as it is until the next look' });
      }
    });
  }

  async #renew(): Promise<void> {
    const { hostNames } = this.#options;
    const given = await ask(this.#options, { type: 'own', hostNames: [...hostNames] }, this.#limits.tlsKeyAskMs);
    if (given?.type === 'done') this.#own = ownKeyOf(given.value);
    const before = this.#keys;
    await this.#readCertificates();
    if (isSame(before, this.#keys)) return;
    this.#options.log.info('tls-keys.changed', { usage: this.#options.usage, certificates: this.#keys.length });
    for (const listener of this.#listeners) listener(this.#keys);
  }

  async #readCertificates(): Promise<void> {
    const { usage } = this.#options;
    const entries = [...this.#options.certificates.entries()].filter(([, certificate]) => certificate.usage === usage);
    const certificates = entries.sort(([one], [other]) => (one < other ? -1 : 1)).map(([, certificate]) => certificate);
    const imported = new Map<string, string>();
    const keys: TlsKey[] = [];
    const named = new Map<string, TlsKey>();
    for (const { holder, alias, pem, publicKey } of certificates.slice(0, this.#limits.tlsCertificatesMax)) {
      const name = `${holder}/${alias}`;
      if (pem === this.#own.certificateChainPem) named.set(name, this.#own);
      if (named.has(name)) continue;
      const privateKeyPem = this.#imported.get(publicKey) ?? (await this.#keyOf(alias, publicKey));
      if (privateKeyPem === undefined) continue;
      imported.set(publicKey, privateKeyPem);
      named.set(name, { certificateChainPem: pem, privateKeyPem });
      // An older certificate that the cluster signed itself is outdated by the one it signed since.
      if (privateKeyPem !== this.#own.privateKeyPem) keys.push({ certificateChainPem: pem, privateKeyPem });
    }
    this.#imported = imported;
    this.#named = named;
    this.#keys = [...keys, this.#own];
  }

  async #keyOf(alias: string, publicKey: string): Promise<string | undefined> {
    const { log } = this.#options;
    const given = await ask(this.#options, { type: 'of-certificate', publicKey }, this.#limits.tlsKeyAskMs);
    if (given?.type === 'done') return given.value.privateKeyPem;
    const reason = given === undefined ? 'crypto did not answer' : `${given.code}: ${given.message}`;
    log.warn('tls-keys.certificate-without-key', { usage: this.#options.usage, alias, reason });
    return undefined;
  }
}

const isSame = (before: readonly TlsKey[], after: readonly TlsKey[]): boolean =>
  before.length === after.length && before.every((key, i) => key.certificateChainPem === after[i]!.certificateChainPem && key.privateKeyPem === after[i]!.privateKeyPem);

/** One question; `undefined` when nobody answered in time. */
const ask = async ({ requests, wire }: Pick<TlsKeysOptions, 'requests' | 'wire'>, wanted: Wanted, timeoutMs: number): Promise<Outcome<Given> | undefined> => {
  const { publicKey, privateKey } = await generateX25519();
  try {
    const outcome = await requests.ask(wire, { key: 'p2p', body: { ephemeralPublicKey: toBase64url(publicKey), wanted }, timeoutMs });
    if (outcome.type === 'refused') return outcome;
    const pkcs8 = await openSealed(privateKey, outcome.value.sealed, wire.topic);
    const privateKeyPem = encodePem('PRIVATE KEY', pkcs8);
    pkcs8.fill(0);
    return { type: 'done', value: { certificateChainPem: outcome.value.certificateChainPem, privateKeyPem } };
  } catch (error) {
    if (error instanceof RequestTimeout) return undefined;
    throw error;
  } finally {
    privateKey.fill(0);
  }
};

const ownKeyOf = ({ certificateChainPem, privateKeyPem }: Given): TlsKey => {
  if (certificateChainPem === undefined) throw new TlsKeyError('TLS_KEY_REFUSED', 'crypto gave a TLS key without its certificate: do its version and ours belong together?');
  return { certificateChainPem, privateKeyPem };
};

/** Asks until crypto answers: in separate processes crypto may well be up last. Throws TlsKeyError. */
const obtainOwnKey = async ({ hostNames, usage, clock, log, signal, ...from }: TlsKeysOptions, limits: TlsKeyLimits): Promise<TlsKey> => {
  const until = clock.now() + limits.tlsKeyMsMax;
  while (clock.now() < until && signal?.aborted !== true) {
    const outcome = await ask(from, { type: 'own', hostNames: [...hostNames] }, limits.tlsKeyAskMs);
    if (outcome?.type === 'refused') throw new TlsKeyError('TLS_KEY_REFUSED', `crypto refused the TLS key: ${outcome.code}: ${outcome.message}`);
    if (outcome !== undefined) return ownKeyOf(outcome.value);
    log.warn('tls-keys.awaited', { usage, next: 'crypto is asked again', remedy: 'start the crypto worker of this cluster' });
    await pause(clock, limits.tlsKeyPauseMs, signal);
  }
  throw new TlsKeyError('TLS_KEY_TIMEOUT', `crypto did not answer within ${limits.tlsKeyMsMax} ms: is the crypto worker of this cluster running?`);
};

/** Resolves when there is a key to serve with. Throws TlsKeyError. */
export const openTlsKeys = async (options: TlsKeysOptions): Promise<TlsKeys> => {
  const limits = { ...tlsKeyLimits, ...options.limits };
  const ring = new TlsKeyRing(options, limits, await obtainOwnKey(options, limits));
  await ring.start();
  return ring;
};
