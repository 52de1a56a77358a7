/** What callers may do: patterns of operations, and the decision over the roles of a user. */
import * as fc from 'fast-check';
import { afterEach, describe, expect, test } from 'vitest';
import { silentLog } from '../../../src/observability/log.ts';
import type { Role } from '../../../src/messages/db-to-rest.role.ts';
import { defaultRoles } from '../../../src/workers/db/default-roles.ts';
import { createAuthority } from '../../../src/workers/rest/auth/authority.ts';
import { operationOf, type Operation } from '../../../src/workers/rest/auth/operation.ts';
import { compilePattern, instructionsMax } from '../../../src/pattern/pattern.ts';
import { routes } from '../../../src/workers/rest/api/api.ts';
import { aliceHash, basic, openRest, roleOf, strangerHash, userOf, type RestUnderTest } from './rest-under-test.ts';

const patternOf = (text: string) => {
  const compiled = compilePattern(text);
  if (compiled.type === 'unusable') throw new Error(`${text}: ${compiled.reason}`);
  return compiled.pattern;
};

// ── Patterns ─────────────────────────────────────────────────────────────────────────────────────────────────────────

const letter = fc.constantFrom('a', 'B', '/', '-', '1', '\\.', '.', '\\d', '\\w', '[ab]', '[^a/]', '[-.a-c]', '\\?');
const pattern = fc.letrec<{ node: string }>((tie) => ({
  node: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    letter,
    fc.tuple(tie('node'), tie('node')).map(([one, other]) => one + other),
    fc.tuple(tie('node'), tie('node')).map(([one, other]) => `(${one}|${other})`),
    fc.tuple(tie('node'), fc.constantFrom('*', '+', '?', '{2}', '{1,3}', '{2,}', '*?')).map(([one, count]) => `(?:${one})${count}`),
  ),
})).node;
const subject = fc.string({ unit: fc.constantFrom('a', 'b', 'A', 'B', '/', '-', '1', '.', '?', 'ä'), maxLength: 12 });

describe('a pattern', () => {
  test('matches what the platform\'s own regular expression matches, whole and in any case', () => {
    fc.assert(
      fc.property(pattern, subject, (text, given) => {
        expect(patternOf(text).matches(given)).toBe(new RegExp(`^(?:${text})$`, 'i').test(given));
      }),
      { numRuns: 3_000 },
    );
  });

  test.each([
    '(a*)*b', '(a|a)*b', '(a|aa)+b', '(.*a){20}b', '(a?){500}a{500}b', '((a{0,5}){0,5}){0,5}b', '(.*.*.*.*.*.*.*.*)*b',
  ])('%s takes no more steps than its length times that of the text', (text) => {
    let steps = 0;
    expect(patternOf(text).matches('a'.repeat(8_000), (taken) => (steps += taken))).toBe(false);
    expect(steps).toBeLessThanOrEqual(2 * 8_001 * (instructionsMax + 1));
  });

  test('whatever is written, it is compiled or refused with a reason, and a match is bounded', () => {
    const anything = fc.oneof(fc.string({ maxLength: 60 }), fc.string({ unit: fc.constantFrom('(', ')', '[', ']', '{', '}', '1', '9', ',', '*', '+', '?', '|', '\\', 'a', '.', '^', '$', '-'), maxLength: 60 }));
    fc.assert(
      fc.property(anything, (text) => {
        const compiled = compilePattern(text);
        if (compiled.type === 'unusable') {
          expect(compiled.reason).not.toBe('');
          return;
        }
        let steps = 0;
        compiled.pattern.matches('a1-,'.repeat(50), (taken) => (steps += taken));
        expect(steps).toBeLessThanOrEqual(2 * 201 * (instructionsMax + 1));
      }),
      { numRuns: 3_000 },
    );
  });

  test.each(['(', ')', 'a{2,1}', 'a{1', '*a', '[a', '[z-a]', 'a**+', '(?=a)', '(?<n>a)', '\\1', '\\b', 'a^b', 'a$b', 'a++', '[a&&b]', '\\', '(a{1,250}){1,250}', '('.repeat(60) + ')'.repeat(60)])('%s is refused', (text) => {
    expect(compilePattern(text).type).toBe('unusable');
  });

  test('of every role that a cluster begins with can be used', () => {
    const texts = defaultRoles(0).flatMap(({ permissions }) => permissions.map(({ permission }) => permission.text));
    expect(texts.filter((text) => compilePattern(text).type === 'unusable')).toEqual([]);
    expect(texts.length).toBeGreaterThan(50);
  });
});

