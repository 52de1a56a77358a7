/** Whatever a client sends: an answer of the contract, never a fault. */
import * as fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { allToCryptoKey } from '../../../src/messages/all-to-crypto.key.ts';
import { restToCryptoCsr } from '../../../src/messages/rest-to-crypto.csr.ts';
import { restToCryptoTransfer } from '../../../src/messages/rest-to-crypto.transfer.ts';
import { restToCryptoRotation } from '../../../src/messages/rest-to-crypto.rotation.ts';
import { restToDbCertificate } from '../../../src/messages/rest-to-db.certificate.ts';
import { restToDbConfig } from '../../../src/messages/rest-to-db.config.ts';
import { restToDbCpi } from '../../../src/messages/rest-to-db.cpi.ts';
import { restToDbRbac } from '../../../src/messages/rest-to-db.rbac.ts';
import { restToDbTransfer } from '../../../src/messages/rest-to-db.transfer.ts';
import { restToDbVirtualNode } from '../../../src/messages/rest-to-db.virtual-node.ts';
import { restToFlowKill } from '../../../src/messages/rest-to-flow.kill.ts';
import { restToFlowRedrive } from '../../../src/messages/rest-to-flow.redrive.ts';
import { restToLinkManagerReceipt } from '../../../src/messages/rest-to-link-manager.receipt.ts';
import { restToMemberLookup } from '../../../src/messages/rest-to-member.lookup.ts';
import { restToMemberMgm } from '../../../src/messages/rest-to-member.mgm.ts';
import { restToMemberNetwork } from '../../../src/messages/rest-to-member.network.ts';
import { restToMemberRegistration } from '../../../src/messages/rest-to-member.registration.ts';
import { routes } from '../../../src/workers/rest/api/api.ts';
import { admin, aliceHash, everythingRole, openRest, userOf, type RestUnderTest } from './rest-under-test.ts';
import { doneWith } from './rooms.ts';

let rest: RestUnderTest;
const registration = { registrationId: 'f0a0f381-e0d6-49d2-abba-6094992cef02', registrationStatus: 'APPROVED', registrationSent: 1, registrationUpdated: 1, memberInfoSubmitted: {}, reason: null, serial: null };
const key = { id: 'AAAAAAAAAAAA', tenant: 'p2p', alias: 'a', category: 'TLS', scheme: 'CORDA.RSA', masterKeyAlias: 'm', publicKey: 'AAAA', createdAt: 1 };
const rule = { ruleId: registration.registrationId, ruleRegex: '.*', ruleLabel: null };
const token = { id: registration.registrationId, ownerX500Name: 'O=A, L=London, C=GB', ttl: null, status: 'AVAILABLE', creationRemark: null, removalRemark: null };
const association = { id: 'a1', hsmId: 'SOFT', category: 'TLS', masterKeyAlias: 'm' };

beforeAll(async () => {
  rest = await openRest({ limits: { waitMsMax: 5 } });
  rest.rooms.on(restToDbCertificate, () => doneWith({ aliases: [], pem: '' }));
  rest.rooms.on(restToDbCpi, () => doneWith({ status: 'OK', cpiFileChecksum: '' }));
  rest.rooms.on(restToDbVirtualNode, () => doneWith({ requestId: 'r' }));
  rest.rooms.on(restToMemberLookup, () => doneWith({ members: [], parameters: {} }));
  rest.rooms.on(restToDbConfig, ({ section, source, schemaVersion }) => doneWith({ section, source, schemaVersion, version: 1, updatedAt: 1 }));
  rest.rooms.on(restToDbRbac, () => doneWith({ user: userOf('carol', 'x'), role: everythingRole, permissions: [everythingRole.permissions[0]!.permission], entries: [] }));
  rest.rooms.on(restToFlowKill, () => doneWith({ flowId: 'f', timestamp: 1 }));
  rest.rooms.on(restToFlowRedrive, () => doneWith({ flowId: 'f', timestamp: 1 }));
  rest.rooms.on(restToLinkManagerReceipt, () => doneWith({ receipts: [] }));
  rest.rooms.on(restToMemberMgm, () => doneWith({ groupPolicy: '{}', registrations: [{ ...registration, x500Name: 'O=A, L=London, C=GB' }], rules: [rule], tokens: [token], parameters: {}, subjects: [] }));
  rest.rooms.on(restToMemberNetwork, () => doneWith({}));
  rest.rooms.on(restToDbTransfer, () => doneWith({ count: 1, text: '' }));
  rest.rooms.on(restToCryptoTransfer, () => doneWith({ keys: { tenant: aliceHash, associations: [], wrappingKeys: [], signingKeys: [] } }));
  rest.rooms.on(restToMemberRegistration, () => doneWith({ registrations: [registration] }));
  rest.rooms.on(restToCryptoRotation, () => doneWith({ requestId: 'r', initiatedAt: 1, updatedAt: 1, isDone: true, parts: [] }));
  rest.rooms.on(restToCryptoCsr, () => doneWith({ pem: '' }));
  rest.rooms.on(allToCryptoKey, () => doneWith({ keys: [key], association }));
});
afterAll(() => rest.close());

