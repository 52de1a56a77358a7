import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { encodePem } from '../../../src/cipher/pem.ts';
import { concat, fromBase64url, toBase64url, utf8 } from '../../../src/cipher/bytes.ts';
import { allToCryptoKey, type PublicKeyInfo } from '../../../src/messages/all-to-crypto.key.ts';
import { restToDbCertificate } from '../../../src/messages/rest-to-db.certificate.ts';
import { restToDbCpi } from '../../../src/messages/rest-to-db.cpi.ts';
import { restToDbVirtualNode } from '../../../src/messages/rest-to-db.virtual-node.ts';
import { restToLinkManagerReceipt } from '../../../src/messages/rest-to-link-manager.receipt.ts';
import { restToMemberLookup } from '../../../src/messages/rest-to-member.lookup.ts';
import { restToMemberRegistration, type Registration } from '../../../src/messages/rest-to-member.registration.ts';
import { alice, aliceHash, cpiFullChecksum, openRest, strangerHash, virtualNodeOf, type RestUnderTest } from './rest-under-test.ts';
import { doneWith, refusedWith } from './rooms.ts';

let rest: RestUnderTest;
beforeAll(async () => {
  rest = await openRest({ limits: { uploadChunkBytes: 1_000 } });
});
afterAll(() => rest.close());

const form = (fields: Record<string, string | Blob>): FormData => {
  const data = new FormData();
  for (const [name, value] of Object.entries(fields)) data.append(name, value);
  return data;
};

const at = 1_700_000_000_123;
const iso = '2023-11-14T22:13:20.123Z';

describe('hello', () => {
  test('greets the addressee in the name of the caller', async () => {
    const answer = await rest.call('POST', '/hello?addressee=you');
    expect([answer.status, answer.json]).toEqual([200, 'Hello, you! (from admin)']);
  });

  test('answers bare text to a client that does not name JSON', async () => {
    const answer = await rest.call('POST', '/hello?addressee=you', { headers: { accept: '*/*' } });
    expect([answer.text, answer.headers.get('content-type')]).toEqual(['Hello, you! (from admin)', 'text/plain; charset=utf-8']);
  });

  test('needs its addressee', async () => {
    const answer = await rest.call('POST', '/hello');
    expect([answer.status, answer.json.details.parameter]).toEqual([400, 'addressee']);
  });
});

describe('getprotocolversion', () => {
  test.each(['hello', 'certificate', 'cpi', 'maintenance/virtualnode', 'virtualnode', 'membership', 'members', 'flowclass', 'flow', 'hsm', 'key'])('of %s is the platform version of 5.2', async (resource) => {
    expect((await rest.call('GET', `/${resource}/getprotocolversion`)).json).toBe(50_200);
  });
});

describe('receipts', () => {
  const kept = { number: 7, messageId: 'm', digest: 'd', receivedAt: at, keyHash: 'k', publicKey: 'p', spec: 'EdDSA', signature: 's' };

  test('of a counterparty are asked of the pair, and shown with the time that was signed', async () => {
    rest.rooms.on(restToLinkManagerReceipt, () => doneWith({ receipts: [kept] }));
    const answer = await rest.call('GET', `/link/${aliceHash}/receipts?counterparty=${encodeURIComponent('C=GB, L=London, O=Bob')}&before=8`);
    const { receivedAt: _at, spec, ...shown } = kept;
    expect([answer.status, answer.json]).toEqual([200, { receipts: [{ ...shown, receivedAt: iso, receivedAtMs: at, signatureSpec: spec }] }]);
    expect(rest.rooms.heard(restToLinkManagerReceipt).at(-1)).toEqual({ groupId: alice.holdingIdentity.groupId, source: alice.holdingIdentity.x500Name, destination: 'O=Bob, L=London, C=GB', before: 8 });
  });

  test('need a counterparty that has a name, and a number that is one', async () => {
    const status = async (query: string): Promise<number> => (await rest.call('GET', `/link/${aliceHash}/receipts${query}`)).status;
    expect([await status(''), await status('?counterparty=nobody'), await status('?counterparty=O%3DBob,L%3DLondon,C%3DGB&before=0')]).toEqual([400, 400, 400]);
    expect((await rest.call('GET', `/link/${strangerHash}/receipts?counterparty=O%3DBob,L%3DLondon,C%3DGB`)).status).toBe(404);
  });
});