// ── Decisions ────────────────────────────────────────────────────────────────────────────────────────────────────────

const viewOf = (roles: readonly Role[]) => {
  const byId = new Map(roles.map((role) => [role.id, role]));
  return { get: (id: string) => byId.get(id), entries: () => byId.entries(), refresh: async () => {} };
};
const standingOf = (roles: readonly Role[], known: readonly Role[] = roles) => ({
  authority: createAuthority({ roles: viewOf(known), log: silentLog }),
  user: userOf('someone', 'x', { roles: roles.map(({ id }) => ({ id, since: 1 })) }),
});
const get = (path: string, virtualNode?: string): Operation => ({ texts: [`GET:/api/v5_2${path}`], virtualNode });
const decide = (operation: Operation, ...permissions: readonly string[]) => {
  const { authority, user } = standingOf([roleOf('one', ...permissions)]);
  return authority.permits(user, operation);
};

describe('a decision', () => {
  test('is no where nothing is said, yes where it is allowed, and no where it is refused as well', async () => {
    expect(await decide(get('/cpi'))).toBe(false);
    expect(await decide(get('/cpi'), 'ALLOW GET:.*')).toBe(true);
    expect(await decide(get('/cpi'), 'ALLOW GET:.*', 'DENY .*/cpi')).toBe(false);
    expect(await decide(get('/cpi'), 'ALLOW GET:/api')).toBe(false);
  });

  test('is, for any permissions, what its definition says', async () => {
    const permission = fc.tuple(fc.constantFrom('ALLOW', 'DENY'), fc.constantFrom('.*', 'GET:.*', '.*/a', 'GET:/api/v5_2/b', 'PUT:.*'), fc.constantFrom('', ' at 0123456789AB', ' at 0123456789ab', ' at FFFFFFFFFFFF'));
    const operation = fc.tuple(fc.constantFrom('/a', '/b'), fc.constantFrom(undefined, '0123456789AB'));
    await fc.assert(
      fc.asyncProperty(fc.array(permission, { maxLength: 6 }), operation, async (permissions, [path, virtualNode]) => {
        const asked = get(path, virtualNode);
        const concerned = permissions.filter(([, text, at]) => new RegExp(`^(?:${text})$`, 'i').test(asked.texts[0]!) && (at === '' || at.slice(4).toUpperCase() === virtualNode));
        const expected = concerned.some(([type]) => type === 'ALLOW') && !concerned.some(([type]) => type === 'DENY');
        expect(await decide(asked, ...permissions.map(([type, text, at]) => `${type} ${text}${at}`))).toBe(expected);
      }),
      { numRuns: 500 },
    );
  });

  test('counts all roles of the user, and is no while one of them is not known here', async () => {
    const [reader, other] = [roleOf('reader', 'ALLOW GET:.*'), roleOf('other', 'DENY PUT:.*')];
    const whole = standingOf([reader, other]);
    expect(await whole.authority.permits(whole.user, get('/cpi'))).toBe(true);
    const partly = standingOf([reader, other], [reader]);
    expect(await partly.authority.permits(partly.user, get('/cpi'))).toBe(false);
  });

  test('is no where a refusal cannot be read', async () => {
    expect(await decide(get('/cpi'), 'ALLOW .*', 'DENY (')).toBe(false);
    expect(await decide(get('/cpi'), 'ALLOW .*', 'ALLOW (')).toBe(true);
  });

  test('is no where it would cost too much, and costs no more than its bound', async () => {
    const dear = Array.from({ length: 60 }, (_, i) => `DENY (.?){1900}x${i}`);
    const long = { texts: [`GET:/${'a'.repeat(7_900)}`], virtualNode: undefined };
    const before = performance.now();
    expect(await decide(long, 'ALLOW .*', ...dear)).toBe(false);
    expect(performance.now() - before).toBeLessThan(5_000);
  });
});

