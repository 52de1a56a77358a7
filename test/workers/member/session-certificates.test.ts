/** What a network with session PKI asks of the certificates in a member context, judged by the manager and by every cluster that hears the list. */
import 'reflect-metadata';
import * as x509 from '@peculiar/x509';
import { describe, expect, test } from 'vitest';
import { concat, fromBase64url, toBase64url } from '../../../src/cipher/bytes.ts';
import { encodePem } from '../../../src/cipher/pem.ts';
import { identityOf, testKey } from '../../simulation/joining-world.ts';
import { keyMap } from '../../../src/workers/member/peer/context-map.ts';
import { contextInput, leafOf, rootOfRoster, statementInput, type Entry, type Statement } from '../../../src/workers/member/peer/entry.ts';
import { certificatesFault, certificatesMap, plainChain, type SessionTrust } from '../../../src/workers/member/peer/session-certificates.ts';
import { stepList } from '../../../src/workers/member/list/list.ts';
import type { ListState } from '../../../src/workers/member/list/state.ts';
import type { Networks } from '../../../src/workers/member/network.ts';
import { issue } from '../../packaging/keys.ts';

const now = Date.UTC(2026, 5, 1);
const dayMs = 24 * 3_600_000;
const groupId = '3f6f4ad0-2c3c-4f5e-9a3b-6c1d5a8e7f12';
const bob = identityOf('O=Bob, L=Paris, C=FR', groupId);
const mgm = identityOf('O=Mgm, L=London, C=GB', groupId);

const root = await issue({ name: 'CN=Root', ca: true, algorithm: 'ES256', notBefore: now - 1_000 * dayMs, notAfter: now + 1_000 * dayMs });
const stranger = await issue({ name: 'CN=Stranger', ca: true, algorithm: 'ES256', notAfter: now + 1_000 * dayMs });
const trust: SessionTrust = { sessionPki: 'Standard', sessionTrustRoots: [root.pem] };

const keyOf = async (owner: string) => {
  const { pair, signer } = await testKey(owner, 'SESSION_INIT');
  return { publicKey: toBase64url(pair.publicKey), spec: 'EdDSA' as const, sign: async (input: Uint8Array) => toBase64url(await signer!.sign('EdDSA', input)) };
};

type Leaf = { readonly owner?: string; readonly name?: string; readonly issuer?: typeof root; readonly notBefore?: number; readonly notAfter?: number };

const chainOf = async ({ owner = bob.shortHash, name = bob.x500Name, issuer = root, notBefore = now - dayMs, notAfter = now + dayMs }: Leaf = {}): Promise<string> => {
  const publicKey = await crypto.subtle.importKey('spki', concat(fromBase64url((await keyOf(owner)).publicKey)), { name: 'Ed25519' }, true, ['verify']);
  const leaf = await x509.X509CertificateGenerator.create({
    subject: name, issuer: issuer.certificate.subject, publicKey, signingKey: issuer.keys.privateKey, signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' },
    notBefore: new Date(notBefore), notAfter: new Date(notAfter), extensions: [new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true)],
  });
  return encodePem('CERTIFICATE', new Uint8Array(leaf.rawData));
};

const contextOf = async (owners: readonly string[], chains: readonly string[]): Promise<Record<string, string>> => {
  const keys = await Promise.all(owners.map(keyOf));
  return {
    'corda.name': bob.x500Name, 'corda.registration.id': 'r',
    ...Object.assign({}, ...keys.map((key, n) => keyMap(`corda.session.keys.${n}`, key))),
    ...certificatesMap(keys.map(({ publicKey }) => publicKey), Object.fromEntries(chains.map((pem, n) => [keys[n]!.publicKey, pem]))),
  };
};