describe('certificates of the cluster', () => {
  const pem = encodePem('CERTIFICATE', utf8('not really DER, but db looks at that'));

  test('are imported under usage and alias, several files as one chain', async () => {
    rest.rooms.on(restToDbCertificate, () => doneWith({}));
    const data = form({ alias: 'signer-1', certificate: new Blob([pem]) });
    data.append('certificate', new Blob([pem]));
    const answer = await rest.call('PUT', '/certificate/cluster/code-signer', { body: data });
    expect(answer.status).toBe(204);
    expect(rest.rooms.heard(restToDbCertificate).at(-1)).toEqual({ type: 'import', usage: 'code-signer', alias: 'signer-1', pem: pem + pem });
  });

  test('must be PEM certificates', async () => {
    for (const certificate of ['nonsense', encodePem('PRIVATE KEY', utf8('oh dear')), `${pem}-----BEGIN CERTIFICATE-----\nAAAA`]) {
      const answer = await rest.call('PUT', '/certificate/cluster/code-signer', { body: form({ alias: 'a', certificate: new Blob([certificate]) }) });
      expect([answer.status, answer.json.details.parameter]).toEqual([400, 'certificate']);
    }
  });

  test('are refused with 400 where db refuses the chain', async () => {
    rest.rooms.on(restToDbCertificate, () => refusedWith('DB_CERTIFICATE_INVALID'));
    expect((await rest.call('PUT', '/certificate/cluster/p2p-tls', { body: form({ alias: 'a', certificate: new Blob([pem]) }) })).status).toBe(400);
  });

  test('need a known usage, a sound alias, and all fields', async () => {
    const sound = { alias: 'a', certificate: new Blob([pem]) };
    expect((await rest.call('PUT', '/certificate/cluster/nonsense', { body: form(sound) })).status).toBe(400);
    expect((await rest.call('PUT', '/certificate/cluster/p2p-tls', { body: form({ ...sound, alias: '../../etc' }) })).status).toBe(400);
    expect((await rest.call('PUT', '/certificate/cluster/p2p-tls', { body: form({ alias: 'a' }) })).json.details).toMatchObject({ parameter: 'certificate' });
    expect((await rest.call('PUT', '/certificate/cluster/p2p-tls', { body: form({ ...sound, extra: 'x' }) })).json.details).toMatchObject({ parameter: 'extra' });
  });

  test('are listed by alias and read as PEM', async () => {
    rest.rooms.on(restToDbCertificate, (body) => doneWith(body.type === 'list' ? { aliases: ['one', 'two'] } : { pem }));
    expect((await rest.call('GET', '/certificate/cluster/p2p-tls')).json).toEqual(['one', 'two']);
    expect((await rest.call('GET', '/certificate/cluster/p2p-tls/one')).json).toBe(pem);
    expect((await rest.call('GET', '/certificate/cluster/p2p-tls/one', { headers: { accept: '*/*' } })).text).toBe(pem);
  });

  test('are 404 when there is none of that alias', async () => {
    rest.rooms.on(restToDbCertificate, () => refusedWith('DB_CERTIFICATE_NOT_FOUND'));
    expect((await rest.call('GET', '/certificate/cluster/p2p-tls/none')).status).toBe(404);
  });

  test('are at /certificates in API version 1, where /certificate is unknown', async () => {
    rest.rooms.on(restToDbCertificate, () => doneWith({ aliases: [] }));
    expect((await rest.call('GET', '/certificates/cluster/p2p-tls', { version: 'v1' })).status).toBe(200);
    expect((await rest.call('GET', '/certificate/cluster/p2p-tls', { version: 'v5_1' })).status).toBe(200);
    expect((await rest.call('GET', '/certificate/cluster/p2p-tls', { version: 'v1' })).status).toBe(404);
    expect((await rest.call('GET', '/certificates/cluster/p2p-tls')).status).toBe(404);
  });
});

