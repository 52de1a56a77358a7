import { afterEach, describe, expect, test } from 'vitest';
import { fromBase64url, toBase64url } from '../../../src/cipher/bytes.ts';
import { decodePem } from '../../../src/cipher/pem.ts';
import { sealTo } from '../../../src/cipher/sealed.ts';
import { systemClock } from '../../../src/host/clock.ts';
import type { TlsKey } from '../../../src/host/http-server.ts';
import type { TlsCertificate } from '../../../src/messages/db-to-all.certificate.ts';
import { gatewayToCryptoTlsKey } from '../../../src/messages/gateway-to-crypto.tls-key.ts';
import type { BodyOf } from '../../../src/messages/grammar/wire.ts';
import { silentLog } from '../../../src/observability/log.ts';
import { RequestTimeout, type Requests } from '../../../src/shell/requests.ts';
import type { ChangingView } from '../../../src/shell/view.ts';
import type { TlsKeys } from '../../../src/shell/tls-keys.ts';
import { openGatewayTlsKeys, type GatewayTlsKeysOptions } from '../../../src/workers/gateway/worker.ts';
import { makeTlsKey } from './gateway-fixture.ts';

type Body = BodyOf<typeof gatewayToCryptoTlsKey>;

const own = await makeTlsKey();
const renewed = { ...(await makeTlsKey()), privateKeyPem: own.privateKeyPem };
const imported = await makeTlsKey(['gateway.example']);
const keyless = await makeTlsKey(['nobody.example']);

const opened: TlsKeys[] = [];
afterEach(async () => {
  await Promise.all(opened.splice(0).map((keys) => keys.close()));
});

/** Answers as crypto does. The request's type is that of its wire. */
const requestsBy = (answer: (body: Body) => Promise<unknown>): Requests => ({ ask: (async (_wire, { body }) => answer(body as Body)) as Requests['ask'], close: async () => {} });

const sealed = async (key: TlsKey, ephemeralPublicKey: string) => await sealTo(fromBase64url(ephemeralPublicKey), decodePem(key.privateKeyPem)[0]!.der, gatewayToCryptoTlsKey.topic);

/** The public key stands for the certificate here: the gateway takes it from db's record and reads no certificate itself. */
const certificateOf = (alias: string, key: TlsKey, publicKey = toBase64url(new TextEncoder().encode(alias))): TlsCertificate => ({ usage: 'p2p-tls', holder: 'cluster', alias, pem: key.certificateChainPem, publicKey });