/** Values that pass most checks, so that the rest of the request is reached too. */
const plausible = fc.constantFrom(aliceHash, aliceHash.toLowerCase(), 'p2p', 'p2p-tls', 'TLS', 'CORDA.RSA', 'r1', 'ACTIVE', 'COMPLETED', '5', 'PT0.001S', registration.registrationId, '2023-11-14T22:13:20Z');
const odd = fc.constantFrom('', '.', '..', '%', '%00', '%ff', '%2f', '__proto__', 'constructor', 'a b', 'ä', '0', '-1', '1e9', 'NaN', 'null', '\u2028', 'x'.repeat(300));
const segment = fc.oneof({ weight: 4, arbitrary: plausible }, odd, fc.string({ maxLength: 20 }).map(encodeURIComponentLoosely));

function encodeURIComponentLoosely(text: string): string {
  return text.isWellFormed() ? encodeURIComponent(text) : '%ed%a0%80';
}

const sound: Record<string, string> = {
  holdingidentityshorthash: aliceHash,
  clientrequestid: 'r1',
  registrationrequestid: registration.registrationId,
  usage: 'p2p-tls',
  alias: 'a',
  id: registration.registrationId,
  virtualnodeshortid: aliceHash,
  newstate: 'active',
  cpichecksum: 'AB12CD34EF56',
  newcpichecksum: 'AB12CD34EF56',
  targetcpifilechecksum: 'AB12CD34EF56',
  requestid: 'r',
  tenantid: 'p2p',
  category: 'TLS',
  hsmcategory: 'TLS',
  scheme: 'CORDA.RSA',
  keyid: 'AAAAAAAAAAAA',
};

/** `undefined` stands for the parameter's sound value. */
const pathFor = (template: string, segments: readonly (string | undefined)[]): string => {
  let next = 0;
  return template.replace(/\{([^}]+)\}/g, (_, name: string) => segments[next++ % segments.length] ?? sound[name] ?? 'x');
};

const queryNames = ['wait', 'status', 'statuses', 'take', 'skip', 'orderby', 'category', 'id', 'createdafter', 'addressee', 'cn', 'masterkeyalias'];
const query = fc.array(fc.tuple(fc.constantFrom(...queryNames), segment), { maxLength: 4 }).map((pairs) => pairs.map(([name, value]) => `${name}=${value}`).join('&'));

const startLike = fc.record(
  {
    clientRequestId: fc.oneof(fc.stringMatching(/^[-._A-Za-z0-9]{1,20}$/), fc.jsonValue()),
    flowClassName: fc.oneof(fc.constantFrom('com.example.Ping', 'com.example.Pong'), fc.jsonValue()),
    requestBody: fc.jsonValue(),
    cpiFileChecksum: fc.oneof(fc.constant('AB12CD34EF56'), fc.jsonValue()),
    x500Name: fc.oneof(fc.constant('O=a, L=b, C=GB'), fc.string(), fc.jsonValue()),
    context: fc.oneof(fc.dictionary(fc.string(), fc.string()), fc.jsonValue()),
  },
  { requiredKeys: [] },
);
const soundBody = fc
  .record({ clientRequestId: fc.stringMatching(/^[-._A-Za-z0-9]{1,20}$/), requestBody: fc.jsonValue() })
  .map((varied) => ({ flowClassName: 'com.example.Ping', cpiFileChecksum: 'AB12CD34EF56', x500Name: 'O=a, L=b, C=GB', context: {}, ...varied }));
