import { scryptSync } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { fromBase64url, toBase64url, utf8 } from '../../../src/cipher/bytes.ts';
import { verifyPasswordPortably, type VerifyPassword } from '../../../src/workers/rest/auth/auth.ts';
import { basic, openRest, userOf, type RestUnderTest } from './rest-under-test.ts';
import { createManualClock, type ManualClock } from './manual-clock.ts';

let rest: RestUnderTest;
let clock: ManualClock;
let checks: string[];
const counting: VerifyPassword = (password, record) => {
  checks.push(password);
  return verifyPasswordPortably(password, record);
};

beforeEach(async () => {
  clock = createManualClock();
  checks = [];
  rest = await openRest({
    clock,
    limits: { failedLoginsPerPairMax: 3, failedLoginsPerAddressMax: 5, failedLoginsPerLoginMax: 6 },
    change: (deps) => ({ ...deps, verifyPassword: counting, addressOf: (request) => request.headers.get('x-test-address') ?? undefined }),
  });
});
afterEach(() => rest.close());

const hello = (authorization: string, address = '10.0.0.1') => rest.call('POST', '/hello?addressee=x', { headers: { authorization, 'x-test-address': address } });
const statusOf = async (authorization: string, address?: string): Promise<number> => (await hello(authorization, address)).status;

describe('logging in', () => {
  test('takes the right password, and the login in any case', async () => {
    expect((await hello(basic('admin', 'admin-password'))).json).toContain('from admin');
    expect(await statusOf(basic('ADMIN', 'admin-password'))).toBe(200);
  });

  test('takes any Unicode and colons in a password', async () => {
    const password = 'pä:ss:wörd 🔑';
    await rest.publishUser(userOf('bob', password));
    const header = `Basic ${btoa(String.fromCharCode(...utf8(`bob:${password}`)))}`;
    expect(await statusOf(header)).toBe(200);
  });

  test.each([
    ['nothing', ''],
    ['another scheme', 'Bearer abc'],
    ['no base64', 'Basic ???'],
    ['no colon', `Basic ${btoa('admin')}`],
    ['an empty login', basic('', 'admin-password')],
    ['a control character', basic('admin', 'admin-password\n')],
    ['broken UTF-8', `Basic ${btoa('admin:\xff')}`],
    ['loose base64', `Basic ${btoa('admin:admin-password12').replace(/=+$/, '')}`],
    ['an endless header', `Basic ${'A'.repeat(3_000)}`],
  ])('is 401 with %s', async (_, authorization) => {
    const answer = await hello(authorization);
    expect(answer.status).toBe(401);
    expect(answer.headers.get('www-authenticate')).toMatch(/^Basic realm=".+", charset="UTF-8"$/);
    expect(checks).toEqual([]);
  });

  test('answers a wrong password, an unknown login and a disabled user alike, and checks a password each time', async () => {
    await rest.publishUser(userOf('carol', 'carol-password', { enabled: false }));
    const answers = [await hello(basic('admin', 'wrong')), await hello(basic('nobody', 'wrong')), await hello(basic('carol', 'carol-password'))];
    expect(new Set(answers.map(({ status, text }) => `${status} ${text}`)).size).toBe(1);
    expect(answers[0]!.status).toBe(401);
    expect(checks).toEqual(['wrong', 'wrong', 'carol-password']);
  });

  test('is needed for what does not exist too', async () => {
    expect((await rest.call('GET', '/nothing', { headers: { authorization: '' } })).status).toBe(401);
  });

  test('is refused to a user whose record asks for too much memory', async () => {
    const bomb = userOf('bomb', 'x');
    await rest.publishUser({ ...bomb, password: { ...bomb.password!, n: 2 ** 24 } });
    expect(await statusOf(basic('bomb', 'x'))).toBe(401);
    expect(checks).toEqual([]);
    expect(rest.logged.some(({ event }) => event === 'rest.user.uncheckable')).toBe(true);
  });
});

