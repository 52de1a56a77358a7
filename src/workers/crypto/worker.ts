/**
 * crypto: keys and signatures.
 *
 * - **hears** all-to-crypto.key (HSMs, generate, find), all-to-crypto.sign, gateway-to-crypto.tls-key,
 *   rest-to-crypto.tls-key, rest-to-crypto.csr, member-to-crypto.seal, rest-to-crypto.rotation,
 *   rest-to-crypto.transfer, crypto-to-crypto.rotate; the view db-to-all.certificate
 * - **says** answers to those who asked; crypto-to-db.certificate when it made a TLS certificate; crypto-to-crypto.rotate to itself
 * - **owns** private keys, wrapped (PKCS#8 by a tenant's wrapping key, that by the root key), in schema `crypto` and in
 *   `vnode_crypto_<id>` of each virtual node; the root key, derived from passphrase and salt, is in this process alone
 * - **never** lets an identity's private key out of its process: no answer, record or log line holds one in clear. TLS keys leave,
 *   sealed to the gateway or REST server that asks; a virtual node's keys leave for the file of its export as they lie in the database, wrapped
 */
import { randomBytes, type Chance } from '../../cipher/bytes.ts';
import { systemClock, type Clock } from '../../host/clock.ts';
import type { TlsCertificate } from '../../messages/db-to-all.certificate.ts';
import type { Log } from '../../observability/log.ts';
import type { Metrics } from '../../observability/metrics.ts';
import { liveLimits, type Config } from '../../shell/live-config.ts';
import type { View } from '../../shell/view.ts';
import type { Worker } from '../../shell/worker.ts';
import { keyRingLimits, type KeyRingLimits } from './config.ts';
import { createKeyRing } from './key-ring.ts';
import type { KeyMaking } from './obtain-keys.ts';
import { createOnCsr } from './on-csr.ts';
import { createOnKey } from './on-key.ts';
import { createOnRotate } from './on-rotate.ts';
import { createOnRotation } from './on-rotation.ts';
import { createOnSeal } from './on-seal.ts';
import { createOnSign } from './on-sign.ts';
import { createOnTlsKey } from './on-tls-key.ts';
import { createOnTransfer } from './on-transfer.ts';
import { openWrappingKey, type RootKey, type RootKeys } from './root-key.ts';

export type CryptoDeps = {
  /** Of `deriveRootKey`: what seals. */
  readonly rootKey: RootKey;
  /** Root keys of before, and, while replicas are restarted one by one, that to come: they only open. */
  readonly otherRootKeys?: readonly RootKey[];
  /** TLS certificates that were imported: their keys may leave. Without it, none of those does. */
  readonly certificates?: View<TlsCertificate>;
  /** Decides how long and how many keys stay unwrapped; without it the limits stay as they are. */
  readonly config?: Config;
  readonly log: Log;
  readonly metrics?: Metrics;
  /** Decides when unwrapped keys are wiped. Default: the system's. */
  readonly clock?: Clock;
  /** Draws secrets, nonces and serial numbers. Default: the platform's. */
  readonly chance?: Chance;
};

/** `corda.crypto`. */
const configured = (config: Config | undefined): KeyRingLimits =>
  config === undefined
    ? keyRingLimits
    : liveLimits<KeyRingLimits>(keyRingLimits, {
        unwrappedAgeMsMax: () => config.get('corda.crypto').caching.expireAfterAccessMins * 60_000,
        signersMax: () => config.get('corda.crypto').caching.maximumSize,
      });

export const createCryptoWorker = ({ rootKey, otherRootKeys = [], certificates, config, log, metrics, clock = systemClock, chance = randomBytes }: CryptoDeps): Worker => {
  // One that is given twice is one.
  const roots: RootKeys = [rootKey, ...otherRootKeys.filter(({ alias }) => alias !== rootKey.alias)];
  const ring = createKeyRing({ roots, clock, limits: configured(config) });
  const making: KeyMaking = { roots, ring, chance };
  const signatures = metrics?.counter('cordage_crypto_signatures_total', 'Signatures made, by key scheme.');
  log.info('crypto.ready', { rootKeys: roots.map(({ alias }) => alias) });
  return {
    room: 'crypto',
    answers: [createOnKey(making), createOnCsr({ ring }), createOnSign({ ring, onSigned: (scheme) => signatures?.add(1, { scheme }) }), createOnSeal({ ring, chance }), createOnTransfer((wrapped) => openWrappingKey(making.roots, wrapped)), ...createOnTlsKey(making, certificates), createOnRotation(making), createOnRotate({ ...making, log })],
    close: async () => ring.close(),
  };
};