describe('CPI upload', () => {
  const file = Uint8Array.from({ length: 2_500 }, (_, i) => (i * 7) % 256);

  test.each([
    ['/cpi', false],
    ['/maintenance/virtualnode/forcecpiupload', true],
  ])('%s hands the file over in chunks, in order, before it answers its id', async (path, force) => {
    rest.rooms.on(restToDbCpi, () => doneWith({ status: 'Uploading', cpiFileChecksum: '' }));
    const before = rest.rooms.heard(restToDbCpi).length;
    const answer = await rest.call('POST', path, { body: form({ upload: new Blob([file], { type: 'application/octet-stream' }) }) });
    expect(answer.status).toBe(200);
    const chunks = rest.rooms.heard(restToDbCpi).slice(before);
    const bytes = chunks.map((chunk) => (chunk.type === 'chunk' ? fromBase64url(chunk.bytes) : new Uint8Array()));
    expect(chunks.map((chunk) => ({ ...chunk, bytes: undefined }))).toEqual([0, 1, 2].map((index) => ({ type: 'chunk', uploadId: answer.json.id, index, count: 3, force, bytes: undefined })));
    expect(concat(...bytes)).toEqual(file);
  });

  test.each([999, 1_000, 1_001, 2_000, 70_000])('hands %d bytes over whole, in pieces of any size', async (length) => {
    rest.rooms.on(restToDbCpi, () => doneWith({ status: 'Uploading', cpiFileChecksum: '' }));
    const before = rest.rooms.heard(restToDbCpi).length;
    const bytes = Uint8Array.from({ length }, (_, i) => (i * 31) % 256);
    expect((await rest.call('POST', '/cpi', { body: form({ upload: new Blob([bytes]) }) })).status).toBe(200);
    const chunks = rest.rooms.heard(restToDbCpi).slice(before).map((chunk) => (chunk.type === 'chunk' ? fromBase64url(chunk.bytes) : new Uint8Array()));
    expect(chunks.length).toBe(Math.ceil(length / 1_000));
    expect(concat(...chunks)).toEqual(bytes);
  });

  test('stops at the first chunk that is refused', async () => {
    rest.rooms.on(restToDbCpi, () => refusedWith('DB_CPI_INVALID', 'not a zip file'));
    const before = rest.rooms.heard(restToDbCpi).length;
    const answer = await rest.call('POST', '/cpi', { body: form({ upload: new Blob([file]) }) });
    expect([answer.status, answer.json.title, rest.rooms.heard(restToDbCpi).length - before]).toEqual([400, 'ValidationException', 1]);
  });

  test('needs a file that is not empty, in a form', async () => {
    expect((await rest.call('POST', '/cpi', { body: form({ upload: new Blob([]) }) })).status).toBe(400);
    expect((await rest.call('POST', '/cpi', { body: form({ other: new Blob([file]) }) })).status).toBe(400);
    expect((await rest.call('POST', '/cpi', { json: { upload: 'x' } })).status).toBe(415);
  });

  test('shows its status, with the checksum once it is OK', async () => {
    rest.rooms.on(restToDbCpi, () => doneWith({ status: 'OK', cpiFileChecksum: 'AB12CD34EF56' }));
    const answer = await rest.call('GET', '/cpi/status/f0a0f381-e0d6-49d2-abba-6094992cef02');
    expect(answer.json).toEqual({ status: 'OK', cpiFileChecksum: 'AB12CD34EF56' });
  });

  test.each([
    ['DB_CPI_DUPLICATE', 409, 'DuplicateCpiUploadException'],
    ['DB_CPI_INVALID', 400, 'ValidationException'],
    ['DB_UPLOAD_UNKNOWN', 400, 'No such request'],
  ])('shows %s as %d', async (code, status, title) => {
    rest.rooms.on(restToDbCpi, () => refusedWith(code, 'No such request'));
    const answer = await rest.call('GET', '/cpi/status/f0a0f381-e0d6-49d2-abba-6094992cef02');
    expect([answer.status, answer.json.title]).toEqual([status, title]);
  });

  test('answers 400 to an id that is none', async () => {
    const answer = await rest.call('GET', '/cpi/status/what');
    expect([answer.status, answer.json.title]).toEqual([400, 'No such requestId=what']);
  });
});