describe('an operation', () => {
  const segments = { loginname: 'x' };
  test('is the same however its path is spelt', () => {
    const spellings = ['/api/v5_2/user/ann%40a.com', '/api/v5_2/user/ann@a.com', '/api/v5_2/user/%61nn@a.com', '/api/v5_2/user/ann@a.com/'];
    expect(new Set(spellings.map((path) => operationOf({ method: 'GET', path, search: '' }, segments).texts[0]))).toEqual(new Set(['GET:/api/v5_2/user/ann@a.com']));
  });

  test('keeps apart what is not the same: an escaped slash is no slash', () => {
    expect(operationOf({ method: 'GET', path: '/api/v5_2/user/a%2fb', search: '' }, segments).texts).toEqual(['GET:/api/v5_2/user/a%2Fb']);
  });

  test('has its virtual node from its path, whatever the contract calls it', () => {
    const named = routes.flatMap(({ path }) => [...path.matchAll(/\{([^}]+)\}/g)].map(([, name]) => name!)).filter((name) => /identity|short|tenant/.test(name));
    expect(named.length).toBeGreaterThan(10);
    for (const name of named) expect(operationOf({ method: 'GET', path: '/', search: '' }, { [name]: '0123456789ab' }).virtualNode, name).toBe('0123456789AB');
    expect(operationOf({ method: 'GET', path: '/', search: '' }, { tenantid: 'p2p' }).virtualNode).toBeUndefined();
  });
});

// ── Through the worker ───────────────────────────────────────────────────────────────────────────────────────────────

describe('a caller', () => {
  let rest: RestUnderTest;
  afterEach(() => rest.close());

  const as = async (...permissions: readonly string[]) => {
    rest = await openRest();
    const role = roleOf('some', ...permissions);
    await rest.publishRole(role);
    await rest.publishUser(userOf('bob', 'password', { roles: [{ id: role.id, since: 1 }] }));
    const authorization = basic('bob', 'password');
    return async (method: string, path: string, json?: unknown) => (await rest.call(method, path, { headers: { authorization }, ...(json === undefined ? {} : { json }) })).status;
  };

  test('gets no further than its permissions, nor around them by another spelling', async () => {
    const call = await as('ALLOW GET:.*', 'DENY GET:.*/user/admin');
    expect(await call('GET', '/user/bob')).toBe(200);
    for (const path of ['/user/admin', '/user/%61dmin', '/user/ADMIN', '/USER/admin', '/user/admin/', '/user/admin?x=1']) expect(await call('GET', path), path).toBe(403);
    expect(await call('HEAD', '/user/bob')).toBe(200);
    expect(await call('POST', '/hello?addressee=x')).toBe(403);
  });

  test('reads versions without permission, and learns of operations that are not there', async () => {
    const call = await as();
    expect(await call('GET', '/cpi/getprotocolversion')).toBe(200);
    expect(await call('GET', '/nowhere')).toBe(404);
    expect(await call('GET', '/cpi')).toBe(403);
  });

  test('of one virtual node is refused at another', async () => {
    const call = await as(`ALLOW GET:.* at ${aliceHash}`);
    expect(await call('GET', `/virtualnode/${aliceHash}`)).toBe(200);
    expect(await call('GET', `/virtualnode/${strangerHash}`)).toBe(403);
  });

  test('may open a feed by the permission that Corda names for it, and not without', async () => {
    const call = await as(`ALLOW WS:/api/v5_2/flow/${aliceHash}/r.*`);
    const upgrade = async (id: string): Promise<number> =>
      (await rest.call('GET', `/flow/${aliceHash}/${id}`, { headers: { authorization: basic('bob', 'password'), upgrade: 'websocket' } })).status;
    // This server has no WebSockets: it says so to those who may.
    expect([await upgrade('r1'), await upgrade('x1'), await call('GET', `/flow/${aliceHash}/r1`)]).toEqual([400, 403, 403]);
  });

  test('follows its roles as they change', async () => {
    const call = await as('ALLOW GET:.*/cpi');
    expect(await call('GET', '/cpi')).toBe(200);
    const changed = roleOf('some', 'ALLOW GET:.*/virtualnode');
    await rest.publishRole({ ...changed, version: 2 });
    expect([await call('GET', '/cpi'), await call('GET', '/virtualnode')]).toEqual([403, 200]);
  });
});