const changingView = (...certificates: TlsCertificate[]) => {
  const bodies = new Map(certificates.map((one) => [one.alias, one]));
  const listeners = new Set<() => void>();
  const view: ChangingView<TlsCertificate> = {
    get: (alias) => bodies.get(alias),
    entries: () => bodies.entries(),
    refresh: async () => {},
    onChange: (listener) => {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };
  const put = (certificate: TlsCertificate): void => {
    bodies.set(certificate.alias, certificate);
    for (const listener of listeners) listener();
  };
  return { view, put };
};

const open = async (requests: Requests, certificates: ChangingView<TlsCertificate> = changingView().view, limits: GatewayTlsKeysOptions['limits'] = {}): Promise<TlsKeys> => {
  const keys = await openGatewayTlsKeys({ hostNames: ['localhost'], clock: systemClock, log: silentLog, requests, certificates, limits: { tlsKeyPauseMs: 1, ...limits } });
  opened.push(keys);
  return keys;
};

/** Crypto with its own key and that of one imported certificate; `now` may change what it gives. */
const crypto = (state: { own: TlsKey; asked?: string[] }): Requests =>
  requestsBy(async ({ ephemeralPublicKey, wanted }) => {
    state.asked?.push(wanted.type === 'own' ? 'own' : wanted.publicKey);
    if (wanted.type === 'own') return { type: 'done', value: { certificateChainPem: state.own.certificateChainPem, sealed: await sealed(state.own, ephemeralPublicKey) } };
    if (wanted.publicKey !== certificateOf('imported', imported).publicKey) return { type: 'refused', code: 'CRYPTO_KEY_NOT_FOUND', message: 'no such key' };
    return { type: 'done', value: { sealed: await sealed(imported, ephemeralPublicKey) } };
  });

describe("the cluster's own TLS key", () => {
  test('comes sealed to a key of this process, is asked for until crypto answers, and each question has a key of its own', async () => {
    const asked: string[] = [];
    const requests = requestsBy(async ({ ephemeralPublicKey, wanted }) => {
      expect(wanted).toEqual({ type: 'own', hostNames: ['localhost'] });
      asked.push(ephemeralPublicKey);
      if (asked.length < 3) throw new RequestTimeout('gateway-to-crypto.tls-key', 1);
      return { type: 'done', value: { certificateChainPem: own.certificateChainPem, sealed: await sealed(own, ephemeralPublicKey) } };
    });
    expect((await open(requests)).current()).toEqual([own]);
    expect(new Set(asked).size).toBe(3);
  });

  test('that crypto refuses ends the start with the reason', async () => {
    const requests = requestsBy(async () => ({ type: 'refused', code: 'CRYPTO_HOST_NAME', message: 'no host' }));
    await expect(open(requests)).rejects.toMatchObject({ code: 'TLS_KEY_REFUSED', message: expect.stringContaining('no host') });
  });

  test('that never comes ends the start within its bound', async () => {
    const requests = requestsBy(async () => { throw new RequestTimeout('gateway-to-crypto.tls-key', 1); });
    await expect(open(requests, changingView().view, { tlsKeyMsMax: 30 })).rejects.toMatchObject({ code: 'TLS_KEY_TIMEOUT' });
  });

  test('is looked at again after a time, and a renewed certificate is told', async () => {
    const state = { own };
    const keys = await open(crypto(state), changingView().view, { tlsKeyLookMs: 5 });
    const told = new Promise<readonly TlsKey[]>((resolve) => keys.onChange(resolve));
    state.own = renewed;
    expect(await told).toEqual([renewed]);
    expect(keys.current()).toEqual([renewed]);
  });
});

describe('imported certificates', () => {
  test('are served before the own one, each with the key that crypto has for it; one without a key is passed over', async () => {
    const asked: string[] = [];
    const { view } = changingView(certificateOf('keyless', keyless), certificateOf('imported', imported), certificateOf('p2p-tls-cert', own));
    const keys = await open(crypto({ own, asked }), view);
    expect(keys.current()).toEqual([imported, own]);
    expect(asked).toEqual(['own', certificateOf('imported', imported).publicKey, certificateOf('keyless', keyless).publicKey]);
  });

  test('are taken up when they come, without asking again for keys that are here', async () => {
    const asked: string[] = [];
    const { view, put } = changingView();
    const keys = await open(crypto({ own, asked }), view);
    let told = new Promise<readonly TlsKey[]>((resolve) => keys.onChange(resolve));
    put(certificateOf('imported', imported));
    expect(await told).toEqual([imported, own]);
    const again = { ...imported, certificateChainPem: renewed.certificateChainPem };
    told = new Promise((resolve) => keys.onChange(resolve));
    put(certificateOf('imported', again));
    expect(await told).toEqual([again, own]);
    expect(asked.filter((one) => one !== 'own')).toHaveLength(1);
  });

  test('an older certificate of the own key gives way to the one that crypto signed since', async () => {
    const { view } = changingView(certificateOf('p2p-tls-cert', renewed, certificateOf('imported', imported).publicKey));
    const requests = requestsBy(async ({ ephemeralPublicKey, wanted }) => ({
      type: 'done',
      value: { sealed: await sealed(own, ephemeralPublicKey), ...(wanted.type === 'own' ? { certificateChainPem: own.certificateChainPem } : {}) },
    }));
    expect((await open(requests, view)).current()).toEqual([own]);
  });

  test('what is served stays as it was while crypto does not answer', async () => {
    let answers = true;
    const inner = crypto({ own });
    const failed = Promise.withResolvers<void>();
    const requests: Requests = {
      ask: (async (...given: Parameters<Requests['ask']>) => {
        if (answers) return await inner.ask(...given);
        failed.resolve();
        throw new RequestTimeout('gateway-to-crypto.tls-key', 1);
      }) as Requests['ask'],
      close: async () => {},
    };
    const { view, put } = changingView(certificateOf('imported', imported));
    const keys = await open(requests, view);
    answers = false;
    put(certificateOf('keyless', keyless));
    await failed.promise;
    expect(keys.current()).toEqual([imported, own]);
  });
});