describe('CPIs', () => {
  test('are listed with their CPKs and short checksums', async () => {
    const { cpis } = (await rest.call('GET', '/cpi')).json;
    expect(cpis).toHaveLength(1);
    expect(cpis[0]).toMatchObject({ cpiFileChecksum: 'AB12CD34EF56', cpiFileFullChecksum: cpiFullChecksum, id: { cpiName: 'greetings', cpiVersion: '1.0' }, timestamp: '2023-11-14T22:13:20.000Z' });
    expect(cpis[0].cpks[0].libraries).toEqual([]);
  });
});

describe('virtual nodes', () => {
  const request = { cpiFileChecksum: 'ab12cd34ef56', x500Name: 'C=GB, L=London, O=Bob Corp, CN=Bob' };

  test.each([
    ['flat', request],
    ['nested', { request }],
  ])('are created from a %s body, by canonical name, with 202 and a request id', async (_, json) => {
    rest.rooms.on(restToDbVirtualNode, () => doneWith({ requestId: 'ABCDEF012345' }));
    const answer = await rest.call('POST', '/virtualnode', { json });
    expect([answer.status, answer.json]).toEqual([202, { requestId: 'ABCDEF012345' }]);
    expect(rest.rooms.heard(restToDbVirtualNode).at(-1)).toEqual({ type: 'create', cpiFileChecksum: 'AB12CD34EF56', x500Name: 'CN=Bob, O=Bob Corp, L=London, C=GB' });
  });

  test.each([
    ['DB_CPI_NOT_FOUND', 400],
    ['DB_X500_INVALID', 400],
    ['DB_VIRTUAL_NODE_EXISTS', 409],
  ])('are not created: %s is %d', async (code, status) => {
    rest.rooms.on(restToDbVirtualNode, () => refusedWith(code));
    expect((await rest.call('POST', '/virtualnode', { json: request })).status).toBe(status);
  });

  test.each([
    ['a malformed name', { ...request, x500Name: 'Bob' }],
    ['a malformed checksum', { ...request, cpiFileChecksum: 'zz' }],
    ['a missing name', { cpiFileChecksum: request.cpiFileChecksum }],
    ['databases of its own', { ...request, vaultDmlConnection: '{}' }],
    ['a number for a name', { ...request, x500Name: 7 }],
    ['no object', []],
  ])('are not created from %s', async (_, json) => {
    expect((await rest.call('POST', '/virtualnode', { json })).status).toBe(400);
  });

  test('show how their creation fares', async () => {
    const status = { requestId: aliceHash, operation: 'CREATE_VIRTUAL_NODE', status: 'SUCCEEDED', lastUpdatedTimestamp: at, resourceId: aliceHash, errorReason: null };
    rest.rooms.on(restToDbVirtualNode, () => doneWith({ status }));
    expect((await rest.call('GET', `/virtualnode/status/${aliceHash}`)).json).toEqual({ ...status, lastUpdatedTimestamp: iso, processingStage: null });
    rest.rooms.on(restToDbVirtualNode, () => refusedWith('DB_REQUEST_UNKNOWN'));
    expect((await rest.call('GET', '/virtualnode/status/nonsense')).status).toBe(404);
  });

  test('are listed and read, nulls and all', async () => {
    const { virtualNodes } = (await rest.call('GET', '/virtualnode')).json;
    expect(virtualNodes.map((node: any) => node.holdingIdentity.shortHash)).toContain(aliceHash);
    const one = await rest.call('GET', `/virtualnode/${aliceHash.toLowerCase()}`);
    expect(one.json).toMatchObject({ holdingIdentity: alice.holdingIdentity, operationInProgress: null, externalMessagingRouteConfiguration: null });
  });

  test('that were made a moment ago are found', async () => {
    const dora = virtualNodeOf('CN=Dora, O=Dora Corp, L=Paris, C=FR');
    await rest.publishVirtualNode(dora);
    expect((await rest.call('GET', `/virtualnode/${dora.holdingIdentity.shortHash}`)).status).toBe(200);
  });

  test('are 404 when unknown, 400 when their hash is malformed', async () => {
    expect((await rest.call('GET', `/virtualnode/${strangerHash}`)).status).toBe(404);
    expect((await rest.call('GET', '/virtualnode/xyz')).status).toBe(400);
  });
});

