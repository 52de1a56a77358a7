/** Says `gateway-to-crypto.tls-key`: fetches the cluster's TLS key, sealed to a key of this process that lives for one question. */
import { generateX25519 } from '../../cipher/agreement.ts';
import { toBase64url } from '../../cipher/bytes.ts';
import { encodePem } from '../../cipher/pem.ts';
import { openSealed } from '../../cipher/sealed.ts';
import { pause, type Clock } from '../../host/clock.ts';
import type { TlsKey } from '../../host/http-server.ts';
import { gatewayToCryptoTlsKey } from '../../messages/gateway-to-crypto.tls-key.ts';
import type { Outcome } from '../../messages/grammar/envelope.ts';
import type { ReplyOf } from '../../messages/grammar/wire.ts';
import type { Log } from '../../observability/log.ts';
import { RequestTimeout, type Requests } from '../../shell/requests.ts';
import { gatewayLimits, type GatewayLimits } from './config.ts';
import { GatewayError } from './gateway-error.ts';

export type ObtainTlsKeyOptions = {
  readonly requests: Requests;
  /** Names and addresses under which other clusters reach this gateway. */
  readonly hostNames: readonly string[];
  readonly clock: Clock;
  readonly log: Log;
  readonly limits?: Partial<GatewayLimits>;
  readonly signal?: AbortSignal;
};

type Reply = ReplyOf<typeof gatewayToCryptoTlsKey>;

/** One question; `undefined` when nobody answered in time. */
const ask = async (requests: Requests, hostNames: readonly string[], timeoutMs: number): Promise<{ outcome: Outcome<Reply>; privateKey: Uint8Array } | undefined> => {
  const { publicKey, privateKey } = await generateX25519();
  const body = { ephemeralPublicKey: toBase64url(publicKey), hostNames: [...hostNames] };
  try {
    return { outcome: await requests.ask(gatewayToCryptoTlsKey, { key: 'p2p', body, timeoutMs }), privateKey };
  } catch (error) {
    if (error instanceof RequestTimeout) return undefined;
    throw error;
  }
};

/** Asks until crypto answers: in separate processes the gateway may well be up first. Throws GatewayError. */
export const obtainTlsKey = async (options: ObtainTlsKeyOptions): Promise<TlsKey> => {
  const { requests, hostNames, clock, log, signal } = options;
  const limits = { ...gatewayLimits, ...options.limits };
  const until = clock.now() + limits.tlsKeyMsMax;
  while (clock.now() < until && signal?.aborted !== true) {
    const answered = await ask(requests, hostNames, limits.tlsKeyAskMs);
    if (answered === undefined) {
      log.warn('gateway.tls-key-awaited', { next: 'crypto is asked again', remedy: 'start the crypto worker of this cluster' });
      await pause(clock, limits.tlsKeyPauseMs, signal);
      continue;
    }
    const { outcome, privateKey } = answered;
    if (outcome.type === 'refused') throw new GatewayError('GATEWAY_TLS_KEY_REFUSED', `crypto refused the TLS key: ${outcome.code}: ${outcome.message}`);
    const pkcs8 = await openSealed(privateKey, outcome.value.sealed, gatewayToCryptoTlsKey.topic);
    privateKey.fill(0);
    const key = { certificateChainPem: outcome.value.certificateChainPem, privateKeyPem: encodePem('PRIVATE KEY', pkcs8) };
    pkcs8.fill(0);
    return key;
  }
  throw new GatewayError('GATEWAY_TLS_KEY_TIMEOUT', `crypto did not answer within ${limits.tlsKeyMsMax} ms: is the crypto worker of this cluster running?`);
};
