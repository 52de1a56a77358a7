import 'reflect-metadata';
import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { IssuingDistributionPoint } from '@peculiar/asn1-x509';
import { AsnConvert } from '@peculiar/asn1-schema';
import * as x509 from '@peculiar/x509';
import { createRevocation, type FetchBytes, type RevocationMode } from '../../src/cipher/revocation/revocation.ts';
import { answerRequest, derOf, hourMs, issue, listBy, type AnswerOptions, type Issued } from './authority.ts';

const responderUrl = 'http://ocsp.example/';
const listUrl = 'http://crl.example/list';

let root: Issued;
let other: Issued;
let withResponder: Issued;
let withList: Issued;
let withBoth: Issued;
let withNeither: Issued;
let delegate: Issued;
let impostor: Issued;
beforeAll(async () => {
  root = await issue({ name: 'CN=Root', ca: true });
  other = await issue({ name: 'CN=Other', ca: true });
  withResponder = await issue({ name: 'CN=One', ocsp: responderUrl }, root);
  withList = await issue({ name: 'CN=Two', crl: listUrl }, root);
  withBoth = await issue({ name: 'CN=Three', ocsp: responderUrl, crl: listUrl }, root);
  withNeither = await issue({ name: 'CN=Four' }, root);
  delegate = await issue({ name: 'CN=Responder', usages: ['1.3.6.1.5.5.7.3.9'] }, root);
  impostor = await issue({ name: 'CN=Impostor' }, root);
});

type Answers = { readonly responder?: (request: Uint8Array) => Promise<Uint8Array<ArrayBuffer>>; readonly list?: () => Promise<Uint8Array<ArrayBuffer>>; readonly asked?: string[] };

const fetchFrom = ({ responder, list, asked }: Answers): FetchBytes => async ({ url, body, contentType }) => {
  asked?.push(url);
  if (url === responderUrl && responder !== undefined) {
    expect(contentType).toBe('application/ocsp-request');
    return await responder(body!);
  }
  if (url === listUrl && list !== undefined) return await list();
  throw new Error('nobody answers');
};

const check = async (mode: RevocationMode, leaf: Issued, answers: Answers, now = Date.now()): Promise<string> => {
  const verdict = await createRevocation({ mode: () => mode, fetchBytes: fetchFrom(answers), now: () => now }).check([derOf(leaf), derOf(root)]);
  return verdict.type === 'accepted' ? 'accepted' : verdict.reason;
};

const responding = (options: Partial<AnswerOptions>): Answers => ({ responder: (request) => answerRequest(request, { status: 'good', signer: root, ...options }) });
const listing = (...revoked: readonly Issued[]): Answers => ({ list: () => listBy(root, { revoked }) });
const before = (hours: number): Date => new Date(Date.now() - hours * hourMs);

