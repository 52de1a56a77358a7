/** Bearer tokens of an identity provider, issued by a small one on this machine. */
import { exportJWK, generateKeyPair, SignJWT, type CryptoKey, type JWTPayload } from 'jose';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { listen, type Listener } from '../../../src/host/http-server.ts';
import { fixedConfig } from '../../../src/shell/live-config.ts';
import { keysPauseMs } from '../../../src/workers/rest/config.ts';
import { openRest, roleOf, userOf, type RestUnderTest } from './rest-under-test.ts';

type Key = { readonly kid: string; readonly alg: string; readonly privateKey: CryptoKey; readonly publicKey: CryptoKey };

let provider: Listener;
let keys: Key[] = [];
let asked = 0;
let answer: () => Promise<Response>;
let rest: RestUnderTest | undefined;

const makeKey = async (kid: string, alg = 'ES256'): Promise<Key> => ({ kid, alg, ...(await generateKeyPair(alg)) });
const keySet = async (): Promise<Response> => Response.json({ keys: await Promise.all(keys.map(async ({ kid, alg, publicKey }) => ({ ...(await exportJWK(publicKey)), kid, alg, use: 'sig' }))) });

beforeAll(async () => {
  provider = await listen({ hostname: '127.0.0.1', port: 0, fetch: async () => (asked++, answer()) });
});
afterAll(() => provider.close());
beforeEach(async () => {
  keys = [await makeKey('one')];
  asked = 0;
  answer = keySet;
});
afterEach(async () => rest?.close());

const issuer = 'https://id.example.com';
const audience = 'cordage';
const claims = { iss: issuer, aud: audience, preferred_username: 'Carol' };

type TokenOptions = { readonly key?: Key; readonly seconds?: number; readonly kid?: string };
const tokenOf = async (payload: JWTPayload = claims, { key = keys[0]!, seconds = 60, kid }: TokenOptions = {}): Promise<string> =>
  new SignJWT(payload).setProtectedHeader({ alg: key.alg, kid: kid ?? key.kid }).setExpirationTime(Math.floor(Date.now() / 1_000) + seconds).sign(key.privateKey);

const open = async (sso?: object): Promise<RestUnderTest> => {
  const oidc = { issuer, audience, jwksUri: `${provider.url}/keys` };
  rest = await openRest({ change: (deps) => ({ ...deps, config: fixedConfig({ 'corda.rest': { sso: sso ?? { oidc } } }) }) });
  await rest.publishUser(userOf('carol', 'x', { password: null }));
  return rest;
};
const hello = async (token: string) => rest!.call('POST', '/hello?addressee=x', { headers: { authorization: `Bearer ${token}` } });

test('a token of the provider logs in the user that it names, beside Basic', async () => {
  await open();
  const { status, json } = await hello(await tokenOf());
  expect([status, json]).toEqual([200, 'Hello, x! (from carol)']);
  expect((await rest!.call('POST', '/hello?addressee=x')).status).toBe(200);
});

test('is refused by its issuer, audience, time, key, algorithm, or lack of a user', async () => {
  await open();
  const stranger = await makeKey('one');
  const weak = await makeKey('weak', 'ES384');
  keys.push(weak);
  const [head, body] = (await tokenOf()).split('.') as [string, string];
  const unsigned = `${btoa(JSON.stringify({ alg: 'none' })).replaceAll('=', '')}.${body}.`;
  const refused: Record<string, string> = {
    issuer: await tokenOf({ ...claims, iss: 'https://other.example.com' }),
    audience: await tokenOf({ ...claims, aud: 'another' }),
    expired: await tokenOf(claims, { seconds: -120 }),
    'before its time': await tokenOf({ ...claims, nbf: Math.floor(Date.now() / 1_000) + 600 }),
    'another key': await tokenOf(claims, { key: stranger }),
    'another algorithm': await tokenOf(claims, { key: weak }),
    unsigned,
    changed: `${head}.${btoa(JSON.stringify({ ...claims, preferred_username: 'admin', exp: 9_999_999_999 })).replaceAll('=', '')}.${(await tokenOf()).split('.')[2]!}`,
    'no such user': await tokenOf({ ...claims, preferred_username: 'nobody' }),
    'no name': await tokenOf({ iss: issuer, aud: audience }),
    'no token': 'abc',
  };
  for (const [why, token] of Object.entries(refused)) expect((await hello(token)).status, why).toBe(401);
  expect((await hello('abc')).headers.get('www-authenticate')).toMatch(/^Basic .*, Bearer realm=/);
  const eternal = await new SignJWT(claims).setProtectedHeader({ alg: 'ES256', kid: 'one' }).sign(keys[0]!.privateKey);
  expect((await hello(eternal)).status).toBe(401);
});

test('may be a little late, as the clocks may differ', async () => {
  await open();
  expect((await hello(await tokenOf(claims, { seconds: -30 }))).status).toBe(200);
});

test('has no more permissions than its user, and ends when that is disabled', async () => {
  await open();
  const token = await tokenOf();
  expect((await hello(token)).status).toBe(200);
  const role = roleOf('little', 'ALLOW GET:.*');
  await rest!.publishRole(role);
  await rest!.publishUser(userOf('carol', 'x', { password: null, roles: [{ id: role.id, since: 1 }] }));
  expect((await hello(token)).status).toBe(403);
  await rest!.publishUser(userOf('carol', 'x', { password: null, enabled: false }));
  expect((await hello(token)).status).toBe(401);
});

test('keys are fetched once; a new one is found, but strange ones do not make it ask again and again', async () => {
  await open();
  for (let i = 0; i < 5; i++) await hello(await tokenOf());
  expect(asked).toBe(1);
  const next = await makeKey('two');
  for (let i = 0; i < 20; i++) expect((await hello(await tokenOf(claims, { key: next, kid: `strange-${i}` }))).status).toBe(401);
  expect(asked).toBe(1);
  expect(keysPauseMs).toBeGreaterThanOrEqual(10_000);
});

test('a user without a password cannot log in with one, and where no provider is set tokens are as good as nothing', async () => {
  await open({});
  expect((await hello(await tokenOf())).status).toBe(401);
  expect((await rest!.call('GET', '/cpi', { headers: { authorization: `Basic ${btoa('carol:')}` } })).status).toBe(401);
  expect(asked).toBe(0);
});

test('while the keys cannot be had the answer is to come again, not that the token is wrong', async () => {
  await open();
  answer = async () => new Response('x', { status: 500 });
  expect((await hello(await tokenOf())).status).toBe(503);
});

test('a key set without end is not read to its end', async () => {
  await open();
  answer = async () => new Response(new Blob(['{"keys":[', '1,'.repeat(400_000)]));
  expect((await hello(await tokenOf())).status).toBe(503);
});

test('Corda\'s setting for Entra ID is understood as what follows from it', async () => {
  await open({ azureAd: { tenantId: 'tenant', clientId: 'client', authority: provider.url } });
  expect((await hello(await tokenOf({ iss: `${provider.url}/tenant/v2.0`, aud: 'client', upn: 'carol' }))).status).toBe(200);
  expect((await hello(await tokenOf({ iss: 'https://sts.windows.net/tenant/', aud: 'client', upn: 'carol' }))).status).toBe(200);
  expect((await hello(await tokenOf({ iss: `${provider.url}/other/v2.0`, aud: 'client', upn: 'carol' }))).status).toBe(401);
});