describe('registration', () => {
  const registration: Registration = {
    registrationId: 'f0a0f381-e0d6-49d2-abba-6094992cef02',
    registrationStatus: 'APPROVED',
    registrationSent: at,
    registrationUpdated: at,
    memberInfoSubmitted: { 'corda.key.scheme': 'CORDA.ECDSA.SECP256R1' },
    reason: null,
    serial: 1,
  };
  const context = { 'corda.key.scheme': 'CORDA.ECDSA.SECP256R1' };

  test.each([
    ['flat', { context }],
    ['nested', { memberRegistrationRequest: { context } }],
  ])('is submitted from a %s body', async (_, json) => {
    rest.rooms.on(restToMemberRegistration, () => doneWith({ registrations: [registration] }));
    const answer = await rest.call('POST', `/membership/${aliceHash}`, { json });
    expect(answer.status).toBe(200);
    expect(answer.json).toEqual({
      availableNow: true,
      memberInfoSubmitted: { data: context },
      reason: 'Submitting registration request was successful.',
      registrationId: registration.registrationId,
      registrationSent: iso,
      registrationStatus: 'SUBMITTED',
    });
  });

  test.each([
    ['MEMBER_CONTEXT_INVALID', 400],
    ['MEMBER_VIRTUAL_NODE_NOT_FOUND', 404],
    ['MEMBER_ALREADY_REGISTERED', 409],
  ])('is refused: %s is %d', async (code, status) => {
    rest.rooms.on(restToMemberRegistration, () => refusedWith(code));
    expect((await rest.call('POST', `/membership/${aliceHash}`, { json: { context } })).status).toBe(status);
  });

  test('takes a map of texts', async () => {
    expect((await rest.call('POST', `/membership/${aliceHash}`, { json: { context: { a: 1 } } })).status).toBe(400);
    expect((await rest.call('POST', `/membership/${aliceHash}`, { json: { context: Object.fromEntries(Array.from({ length: 501 }, (_, i) => [`k${i}`, 'v'])) } })).status).toBe(400);
    expect((await rest.call('POST', `/membership/${strangerHash}`, { json: { context } })).status).toBe(404);
  });

  test('is listed, and read by its id', async () => {
    rest.rooms.on(restToMemberRegistration, () => doneWith({ registrations: [registration] }));
    const shown = { ...registration, registrationSent: iso, registrationUpdated: iso, memberInfoSubmitted: { data: registration.memberInfoSubmitted } };
    expect((await rest.call('GET', `/membership/${aliceHash}`)).json).toEqual([shown]);
    expect((await rest.call('GET', `/membership/${aliceHash}/${registration.registrationId}`)).json).toEqual(shown);
    expect((await rest.call('GET', `/membership/${aliceHash}/nonsense`)).status).toBe(400);
    rest.rooms.on(restToMemberRegistration, () => refusedWith('MEMBER_REGISTRATION_NOT_FOUND'));
    expect((await rest.call('GET', `/membership/${aliceHash}/${registration.registrationId}`)).status).toBe(404);
    rest.rooms.on(restToMemberRegistration, () => doneWith({ registrations: [] }));
    expect((await rest.call('GET', `/membership/${aliceHash}/${registration.registrationId}`)).status).toBe(404);
  });
});

describe('members', () => {
  const member = { memberContext: { 'corda.name': 'CN=Alice' }, mgmContext: { 'corda.status': 'ACTIVE' } };

  test('are looked up by attributes; active ones unless statuses are named', async () => {
    rest.rooms.on(restToMemberLookup, () => doneWith({ members: [member] }));
    expect((await rest.call('GET', `/members/${aliceHash}?O=Alice%20Corp&cn=Alice`)).json).toEqual({ members: [member] });
    expect(rest.rooms.heard(restToMemberLookup).at(-1)).toEqual({ type: 'members', shortHash: aliceHash, attributes: { O: 'Alice Corp', CN: 'Alice' }, statuses: ['ACTIVE'] });
    await rest.call('GET', `/members/${aliceHash}?statuses=SUSPENDED&statuses=active`);
    expect(rest.rooms.heard(restToMemberLookup).at(-1)).toMatchObject({ attributes: {}, statuses: ['SUSPENDED', 'ACTIVE'] });
  });

  test('need a known virtual node and known statuses', async () => {
    expect((await rest.call('GET', `/members/${strangerHash}`)).status).toBe(404);
    expect((await rest.call('GET', `/members/${aliceHash}?statuses=GONE`)).status).toBe(400);
    expect((await rest.call('GET', `/members/${aliceHash}?o=a&O=b`)).status).toBe(400);
  });

  test('share group parameters', async () => {
    rest.rooms.on(restToMemberLookup, () => doneWith({ parameters: { 'corda.epoch': '1' } }));
    expect((await rest.call('GET', `/members/${aliceHash}/group-parameters`)).json).toEqual({ parameters: { 'corda.epoch': '1' } });
  });
});