describe('a member context', () => {
  const judge = async (context: Record<string, string>, at: number | 'ever' = now, by = trust) => certificatesFault(context, { x500Name: bob.x500Name, trust: by, at });

  test('is good with a chain for each session key, and needs none where the network asks for none', async () => {
    expect(await judge(await contextOf([bob.shortHash], [await chainOf()]))).toBeUndefined();
    expect(await judge(await contextOf([bob.shortHash, 'next'], [await chainOf(), await chainOf({ owner: 'next' })]))).toBeUndefined();
    expect(await judge(await contextOf([bob.shortHash], []), now, { sessionPki: 'NoPKI', sessionTrustRoots: [] })).toBeUndefined();
  });

  test.each<readonly [string, () => Promise<Record<string, string>>]>([
    ['missing', async () => contextOf([bob.shortHash], [])],
    ['missing', async () => contextOf([bob.shortHash, 'next'], [await chainOf()])],
    ['other-key', async () => contextOf([bob.shortHash], [await chainOf({ owner: 'next' })])],
    ['other-name', async () => contextOf([bob.shortHash], [await chainOf({ name: 'O=Mallory, L=Paris, C=FR' })])],
    ['untrusted', async () => contextOf([bob.shortHash], [await chainOf({ issuer: stranger })])],
    ['chain-broken', async () => contextOf([bob.shortHash], [await chainOf({ notAfter: now - 1 })])],
    ['chain-broken', async () => contextOf([bob.shortHash], [await chainOf({ notBefore: now + dayMs })])],
    ['too-many', async () => contextOf([bob.shortHash], [(await chainOf()).repeat(9)])],
  ])('is refused as %s', async (reason, make) => {
    expect(await judge(await make())).toContain(`session certificates (${reason})`);
  });

  test('that was good once is still authentic when its certificate has run out', async () => {
    const context = await contextOf([bob.shortHash], [await chainOf({ notBefore: now - 20 * dayMs, notAfter: now - 10 * dayMs })]);
    expect(await judge(context)).toContain('expired');
    expect(await judge(context, 'ever')).toBeUndefined();
  });

  test('spells a chain in one way, whatever stood around it', async () => {
    const pem = await chainOf();
    expect(plainChain(`Bag Attributes\r\n  friendlyName: bob\r\n${pem.replaceAll('\n', '\r\n')}trailer`)).toBe(pem);
  });
});

describe('the list of a network with session PKI', () => {
  const nobody: Networks = { virtualNode: () => undefined, ofCpi: () => undefined, member: () => undefined, tlsType: () => 'OneWay', times: () => ({ syncMs: 1, giveUpMs: 1, verificationMs: 1 }), refresh: async () => {} };

  const hear = async (context: Record<string, string>): Promise<{ readonly version: number; readonly refused: readonly string[] }> => {
    const own = await keyOf(mgm.shortHash);
    const member = await keyOf(bob.shortHash);
    const entry: Entry = {
      x500Name: bob.x500Name, status: 'ACTIVE', serial: 1, memberContext: context, mgmContext: {},
      signatures: [{ publicKey: member.publicKey, spec: 'EdDSA', signature: await member.sign(contextInput(context)) }],
    };
    const before: ListState = {
      type: 'list', v: 1, groupId, manager: { x500Name: mgm.x500Name, sessionKeys: [own] }, trust, version: 0, epoch: 1, roster: {}, pending: {}, locals: [], staging: null, taking: null, nextPage: 1, syncAt: now, syncs: 0,
    };
    const statement: Statement = { v: 1, groupId, version: 1, count: 1, root: rootOfRoster({ [bob.x500Name]: { leaf: leafOf(entry) } }), epoch: 1, parameters: toBase64url(new Uint8Array(32)), signedAt: now };
    const payload = JSON.stringify({ type: 'list', v: 1, statement, signature: await own.sign(statementInput(statement)), entries: [entry], since: 0, after: null, next: null, parameters: null });
    const refused: string[] = [];
    const message = { type: 'message' as const, messageId: 'l', groupId, source: mgm.x500Name, destination: bob.x500Name, payload };
    const { state } = await stepList({ before, events: [{ type: 'received', message }], items: undefined, networks: nobody, now, onRefused: (reason) => refused.push(reason) });
    return { version: state!.version, refused };
  };

  test('is taken over where an authority vouches for the keys in it, and not where none does, though its manager signed it', async () => {
    expect(await hear(await contextOf([bob.shortHash], [await chainOf()]))).toEqual({ version: 1, refused: [] });
    for (const chains of [[], [await chainOf({ issuer: stranger })]]) {
      const { version, refused } = await hear(await contextOf([bob.shortHash], chains));
      expect(version).toBe(0);
      expect(refused).toEqual([expect.stringContaining('session certificates')]);
    }
  });
});
