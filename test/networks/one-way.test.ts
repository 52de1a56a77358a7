/**
 * A network over three clusters of one process each, made by one command on each; TLS is one way. A machine on the way to the manager
 * writes down what the others send it, so that it can be sent again, changed.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join as pathOf } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { createHttpClient } from '../../src/host/http-client.ts';
import { generateKeyPair } from '../../src/cipher/signature.ts';
import { buildPackage, wrapCpb } from '../../src/packaging/build.ts';
import { openSigningKey } from '../../src/packaging/build-signing-key.ts';
import { networkCommand, told } from '../cli/network-command.ts';
import { useClusters, type BlackBox } from '../workers/rest/black-box/cluster.ts';
import { makeKey, register, registrationOf, seenBy, settled, type Context } from '../workers/rest/black-box/dynamic-network.ts';
import { openForger, type Fault } from './forger.ts';
import { openRecordingGateway, type Packet, type RecordingGateway } from './recording-gateway.ts';
import { greet, networkStories, untilSeen, type Member, type Network } from './three-clusters.ts';

const clusters = useClusters(3);
const project = fileURLToPath(new URL('../apps/ping-pong', import.meta.url));
const folder = mkdtempSync(pathOf(tmpdir(), 'cordage-networks-'));
const policy = pathOf(folder, 'GroupPolicy.json');
const names = { mgm: 'O=Network, L=London, C=GB', bob: 'O=Bob, L=Paris, C=FR', carol: 'O=Carol, L=Rome, C=IT', notary: 'O=Notary, L=Oslo, C=NO', other: 'O=Other Notary, L=Oslo, C=NO', dora: 'O=Dora, L=Bern, C=CH', erin: 'O=Erin, L=Bonn, C=DE' };
const first = () => clusters()[0]!;
const second = () => clusters()[1]!;
const third = () => clusters()[2]!;

let way: RecordingGateway;
let network: Network;
const cpb = pathOf(folder, 'app.cpb');
const signingKey = ['--key', pathOf(folder, 'signing-key')];

const cordage = (box: BlackBox, ...args: string[]) => networkCommand(box, folder, args);
const tlsOf = async ({ until }: BlackBox): Promise<string> => (await until('GET', '/certificate/cluster/p2p-tls/p2p-tls-cert', ({ status }) => status === 200)).json as string;
const joinAs = (box: BlackBox, x500Name: string, ...more: string[]) =>
  cordage(box, 'join', '--policy', policy, '--name', x500Name, '--endpoint', box.gatewayUrl, ...signingKey, '--json', '--signer', pathOf(folder, 'vendor/signing-certificate.pem'), ...more);
const joined = async (box: BlackBox, x500Name: string, ...more: string[]): Promise<Member> => ({ box, x500Name, hash: told(await joinAs(box, x500Name, ...more)).shortHash });

beforeAll(async () => {
  const vendor = await openSigningKey(pathOf(folder, 'vendor'));
  const [built, firstTls] = await Promise.all([buildPackage({ project, signer: vendor }), tlsOf(first())]);
  writeFileSync(cpb, built.cpb);
  way = await openRecordingGateway(() => ({ url: first().gatewayUrl, certificatePem: firstTls }));
  const roots = [way.certificatePem, ...(await Promise.all([second(), third()].map(tlsOf)))].flatMap((pem, n) => {
    const file = pathOf(folder, `root-${n}.pem`);
    writeFileSync(file, pem);
    return ['--trust-root', file];
  });
  const made = told(await cordage(first(), 'create', '--name', names.mgm, '--endpoint', way.url, '--out', policy, ...signingKey, ...roots, '--json'));
  const cpi = pathOf(folder, 'app.cpi');
  writeFileSync(cpi, (await wrapCpb({ cpb: built.cpb, groupPolicy: readFileSync(policy, 'utf8'), signer: vendor })).cpi);
  network = {
    mgm: { box: first(), hash: made.shortHash, x500Name: names.mgm },
    bob: await joined(second(), names.bob, '--cpb', cpb),
    carol: await joined(third(), names.carol, '--cpi', cpi),
  };
}, 120_000);
afterAll(async () => {
  await way.close();
  rmSync(folder, { recursive: true, force: true });
});

networkStories(() => network);

// ── Who is let in ────────────────────────────────────────────────────────────────────────────────────────────────────

describe('approval over clusters', () => {
  const rules = () => `/mgm/${network.mgm.hash}/approval/rules`;
  const tokenFor = async (x500Name: string, ttl?: string): Promise<string> => (await cordage(first(), 'token', x500Name, ...(ttl === undefined ? [] : ['--ttl', ttl]))).out.trim();
  const asking = (x500Name: string, ...more: string[]) => joinAs(second(), x500Name, '--cpb', cpb, '--set-context', 'ext.note=hello', ...more);
  let ruleId: string;

  test('an operator approves or declines what a rule holds back', async () => {
    ruleId = (await first().call('POST', rules(), { json: { ruleRegex: '^ext\\.' } })).json.ruleId;
    const { registrationId, shortHash } = told(await asking(names.dora), 7);
    expect((await cordage(first(), 'decline', registrationId, '--reason', 'unknown to us')).code).toBe(0);
    expect(await registrationOf(second(), shortHash, registrationId)).toMatchObject({ registrationStatus: 'DECLINED', reason: expect.stringContaining('unknown to us') });
    expect(Object.keys(await seenBy(third(), network.carol.hash, '?statuses=ACTIVE&statuses=PENDING'))).not.toContain(names.dora);
    const { registrationId: anew } = told(await asking(names.dora, '--again'), 7);
    expect((await cordage(first(), 'approve', anew)).code).toBe(0);
    await untilSeen(network.carol, { x500Name: names.dora }, (listed) => listed?.mgmContext['corda.status'] === 'ACTIVE');
  }, 60_000);

  test('a token passes its owner once, within its time, and nobody else', async () => {
    const [others, brief, own] = [await tokenFor(names.carol), await tokenFor(names.erin, 'PT0.001S'), await tokenFor(names.erin, 'PT1H')];
    for (const token of [others, brief, '11111111-1111-4111-8111-111111111111']) {
      const refused = await asking(names.erin, '--again', '--preauth-token', token);
      expect([refused.code, refused.err]).toEqual([5, expect.stringContaining('the pre-auth token is not valid for this member')]);
    }
    expect(told(await asking(names.erin, '--again', '--preauth-token', own)).status).toBe('APPROVED');
    const tokens = (await first().call('GET', `/mgm/${network.mgm.hash}/preauthtoken?viewinactive=true`)).json as { id: string; status: string }[];
    expect(Object.fromEntries(tokens.map(({ id, status }) => [id, status]))).toMatchObject({ [others]: 'AVAILABLE', [brief]: 'AUTO_INVALIDATED', [own]: 'CONSUMED' });
    expect((await first().call('DELETE', `${rules()}/${ruleId}`)).status).toBe(204);
  }, 60_000);
});

test('a notary joins the service that one of another cluster has begun, and one that speaks another protocol does not', async () => {
  const service = 'O=Notary Service, L=Oslo, C=NO';
  await joined(second(), names.notary, '--cpb', cpb, '--notary', service);
  const wrong = await joinAs(third(), names.other, '--cpb', cpb, '--notary', service, '--notary-protocol', 'com.example.other');
  expect([wrong.code, wrong.err]).toEqual([5, expect.stringContaining('nonvalidating')]);
  await joined(third(), names.other, '--cpb', cpb, '--notary', service, '--again');
  const keysIn = (parameters: Record<string, string>): number => Object.keys(parameters).filter((key) => key.startsWith('corda.notary.service.0.keys.')).length;
  for (const { box, hash } of [network.bob, network.carol]) await box.until('GET', `/members/${hash}/group-parameters`, ({ json }) => keysIn(json.parameters) === 2);
}, 60_000);

// ── Changes ──────────────────────────────────────────────────────────────────────────────────────────────────────────

type Registered = { readonly registrationId: string; readonly registrationStatus: string; readonly registrationSent: string; readonly serial: number; readonly memberInfoSubmitted: { readonly data: Context } };

/** The registration of a member that was approved last. */
const lastOf = async ({ box, hash }: Member): Promise<Registered> => {
  const all = (await box.call('GET', `/membership/${hash}`)).json as Registered[];
  return all.filter(({ registrationStatus }) => registrationStatus === 'APPROVED').toSorted((one, other) => Date.parse(one.registrationSent) - Date.parse(other.registrationSent)).at(-1)!;
};
const contextOfBob = async (): Promise<Context> => (await lastOf(network.bob)).memberInfoSubmitted.data;