describe('flow classes', () => {
  test('are those that may be started, in order', async () => {
    expect((await rest.call('GET', `/flowclass/${aliceHash}`)).json).toEqual({ flowClassNames: ['com.example.Echo', 'com.example.Ping'] });
    expect((await rest.call('GET', `/flowclass/${strangerHash}`)).status).toBe(404);
  });
});

describe('the soft HSM', () => {
  test('is given to a tenant by category', async () => {
    const association = { id: 'a1', hsmId: 'SOFT', category: 'SESSION_INIT', masterKeyAlias: 'ABCDEF012345' };
    rest.rooms.on(allToCryptoKey, () => doneWith({ keys: [], association }));
    const answer = await rest.call('POST', `/hsm/soft/${aliceHash}/session_init`);
    expect([answer.status, answer.json]).toEqual([200, { ...association, deprecatedAt: 0 }]);
    expect(rest.rooms.heard(allToCryptoKey).at(-1)).toEqual({ type: 'assign-hsm', tenant: aliceHash, category: 'SESSION_INIT' });
    expect((await rest.call('POST', '/hsm/soft/p2p/TLS')).status).toBe(200);
  });

  test('has no other categories and serves no other tenants', async () => {
    expect((await rest.call('POST', `/hsm/soft/${aliceHash}/NONSENSE`)).status).toBe(404);
    expect((await rest.call('POST', '/hsm/soft/everybody/TLS')).status).toBe(400);
  });
});