const jsonText = fc.oneof(
  soundBody.map((value) => JSON.stringify(value)),
  startLike.map((value) => JSON.stringify(value)),
  fc.tuple(fc.constantFrom('request', 'startFlow', 'memberRegistrationRequest', '__proto__'), startLike).map(([name, value]) => `{${JSON.stringify(name)}:${JSON.stringify(value)}}`),
  fc.json(),
  fc.constantFrom('{"__proto__":{"a":1}}', '{"context":{"__proto__":"x"}}', '{"toString":1}', '[[[[', '"\\ud800"', '{"a":1e999}', ' ', '\u0000'),
);
const formBytes = fc
  .array(fc.constantFrom('\r\n', '--b\r\n', '\r\n--b--', 'Content-Disposition: form-data; name="upload"\r\n\r\n', 'Content-Disposition: form-data; name="alias"\r\n\r\n', 'name', '-----BEGIN CERTIFICATE-----\n'), { maxLength: 10 })
  .map((parts) => parts.join(''));
const certificate = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n';
const part = (name: string, content: string): string => `--b\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${content}\r\n`;
const soundForm = fc.constantFrom(`${part('upload', 'x')}--b--`, `${part('alias', 'a')}${part('certificate', certificate)}--b--`);
const bytes = fc.uint8Array({ maxLength: 100 });

const body = fc.oneof(
  fc.record({ type: fc.constant('application/json'), content: fc.oneof({ weight: 4, arbitrary: jsonText }, bytes) }),
  fc.record({ type: fc.constant('multipart/form-data; boundary=b'), content: fc.oneof({ weight: 2, arbitrary: soundForm }, { weight: 2, arbitrary: formBytes }, bytes) }),
  fc.record({ type: fc.constantFrom('', 'text/plain', 'application/json; charset=x', 'multipart/form-data'), content: jsonText }),
);
const headers = fc.record({
  authorization: fc.oneof({ weight: 20, arbitrary: fc.constant(admin) }, fc.constantFrom('', 'Basic', 'Bearer x', 'Basic AAAA')),
  accept: fc.constantFrom('application/json', '*/*', 'text/plain', ';q=,', 'application/json;q=x'),
  'last-event-id': fc.constantFrom('', 'RUNNING', 'COMPLETED', '__proto__'),
  upgrade: fc.constantFrom('', '', '', 'websocket'),
});

const call = fc.record({
  template: fc.oneof({ weight: 20, arbitrary: fc.constantFrom(...routes.map(({ method, path }) => ({ method, path }))) }, fc.record({ method: fc.constantFrom('PATCH', 'OPTIONS', 'DELETE', 'HEAD'), path: fc.constantFrom('/cpi', '/flow/{a}', '/x/{a}') })),
  segments: fc.array(fc.oneof({ weight: 5, arbitrary: fc.constant(undefined) }, segment), { minLength: 1, maxLength: 4 }),
  query,
  version: fc.constantFrom('v1', 'v5_1', 'v5_2', 'v5_2', 'v5_2', 'v9'),
  body,
  headers,
});

const known = [200, 201, 202, 204, 400, 401, 403, 404, 405, 409, 413, 414, 415, 429];

test('every request has an answer of the contract', { timeout: 120_000 }, async () => {
  const seen = new Map<number, number>();
  await fc.assert(
    fc.asyncProperty(call, async ({ template: { method, path }, segments, query: search, version, body: { type, content }, headers: given }) => {
      const hasBody = method !== 'GET' && method !== 'HEAD';
      const request = new Request(`http://rest.test/api/${version}${pathFor(path, segments)}?${search}`, {
        method,
        headers: { ...given, ...(hasBody && type !== '' ? { 'content-type': type } : {}) },
        ...(hasBody ? { body: content as BodyInit } : {}),
      });
      const response = await rest.worker.fetch(request);
      seen.set(response.status, (seen.get(response.status) ?? 0) + 1);
      expect(known).toContain(response.status);
      if (response.headers.get('content-type') === 'text/event-stream') await response.body!.cancel();
      else if (response.status >= 400 && method !== 'HEAD' && response.headers.get('content-type') === 'application/json') {
        expect(await response.json()).toEqual({ title: expect.any(String), status: response.status, details: expect.any(Object) });
      } else await response.text();
    }),
    { numRuns: 3_000 },
  );
  // The generator reaches successes as well as refusals, else it proves little.
  for (const status of [200, 202, 204, 400, 401, 404, 405, 415]) expect(seen.get(status) ?? 0, `answers ${status}`).toBeGreaterThan(0);
  expect(rest.logged.filter(({ level }) => level === 'error')).toEqual([]);
  expect(({} as Record<string, unknown>)['a']).toBeUndefined();
});
