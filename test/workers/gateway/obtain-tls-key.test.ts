import { describe, expect, test } from 'vitest';
import { fromBase64url } from '../../../src/cipher/bytes.ts';
import { decodePem } from '../../../src/cipher/pem.ts';
import { sealTo } from '../../../src/cipher/sealed.ts';
import { systemClock } from '../../../src/host/clock.ts';
import { gatewayToCryptoTlsKey } from '../../../src/messages/gateway-to-crypto.tls-key.ts';
import { silentLog } from '../../../src/observability/log.ts';
import { RequestTimeout, type Requests } from '../../../src/shell/requests.ts';
import { obtainTlsKey } from '../../../src/workers/gateway/worker.ts';
import { makeTlsKey } from './gateway-fixture.ts';

const key = await makeTlsKey();
const { der } = decodePem(key.privateKeyPem)[0]!;
const options = { hostNames: ['localhost'], clock: systemClock, log: silentLog, limits: { tlsKeyPauseMs: 1 } };

/** Answers as crypto does. The request's type is that of its wire. */
const requestsBy = (answer: (body: any) => Promise<unknown>): Requests => ({ ask: (async (_wire, { body }) => answer(body)) as Requests['ask'], close: async () => {} });

describe('the TLS key', () => {
  test('comes sealed to a key of this process, is asked for until crypto answers, and each question has a key of its own', async () => {
    const asked: string[] = [];
    const requests = requestsBy(async ({ ephemeralPublicKey, hostNames }) => {
      expect(hostNames).toEqual(['localhost']);
      asked.push(ephemeralPublicKey);
      if (asked.length < 3) throw new RequestTimeout('gateway-to-crypto.tls-key', 1);
      const sealed = await sealTo(fromBase64url(ephemeralPublicKey), der, gatewayToCryptoTlsKey.topic);
      return { type: 'done', value: { certificateChainPem: key.certificateChainPem, sealed } };
    });
    expect(await obtainTlsKey({ ...options, requests })).toEqual(key);
    expect(new Set(asked).size).toBe(3);
  });

  test('that crypto refuses ends the start with the reason', async () => {
    const requests = requestsBy(async () => ({ type: 'refused', code: 'CRYPTO_HOST_NAME', message: 'no host' }));
    await expect(obtainTlsKey({ ...options, requests })).rejects.toMatchObject({ code: 'GATEWAY_TLS_KEY_REFUSED', message: expect.stringContaining('no host') });
  });

  test('that never comes ends the start within its bound', async () => {
    const requests = requestsBy(async () => { throw new RequestTimeout('gateway-to-crypto.tls-key', 1); });
    await expect(obtainTlsKey({ ...options, requests, limits: { tlsKeyPauseMs: 1, tlsKeyMsMax: 30 } })).rejects.toMatchObject({ code: 'GATEWAY_TLS_KEY_TIMEOUT' });
  });
});
