/** Bearer tokens of an identity provider, as every runtime must take them: run on Node, Deno and workerd. The provider is a small one on this machine. */
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Bus } from '../../../src/bus/bus.ts';
import { listen, type Listener } from '../../../src/host/http-server.ts';
import { dbToAllConfig } from '../../../src/messages/db-to-all.config.ts';
import { dbToRestUser } from '../../../src/messages/db-to-rest.user.ts';
import { encode } from '../../../src/messages/grammar/envelope.ts';
import { userOf } from './rest-under-test.ts';

const issuer = 'https://id.example.com';
const audience = 'cordage';
const waitMsMax = 20_000;
const askAgainMs = 50;

export const describeTokens = (name: string, served: () => { readonly url: string; readonly bus: Bus }): void => {
  describe(`bearer tokens on ${name}`, () => {
    let provider: Listener;
    let ours: Awaited<ReturnType<typeof generateKeyPair>>;
    let asked = 0;
    beforeAll(async () => {
      ours = await generateKeyPair('ES256');
      const keys = [{ ...(await exportJWK(ours.publicKey)), kid: 'one', alg: 'ES256', use: 'sig' }];
      provider = await listen({ hostname: '127.0.0.1', port: 0, fetch: async () => (asked++, Response.json({ keys })) });
    });
    afterAll(() => provider.close());

    const tokenOf = (claims: object = {}, key = ours.privateKey): Promise<string> =>
      new SignJWT({ iss: issuer, aud: audience, preferred_username: 'Carol', ...claims }).setProtectedHeader({ alg: 'ES256', kid: 'one' }).setExpirationTime('1 minute').sign(key);
    const hello = async (token: string): Promise<{ status: number; text: string }> => {
      const response = await fetch(`${served().url}/api/v5_2/hello?addressee=x`, { method: 'POST', headers: { authorization: `Bearer ${token}`, accept: 'application/json' } });
      return { status: response.status, text: await response.text() };
    };

    test('are taken once the configuration names their issuer, for the user that they name, and no others', async () => {
      expect((await hello(await tokenOf())).status).toBe(401);
      const { bus } = served();
      const source = JSON.stringify({ sso: { oidc: { issuer, audience, jwksUri: `${provider.url}/keys` } } });
      await bus.publish([
        encode(dbToRestUser, { key: 'carol', id: `${name}/carol`, body: userOf('carol', 'x', { password: null }) }),
        encode(dbToAllConfig, { key: 'corda.rest', id: `${name}/corda.rest`, body: { section: 'corda.rest', version: 1, schemaVersion: { major: 1, minor: 0 }, source, updatedAt: 1 } }),
      ]);
      const until = performance.now() + waitMsMax;
      let answer = await hello(await tokenOf());
      while (answer.status === 401 && performance.now() < until) {
        await new Promise((resolve) => setTimeout(resolve, askAgainMs));
        answer = await hello(await tokenOf());
      }
      expect(answer).toEqual({ status: 200, text: '"Hello, x! (from carol)"' });
      const stranger = await generateKeyPair('ES256');
      for (const token of [await tokenOf({ aud: 'another' }), await tokenOf({ iss: 'https://other.example.com' }), await tokenOf({ preferred_username: 'nobody' }), await tokenOf({}, stranger.privateKey), 'abc']) expect((await hello(token)).status).toBe(401);
      expect(asked).toBe(1);
    });
  });
};