const changeNote = async (note: string): Promise<void> => {
  const { box, hash } = network.bob;
  const { 'corda.serial': _old, ...context } = await contextOfBob();
  expect(await settled(box, hash, { ...context, 'ext.note': note })).toMatchObject({ registrationStatus: 'APPROVED' });
  await untilSeen(network.carol, network.bob, (listed) => listed?.memberContext['ext.note'] === note);
};

test('a member changes what it may, all clusters see it, and what it may not change is refused', async () => {
  const { box, hash } = network.bob;
  const context = await contextOfBob();
  await changeNote('changed');
  const key = await makeKey(box, hash, 'LEDGER', `${hash}-ledger-2`);
  expect(await settled(box, hash, { ...context, 'corda.ledger.keys.0.id': key })).toMatchObject({ registrationStatus: 'DECLINED', reason: expect.stringContaining('corda.ledger.keys.0') });
  expect((await register(box, hash, { ...context, 'corda.serial': '1' })).json).toMatchObject({ status: 400, title: expect.stringContaining('serial') });
  expect(await greet(network.carol, network.bob)).toMatchObject({ flowStatus: 'COMPLETED' });
}, 60_000);

test('a member whose virtual node is deleted is suspended by its manager, and seen no more', async () => {
  const { virtualNodes } = (await second().call('GET', '/virtualnode')).json as { virtualNodes: { holdingIdentity: { x500Name: string; shortHash: string } }[] };
  const { shortHash } = virtualNodes.find(({ holdingIdentity }) => holdingIdentity.x500Name === names.dora)!.holdingIdentity;
  expect((await second().call('DELETE', `/virtualnode/${shortHash}`)).status, 'it is a member').toBe(409);
  expect((await second().call('DELETE', `/virtualnode/${shortHash}?force=true`)).status).toBe(202);
  await untilSeen(network.carol, { x500Name: names.dora }, (listed) => listed === undefined);
  await untilSeen(network.mgm, { x500Name: names.dora }, (listed) => listed?.mgmContext['corda.status'] === 'SUSPENDED');
}, 60_000);