describe.each(['SOFT_FAIL', 'HARD_FAIL'] as const)('a certificate in mode %s', (mode) => {
  const unknownIs = (reason: RegExp) => (mode === 'SOFT_FAIL' ? /^accepted$/ : reason);

  test('is accepted when its responder or its list says that it is good, or when it names nobody to ask', async () => {
    expect(await check(mode, withResponder, responding({}))).toBe('accepted');
    expect(await check(mode, withResponder, responding({ signer: delegate, delegate: true }))).toBe('accepted');
    expect(await check(mode, withList, listing(withBoth))).toBe('accepted');
    expect(await check(mode, withNeither, {})).toBe('accepted');
  });

  test('is refused when it was revoked, whoever says so', async () => {
    expect(await check(mode, withResponder, responding({ status: 'revoked' }))).toMatch(/CN=One was revoked/);
    expect(await check(mode, withList, listing(withList))).toMatch(/CN=Two was revoked/);
    expect(await check(mode, withBoth, { ...listing(withBoth) })).toMatch(/CN=Three was revoked/);
  });

  test('whose responder and list cannot be reached is not known', async () => {
    for (const leaf of [withResponder, withList, withBoth]) expect(await check(mode, leaf, {})).toMatch(unknownIs(/not known: .*nobody answers/));
  });

  test('is not judged by what others signed, by old answers, or by answers about another', async () => {
    const forged: Partial<AnswerOptions>[] = [
      { signer: other },
      { signer: impostor, delegate: true },
      { signer: delegate },
      { thisUpdate: before(3), nextUpdate: before(2) },
      { thisUpdate: new Date(Date.now() + hourMs) },
      { status: 'unknown' },
    ];
    for (const options of forged) {
      expect(await check(mode, withResponder, responding({ status: 'revoked', ...options }))).toMatch(unknownIs(/not known/));
      expect(await check(mode, withResponder, responding(options))).toMatch(unknownIs(/not known/));
    }
    const lists = [
      () => listBy(other, { revoked: [withList] }),
      () => listBy({ certificate: root.certificate, keys: other.keys }, { revoked: [withList] }),
      () => listBy({ certificate: other.certificate, keys: root.keys }, { revoked: [withList] }),
      () => listBy(root, { revoked: [withList], thisUpdate: before(3), nextUpdate: before(2) }),
    ];
    for (const list of lists) expect(await check(mode, withList, { list })).toMatch(unknownIs(/not known/));
    let asked: Uint8Array | undefined;
    await check(mode, withBoth, { responder: async (request) => ((asked = request), await answerRequest(request, { status: 'good', signer: root })) });
    expect(await check(mode, withResponder, { responder: () => answerRequest(asked!, { status: 'revoked', signer: root }) })).toMatch(unknownIs(/about another/));
  });

  test('a list that speaks for some certificates only is read for those', async () => {
    const scoped = (scope: Partial<IssuingDistributionPoint>): Answers => ({
      list: () => listBy(root, { revoked: [withList], extensions: [new x509.Extension('2.5.29.28', true, AsnConvert.serialize(new IssuingDistributionPoint(scope)))] }),
    });
    expect(await check(mode, withList, scoped({ onlyContainsUserCerts: true }))).toMatch(/was revoked/);
    expect(await check(mode, withList, scoped({ onlyContainsCACerts: true }))).toMatch(unknownIs(/authorities only/));
    expect(await check(mode, withList, scoped({ indirectCRL: true }))).toMatch(unknownIs(/some certificates/));
    const foreign: Answers = { list: () => listBy(root, { revoked: [withList], extensions: [new x509.Extension('1.2.3.4', true, new Uint8Array([5, 0]))] }) };
    expect(await check(mode, withList, foreign)).toMatch(unknownIs(/not understood/));
  });

  test('whatever bytes come back, there is a verdict', async () => {
    const good = await answerRequest(await requestOf(), { status: 'good', signer: root });
    const list = await listBy(root, { revoked: [] });
    await fc.assert(
      fc.asyncProperty(fc.nat(), fc.integer({ min: 1, max: 255 }), fc.uint8Array({ maxLength: 200 }), async (at, flip, noise) => {
        const change = (bytes: Uint8Array): Uint8Array<ArrayBuffer> => Uint8Array.from(bytes, (byte, i) => (i === at % bytes.length ? byte ^ flip : byte));
        const noisy = (): Promise<Uint8Array<ArrayBuffer>> => Promise.resolve(Uint8Array.from(noise));
        expect(await check('HARD_FAIL', withResponder, { responder: noisy })).toMatch(/not known/);
        expect(await check('HARD_FAIL', withList, { list: noisy })).toMatch(/not known/);
        expect(typeof (await check(mode, withResponder, { responder: async () => change(good) }))).toBe('string');
        expect(typeof (await check(mode, withList, { list: async () => change(list) }))).toBe('string');
      }),
      { numRuns: 30 },
    );
  });

  test('a chain that cannot be read is refused', async () => {
    const revocation = createRevocation({ mode: () => mode, fetchBytes: fetchFrom({}), now: Date.now });
    for (const chain of [[], [new Uint8Array([1, 2])], Array.from({ length: 11 }, () => derOf(root))]) expect(await revocation.check(chain)).toMatchObject({ type: 'refused' });
  });
});

const requestOf = async (): Promise<Uint8Array> => {
  let asked = new Uint8Array();
  await check('SOFT_FAIL', withResponder, { responder: async (request) => ((asked = Uint8Array.from(request)), await answerRequest(request, { status: 'good', signer: root })) });
  return asked;
};

describe('revocation', () => {
  test('in mode OFF asks nobody', async () => {
    const asked: string[] = [];
    expect(await check('OFF', withBoth, { asked })).toBe('accepted');
    expect(asked).toEqual([]);
  });

  test('checks every certificate of the chain but the root', async () => {
    const middle = await issue({ name: 'CN=Middle', ca: true, crl: listUrl }, root);
    const leaf = await issue({ name: 'CN=Leaf' }, middle);
    const revocation = createRevocation({ mode: () => 'SOFT_FAIL', fetchBytes: fetchFrom(listing(middle)), now: Date.now });
    expect(await revocation.check([leaf, middle, root].map(derOf))).toMatchObject({ type: 'refused', reason: expect.stringContaining('CN=Middle was revoked') as string });
  });

  test('is looked up for a certificate that bears the name of its issuer', async () => {
    const namesake = await issue({ name: 'CN=Root', ocsp: responderUrl }, root);
    expect(await check('SOFT_FAIL', namesake, responding({ status: 'revoked' }))).toMatch(/CN=Root was revoked/);
  });

  test('remembers an answer as long as it holds, and asks once for many at the same time', async () => {
    const asked: string[] = [];
    let now = Date.now();
    const fetchBytes = fetchFrom({ asked, responder: (request) => answerRequest(request, { status: 'good', signer: root, thisUpdate: new Date(now), nextUpdate: new Date(now + hourMs / 2) }) });
    const revocation = createRevocation({ mode: () => 'HARD_FAIL', fetchBytes, now: () => now });
    const again = () => revocation.check([derOf(withResponder), derOf(root)]);
    await Promise.all([again(), again(), again()]);
    expect(asked).toHaveLength(1);
    now += hourMs / 2 - 1;
    await again();
    expect(asked).toHaveLength(1);
    now += 1;
    expect(await again()).toEqual({ type: 'accepted' });
    expect(asked).toHaveLength(2);
  });
});