describe('keys', () => {
  const key = (id: string, more: Partial<PublicKeyInfo> = {}): PublicKeyInfo => ({
    id,
    tenant: aliceHash,
    alias: `alias-${id}`,
    category: 'SESSION_INIT',
    scheme: 'CORDA.ECDSA.SECP256R1',
    masterKeyAlias: 'ABCDEF012345',
    publicKey: toBase64url(utf8('SPKI')),
    createdAt: at,
    ...more,
  });
  const [first, second, third] = [key('AAAAAAAAAAAA'), key('BBBBBBBBBBBB', { createdAt: at + 1_000, scheme: 'CORDA.RSA' }), key('CCCCCCCCCCCC', { createdAt: at + 2_000 })];
  const idsOf = (answer: { json: Record<string, unknown> }): string[] => Object.keys(answer.json);

  test('are made under an alias and answer their id', async () => {
    rest.rooms.on(allToCryptoKey, () => doneWith({ keys: [first] }));
    const answer = await rest.call('POST', `/key/${aliceHash}/alias/${aliceHash}-session/category/SESSION_INIT/scheme/CORDA.ECDSA.SECP256R1`);
    expect([answer.status, answer.json]).toEqual([200, { id: 'AAAAAAAAAAAA' }]);
    expect(rest.rooms.heard(allToCryptoKey).at(-1)).toEqual({ type: 'generate', tenant: aliceHash, alias: `${aliceHash}-session`, category: 'SESSION_INIT', scheme: 'CORDA.ECDSA.SECP256R1', isNew: true });
  });

  test.each([
    ['CRYPTO_HSM_UNASSIGNED', 400],
    ['CRYPTO_ALIAS_TAKEN', 409],
    ['CRYPTO_BUSY', 503],
  ])('are not made: %s is %d', async (code, status) => {
    rest.rooms.on(allToCryptoKey, () => refusedWith(code));
    expect((await rest.call('POST', `/key/p2p/alias/tls/category/TLS/scheme/CORDA.RSA`)).status).toBe(status);
  });

  test('are not made of unknown schemes, in unknown categories, under unsound aliases', async () => {
    expect((await rest.call('POST', '/key/p2p/alias/tls/category/TLS/scheme/CORDA.SM9')).status).toBe(400);
    expect((await rest.call('POST', '/key/p2p/alias/tls/category/NONSENSE/scheme/CORDA.RSA')).status).toBe(404);
    expect((await rest.call('POST', '/key/p2p/alias/a%2Fb/category/TLS/scheme/CORDA.RSA')).status).toBe(400);
  });

  test('are listed as a map by id', async () => {
    rest.rooms.on(allToCryptoKey, () => doneWith({ keys: [first] }));
    expect((await rest.call('GET', `/key/${aliceHash}`)).json).toEqual({
      AAAAAAAAAAAA: { alias: 'alias-AAAAAAAAAAAA', created: iso, hsmCategory: 'SESSION_INIT', keyId: 'AAAAAAAAAAAA', masterKeyAlias: 'ABCDEF012345', scheme: 'CORDA.ECDSA.SECP256R1' },
    });
  });

  test('are filtered, ordered and paged by crypto, in the caller’s order', async () => {
    rest.rooms.on(allToCryptoKey, () => doneWith({ keys: [third, first, second] }));
    expect(idsOf(await rest.call('GET', `/key/${aliceHash}`))).toEqual([third.id, first.id, second.id]);
    expect(rest.rooms.heard(allToCryptoKey).at(-1)).toEqual({ type: 'find', tenant: aliceHash, order: { by: 'age', descending: false }, skip: 0, take: 20 });
    await rest.call('GET', `/key/${aliceHash}?orderby=timestamp_desc&skip=1&take=2&category=TLS&alias=x&id=AAAAAAAAAAAA&id=bbbbbbbbbbbb&schemecodename=corda.rsa&masterkeyalias=m&createdafter=2023-11-14T22:13:21Z&createdbefore=2023-11-14T22:13:22Z`);
    expect(rest.rooms.heard(allToCryptoKey).at(-1)).toEqual({
      type: 'find',
      tenant: aliceHash,
      ids: ['AAAAAAAAAAAA', 'BBBBBBBBBBBB'],
      alias: 'x',
      category: 'TLS',
      scheme: 'CORDA.RSA',
      masterKeyAlias: 'm',
      createdFrom: Date.UTC(2023, 10, 14, 22, 13, 21),
      createdTo: Date.UTC(2023, 10, 14, 22, 13, 22),
      order: { by: 'age', descending: true },
      skip: 1,
      take: 2,
    });
  });

  test.each(['take=-1', 'take=many', 'skip=99999999999', 'orderby=COLOUR', 'category=x', 'createdafter=yesterday', 'id=zz', Array.from({ length: 21 }, () => 'id=AAAAAAAAAAAA').join('&')])(
    'are not listed by %s',
    async (query) => {
      expect((await rest.call('GET', `/key/${aliceHash}?${query}`)).status).toBe(400);
    },
  );

  test('are shown in PEM', async () => {
    rest.rooms.on(allToCryptoKey, () => doneWith({ keys: [first] }));
    expect((await rest.call('GET', `/key/${aliceHash}/AAAAAAAAAAAA`)).json).toBe(encodePem('PUBLIC KEY', utf8('SPKI')));
    rest.rooms.on(allToCryptoKey, () => doneWith({ keys: [] }));
    expect((await rest.call('GET', `/key/${aliceHash}/AAAAAAAAAAAA`)).status).toBe(404);
    expect((await rest.call('GET', `/key/${aliceHash}/short`)).status).toBe(400);
  });

  test('are at /keys in API version 1', async () => {
    rest.rooms.on(allToCryptoKey, () => doneWith({ keys: [] }));
    expect((await rest.call('GET', `/keys/${aliceHash}`, { version: 'v1' })).status).toBe(200);
  });
});

describe('refusals of other rooms', () => {
  test('that stand in no table are 500 with a reference to the log, and say nothing else', async () => {
    rest.rooms.on(allToCryptoKey, () => refusedWith('CRYPTO_WHO_KNOWS', 'the secret reason'));
    const answer = await rest.call('GET', `/key/${aliceHash}`);
    expect(answer.status).toBe(500);
    expect(answer.text).not.toContain('secret');
    expect(rest.logged.find(({ event }) => event === 'rest.refusal.unmapped')).toMatchObject({ reference: answer.json.details.reference, code: 'CRYPTO_WHO_KNOWS', message: 'the secret reason' });
  });
});