// ── On the wire ──────────────────────────────────────────────────────────────────────────────────────────────────────

describe('what strangers and machines on the way send to the manager', () => {
  const client = createHttpClient();
  afterAll(() => client.close());

  const post = async (...packets: readonly Packet[]): Promise<void> => {
    const answer = await client.post({ url: first().gatewayUrl, body: JSON.stringify({ v: 1, packets }), trustRootsPem: [await tlsOf(first())], timeoutMs: 10_000 });
    expect(answer).toMatchObject({ type: 'answered', status: 200 });
  };
  /** Everybody's standing as the manager and as Carol see it, all requests there ever were, and the tokens. */
  const everything = async () => {
    const { mgm, carol } = network;
    const standings = async ({ box, hash }: Member): Promise<Record<string, string>> => {
      const { json } = await box.call('GET', `/members/${hash}?statuses=ACTIVE&statuses=SUSPENDED&statuses=PENDING`);
      return Object.fromEntries((json.members as { memberContext: Context; mgmContext: Context }[]).map(({ memberContext, mgmContext }) => [memberContext['corda.name'], `${mgmContext['corda.status']} ${mgmContext['corda.serial']}`]));
    };
    const [atManager, atCarol, requests, tokens] = await Promise.all([
      standings(mgm), standings(carol), first().call('GET', `/mgm/${mgm.hash}/registrations?viewhistoric=true`), first().call('GET', `/mgm/${mgm.hash}/preauthtoken?viewinactive=true`),
    ]);
    const ended = Object.fromEntries((requests.json as { registrationId: string; registrationStatus: string }[]).map(({ registrationId, registrationStatus }) => [registrationId, registrationStatus]));
    return { atManager, atCarol, requests: ended, tokens: tokens.json };
  };
  const counted = async (name: string): Promise<number> => {
    const text = await (await fetch(`${first().healthUrl}/metrics`)).text();
    return text.split('\n').filter((line) => line.startsWith(name)).reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
  };

  const mallory = 'O=Mallory, L=London, C=GB';
  const forgeries: readonly (readonly [string, () => Fault | Promise<Fault>, string])[] = [
    ['signed by another key', () => ({ x500Name: mallory, signsRequest: true }), 'it is not signed by the first session key it names'],
    ['whose context another key signed', () => ({ x500Name: mallory, signsContext: true }), 'its context is not signed by the session keys it names'],
    ['sealed to another key', async () => ({ x500Name: mallory, sealedTo: (await generateKeyPair('CORDA.ECDSA.SECP256R1')).publicKey }), 'a request that was not sealed to this manager'],
    ['of an hour ago', () => ({ x500Name: mallory, request: { sentAt: Date.now() - 3_600_000 } }), 'it is too old, or of the future'],
    ['with a serial that its context does not have', () => ({ x500Name: mallory, request: { serial: 3 } }), 'its context names another serial'],
    ['for another network', () => ({ x500Name: mallory, request: { groupId: '11111111-1111-4111-8111-111111111111' } }), 'it is for another group or manager'],
    ['in the name of a member', () => ({ x500Name: names.bob }), 'a member registers anew on its session'],
    ['that names another than who sends it', () => ({ x500Name: mallory, source: 'O=Trudy, L=London, C=GB' }), 'it does not come from whom it names'],
  ];

  test('forged, expired and misdirected registrations are refused, counted and logged, and change nothing', async () => {
    const forger = await openForger(readFileSync(policy, 'utf8'));
    const [before, refused] = [await everything(), await counted('cordage_member_messages_refused_total')];
    for (const [what, fault, reason] of forgeries) {
      const known = readFileSync(first().logFile, 'utf8').split(reason).length;
      await post(await forger.packet(await fault()));
      await vi.waitFor(() => expect(readFileSync(first().logFile, 'utf8').split(reason).length, what).toBeGreaterThan(known), 10_000);
    }
    expect(await counted('cordage_member_messages_refused_total')).toBe(refused + forgeries.length);
    expect(await everything()).toEqual(before);
    // The same without a fault is taken: it was the faults that were refused.
    await post(await forger.packet({ x500Name: mallory }));
    const { json } = await first().until('GET', `/mgm/${network.mgm.hash}/registrations`, ({ json: all }) => all[0]?.registrationStatus === 'PENDING_MEMBER_VERIFICATION');
    expect(json).toMatchObject([{ memberInfoSubmitted: { data: { 'corda.name': mallory } } }]);
    expect((await first().call('POST', `/mgmadmin/${network.mgm.hash}/force-decline/${json[0].registrationId}`)).status).toBe(204);
  }, 60_000);

  test('what members have sent is refused when it is sent again, in any order, or changed, and their sessions go on', async () => {
    const recorded = [...way.packets];
    expect(recorded.filter(({ unauthenticated }) => unauthenticated === true).length, 'the registrations of strangers').toBeGreaterThan(2);
    expect(recorded.length).toBeGreaterThan(20);
    const [before, refused] = [await everything(), await counted('cordage_link_manager_packets_refused_total')];
    const changed = recorded.filter(({ unauthenticated }) => unauthenticated === undefined).map((one): Packet => {
      const at = Math.floor(one.packet.length / 2);
      return { ...one, packet: `${one.packet.slice(0, at)}${one.packet[at] === 'A' ? 'B' : 'A'}${one.packet.slice(at + 1)}` };
    });
    await post(...recorded);
    await post(...recorded.toReversed());
    await post(...changed);
    // What comes on each pair's own way stands behind what was sent again: once it is heard, that has been judged.
    await changeNote('after the replay');
    expect(await counted('cordage_link_manager_packets_refused_total')).toBeGreaterThan(refused + recorded.length);
    const after = await everything();
    const own = await lastOf(network.bob);
    // Bob's own change, and nothing else.
    const changedBob = { [names.bob]: `ACTIVE ${own.serial}` };
    expect(after).toEqual({
      ...before, atManager: { ...before.atManager, ...changedBob }, atCarol: { ...before.atCarol, ...changedBob }, requests: { ...before.requests, [own.registrationId]: 'APPROVED' },
    });
    expect(await greet(network.bob, network.carol)).toMatchObject({ flowStatus: 'COMPLETED' });
  }, 60_000);
});