describe('a verified login', () => {
  test('is not checked again until its time is up', async () => {
    for (let i = 0; i < 3; i++) expect(await statusOf(basic('admin', 'admin-password'))).toBe(200);
    expect(checks).toHaveLength(1);
    clock.advance(600_000);
    expect(await statusOf(basic('admin', 'admin-password'))).toBe(200);
    expect(checks).toHaveLength(2);
  });

  test('is shared by calls at the same time', async () => {
    const all = await Promise.all(Array.from({ length: 20 }, () => statusOf(basic('admin', 'admin-password'))));
    expect([new Set(all), checks.length]).toEqual([new Set([200]), 1]);
  });

  test('ends when the password changes', async () => {
    await rest.publishUser(userOf('dave', 'before'));
    expect(await statusOf(basic('dave', 'before'))).toBe(200);
    await rest.publishUser(userOf('dave', 'after'));
    expect(await statusOf(basic('dave', 'before'))).toBe(401);
    expect(await statusOf(basic('dave', 'after'))).toBe(200);
  });

  test('ends when the user is disabled or gone', async () => {
    await rest.publishUser(userOf('dave', 'password'));
    expect(await statusOf(basic('dave', 'password'))).toBe(200);
    await rest.publishUser(userOf('dave', 'password', { enabled: false }));
    expect(await statusOf(basic('dave', 'password'))).toBe(401);
    await rest.publishUser(userOf('dave', 'password'));
    expect(await statusOf(basic('dave', 'password'))).toBe(200);
    await rest.removeUser('dave');
    expect(await statusOf(basic('dave', 'password'))).toBe(401);
  });

  test('goes on while others guess its password', async () => {
    await statusOf(basic('admin', 'admin-password'));
    for (let i = 0; i < 10; i++) await statusOf(basic('admin', `guess ${i}`));
    expect(await statusOf(basic('admin', 'admin-password'))).toBe(200);
  });
});

describe('guessing', () => {
  test('is bounded for one login at one address, until the window is over', async () => {
    for (let i = 0; i < 3; i++) expect(await statusOf(basic('admin', `guess ${i}`))).toBe(401);
    const refused = await hello(basic('admin', 'admin-password'));
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([429, '60']);
    expect(checks).toHaveLength(3);
    clock.advance(60_000);
    expect(await statusOf(basic('admin', 'admin-password'))).toBe(200);
  });

  test('is bounded alike for logins that do not exist', async () => {
    const [known, unknown] = await Promise.all(['admin', 'nobody'].map(async (login, i) => {
      const statuses: number[] = [];
      for (let j = 0; j < 4; j++) statuses.push(await statusOf(basic(login, `guess ${j}`), `10.0.1.${i}`));
      return statuses;
    }));
    expect(known).toEqual([401, 401, 401, 429]);
    expect(unknown).toEqual(known);
  });

  test('is bounded for one address that tries many logins', async () => {
    const statuses: number[] = [];
    for (let i = 0; i < 6; i++) statuses.push(await statusOf(basic(`login${i}`, 'guess')));
    expect(statuses).toEqual([401, 401, 401, 401, 401, 429]);
    expect(await statusOf(basic('admin', 'admin-password'), '10.0.0.2')).toBe(200);
  });

  test('is bounded for one login tried from many addresses', async () => {
    const statuses: number[] = [];
    for (let i = 0; i < 7; i++) statuses.push(await statusOf(basic('admin', 'guess'), `10.0.2.${i}`));
    expect(statuses).toEqual([401, 401, 401, 401, 401, 401, 429]);
  });

  test('is bounded for tries at the same time', async () => {
    await Promise.all(Array.from({ length: 20 }, (_, i) => statusOf(basic('admin', `guess ${i}`))));
    expect(checks.length).toBeLessThanOrEqual(3);
  });

  test('is counted', async () => {
    for (let i = 0; i < 4; i++) await statusOf(basic('admin', `guess ${i}`));
    expect(rest.metrics.text()).toContain('cordage_rest_failed_logins_total{kind="wrong"} 3');
    expect(rest.metrics.text()).toContain('cordage_rest_failed_logins_total{kind="throttled"} 1');
  });
});

describe('the portable password check', () => {
  test('agrees with the platform’s scrypt', async () => {
    const [salt, cost] = [utf8('some salt'), { n: 1_024, r: 8, p: 2 }];
    const hash = scryptSync('pässword', salt, 32, { N: cost.n, r: cost.r, p: cost.p });
    const record = { ...cost, salt: toBase64url(salt), hash: toBase64url(hash) };
    expect(await verifyPasswordPortably('pässword', record)).toBe(true);
    expect(await verifyPasswordPortably('pässwörd', record)).toBe(false);
    expect(fromBase64url(record.hash)).toHaveLength(32);
  });
});
