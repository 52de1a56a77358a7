import * as fc from 'fast-check';
import { unzipSync } from 'fflate';
import { beforeAll, describe, expect, test } from 'vitest';
import { fromBase64url, textOf, toBase64url, utf8 } from '../../src/cipher/bytes.ts';
import { cpkFileName, writeContainer, writeCpb, writeCpi, writeCpk, type Signer } from '../../src/packaging/build/containers.ts';
import { packageLimits } from '../../src/packaging/config.ts';
import { database } from '../../src/flow-sdk/flow-sdk.ts';
import { hashOf } from '../../src/packaging/container.ts';
import { writeManifest, type Manifest } from '../../src/packaging/manifest.ts';
import { openCpb, openCpi } from '../../src/packaging/open-cpi.ts';
import { signerSummaryHashOf } from '../../src/packaging/signer-summary.ts';
import { writeZip } from '../../src/packaging/zip.ts';
import { issue, now, signerOf, type Issued } from './keys.ts';
import { bundle, flows, makeCpi, mgmPolicy, policyText } from './samples.ts';

let developer: Issued;
let stranger: Issued;
let signer: Signer;
let cpi: Uint8Array;

beforeAll(async () => {
  developer = await issue({ name: 'CN=Developer, O=Acme, L=London, C=GB' });
  stranger = await issue({ name: 'CN=Stranger, O=Elsewhere, L=Paris, C=FR' });
  signer = signerOf(developer);
  cpi = await makeCpi({ cpiSigner: signer });
});

const open = (bytes: Uint8Array, trusted: readonly Issued[] = [developer], at = now) => openCpi(bytes, { trustedSigners: trusted.map(({ pem }) => pem), now: at });
const refusalOf = async (bytes: Uint8Array, ...more: Parameters<typeof open> extends [Uint8Array, ...infer Rest] ? Rest : never) => {
  const opened = await open(bytes, ...more);
  return opened.type === 'invalid' ? `${opened.code}: ${opened.reason}` : 'accepted';
};
const entriesOf = (bytes: Uint8Array): Map<string, Uint8Array> => new Map(Object.entries(unzipSync(bytes)));

/** A container whose manifest says what the test wants it to say. */
const signed = async (manifest: object, files: ReadonlyMap<string, Uint8Array>, by = signer): Promise<Uint8Array> =>
  // The manifest is wrong on purpose.
  writeContainer(manifest as Manifest, files, by);
const listed = async (files: ReadonlyMap<string, Uint8Array>) => Promise.all([...files].map(async ([name, content]) => ({ name, bytes: content.length, sha256: await hashOf(content) })));

describe('a good CPI', () => {
  test('opens to what was put into it', async () => {
    const opened = await open(cpi);
    const signerSummaryHash = signerSummaryHashOf([[{ type: 'CN', value: 'Developer' }, { type: 'O', value: 'Acme' }, { type: 'L', value: 'London' }, { type: 'C', value: 'GB' }]]);
    const cpk = entriesOf(entriesOf(cpi).get('sample-1.0.0.cpb')!).get('sample0-1.0.0.cpk')!;
    expect(opened).toEqual({
      type: 'cpi',
      id: { name: 'sample', version: '1.0.0', signerSummaryHash },
      fullChecksum: await hashOf(cpi),
      groupPolicy: expect.objectContaining({ type: 'static' }),
      groupPolicyText: policyText,
      cpks: [{ hash: await hashOf(cpk), id: { name: 'sample', version: '1.0.0', signerSummaryHash }, flows, bundle }],
    });
  });

  test('is named by SHA-256 in upper-case hex', async () => {
    expect(await hashOf(utf8('abc'))).toBe('BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD');
  });

  test('may be signed with a P-256 key', async () => {
    const elliptic = await issue({ name: 'O=Elliptic, L=Bonn, C=DE', algorithm: 'ES256' });
    expect(await refusalOf(await makeCpi({ cpiSigner: signerOf(elliptic) }), [elliptic])).toBe('accepted');
  });

  test('is the same bytes each time that an Ed25519 key signs it', async () => {
    expect(await makeCpi({ cpiSigner: signer })).toEqual(cpi);
  });

  test("may be an MGM's, without code", async () => {
    const bytes = await writeCpi({ name: 'mgm', version: '1', groupPolicy: JSON.stringify(mgmPolicy) }, signer);
    expect(await open(bytes)).toMatchObject({ type: 'cpi', groupPolicy: { type: 'mgm' }, cpks: [] });
  });

  test('holds a CPB that opens on its own too', async () => {
    const cpb = entriesOf(cpi).get('sample-1.0.0.cpb')!;
    expect(await openCpb(cpb, { trustedSigners: [developer.pem], now })).toMatchObject({ type: 'cpb', cpks: [{ flows }] });
    expect(await openCpb(cpb, { trustedSigners: [stranger.pem], now })).toMatchObject({ code: 'PACKAGE_SIGNER_UNTRUSTED' });
  });
});

describe('who signed', () => {
  test('must be trusted', async () => {
    expect(await refusalOf(cpi, [])).toMatch(/^PACKAGE_SIGNER_UNTRUSTED: .*CN=Developer.*code-signer/);
    expect(await refusalOf(cpi, [stranger])).toMatch(/^PACKAGE_SIGNER_UNTRUSTED/);
  });

  test('must be in the dates of the certificate', async () => {
    const dayMs = 24 * 60 * 60 * 1000;
    expect(await refusalOf(cpi, [developer], now + 2 * dayMs)).toMatch(/^PACKAGE_CERTIFICATE_INVALID: .*expired on 2026-06-02/);
    expect(await refusalOf(cpi, [developer], now - 2 * dayMs)).toMatch(/^PACKAGE_CERTIFICATE_INVALID: .*not valid before/);
  });

  test('of the CPB or a CPK inside must be trusted too', async () => {
    const vendor = signerOf(stranger);
    const wrapped = await makeCpi({ cpiSigner: signer, cpbSigner: vendor });
    expect(await refusalOf(wrapped)).toMatch(/^PACKAGE_SIGNER_UNTRUSTED: sample-1.0.0.cpb: /);
    expect(await refusalOf(wrapped, [developer, stranger])).toBe('accepted');
    const mixed = await makeCpi({ cpiSigner: signer, cpkSigner: vendor });
    expect(await refusalOf(mixed)).toMatch(/^PACKAGE_SIGNER_UNTRUSTED: sample-1.0.0.cpb: sample0-1.0.0.cpk: /);
    expect(await refusalOf(mixed, [developer, stranger])).toBe('accepted');
    expect(await refusalOf(await makeCpi({ cpiSigner: vendor, cpbSigner: signer }))).toMatch(/^PACKAGE_SIGNER_UNTRUSTED/);
  });

  test('is not helped by a certificate of the same name', async () => {
    const impostor = await issue({ name: 'CN=Developer, O=Acme, L=London, C=GB' });
    expect(await refusalOf(await makeCpi({ cpiSigner: signerOf(impostor) }))).toMatch(/^PACKAGE_SIGNER_UNTRUSTED/);
  });

  test('must hold the key of the certificate that the signature shows', async () => {
    const thief: Signer = { ...signerOf(stranger), certificateChainPem: developer.pem };
    expect(await refusalOf(await makeCpi({ cpiSigner: thief }))).toMatch(/^PACKAGE_SIGNATURE_INVALID/);
  });

  test('is not trusted by text that is no certificate', async () => {
    for (const nonsense of ['', 'nonsense', '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----', '-----BEGIN CERTIFICATE-----', policyText]) {
      expect(await openCpi(cpi, { trustedSigners: [nonsense], now })).toMatchObject({ code: 'PACKAGE_SIGNER_UNTRUSTED' });
      expect(await openCpi(cpi, { trustedSigners: [nonsense, developer.pem], now })).toMatchObject({ type: 'cpi' });
    }
  });
});

describe('the signature', () => {
  /** The CPI with its signature's text changed. */
  const withSignature = (change: (text: string) => string): Uint8Array => {
    const entries = entriesOf(cpi);
    entries.set('signature.jws', utf8(change(textOf(entries.get('signature.jws')!))));
    return writeZip(entries);
  };
  const withHeader = (change: (header: Record<string, unknown>) => unknown): Uint8Array =>
    withSignature((text) => {
      const [header, , signature] = text.split('.');
      return `${toBase64url(utf8(JSON.stringify(change(JSON.parse(textOf(fromBase64url(header!)))))))}..${signature}`;
    });

  test.each<[string, (header: Record<string, unknown>) => unknown]>([
    ['no algorithm', (header) => ({ ...header, alg: 'none' })],
    ['a symmetric algorithm', (header) => ({ ...header, alg: 'HS256' })],
    ['an algorithm of another key', (header) => ({ ...header, alg: 'ES256' })],
    ['another type', (header) => ({ ...header, typ: 'JWT' })],
    ['no chain', (header) => ({ ...header, x5c: undefined })],
    ['an empty chain', (header) => ({ ...header, x5c: [] })],
    ['a chain that is too long', (header) => ({ ...header, x5c: Array(packageLimits.chainLengthMax + 1).fill((header['x5c'] as string[])[0]) })],
    ['a key of its own', (header) => ({ ...header, jwk: {} })],
    ['an unencoded payload', (header) => ({ ...header, b64: false, crit: ['b64'] })],
    ['a list', () => []],
  ])('is refused with %s in its header', async (_, change) => {
    expect(await refusalOf(withHeader(change))).toMatch(/^PACKAGE_SIGNATURE_INVALID/);
  });

  test('is refused with a certificate that cannot be read, whole or nearly so', async () => {
    expect(await refusalOf(withHeader((header) => ({ ...header, x5c: ['AAAA'] })))).toMatch(/^PACKAGE_CERTIFICATE_INVALID/);
    const longer = (header: Record<string, unknown>) => {
      const der = Buffer.from((header['x5c'] as string[])[0]!, 'base64');
      return { ...header, x5c: [Buffer.concat([der, Buffer.from([0])]).toString('base64')] };
    };
    expect(await refusalOf(withHeader(longer))).toMatch(/^PACKAGE_CERTIFICATE_INVALID/);
  });

  test.each<[string, (text: string) => string]>([
    ['empty', () => ''],
    ['not a JWS', () => 'nonsense'],
    ['attached', (text) => text.replace('..', '.e30.')],
    ['of other bits behind its last byte', (text) => text.replace(/.$/, (digit) => ({ A: 'B', Q: 'R', g: 'h', w: 'x' })[digit]!)],
    ['padded', (text) => `${text}==`],
    ['followed by a line end', (text) => `${text}\n`],
    ['all zeros', (text) => text.replace(/\.\..*$/, `..${'A'.repeat(86)}`)],
  ])('is refused when it is %s', async (_, change) => {
    expect(await refusalOf(withSignature(change))).toMatch(/^PACKAGE_SIGNATURE_INVALID/);
  });

  test('cannot be left out, and neither can the manifest', async () => {
    for (const name of ['signature.jws', 'MANIFEST.json']) {
      const entries = entriesOf(cpi);
      entries.delete(name);
      expect(await refusalOf(writeZip(entries))).toBe(`PACKAGE_CONTENT_MISMATCH: the file ${name} is missing`);
    }
  });

  test('and the manifest have bounds', async () => {
    const large = entriesOf(cpi);
    large.set('signature.jws', new Uint8Array(packageLimits.signatureBytesMax + 1));
    expect(await refusalOf(writeZip(large))).toMatch(/^PACKAGE_TOO_LARGE/);
    large.set('MANIFEST.json', new Uint8Array(packageLimits.manifestBytesMax + 1));
    expect(await refusalOf(writeZip(large))).toMatch(/^PACKAGE_TOO_LARGE/);
  });
});

describe('the manifest', () => {
  const files = new Map([['GroupPolicy.json', utf8(JSON.stringify(mgmPolicy))]]);
  const manifest = async () => ({ formatVersion: 1, kind: 'cpi', name: 'mgm', version: '1', entries: await listed(files) });

  test.each<[string, (good: Awaited<ReturnType<typeof manifest>>) => object]>([
    ['another version of the format', (good) => ({ ...good, formatVersion: 2 })],
    ['another kind', (good) => ({ ...good, kind: 'cpb' })],
    ['a kind that there is not', (good) => ({ ...good, kind: 'jar' })],
    ['a name that is none', (good) => ({ ...good, name: '../mgm' })],
    ['a version that is none', (good) => ({ ...good, version: '' })],
    ['a field more', (good) => ({ ...good, more: 1 })],
    ['flows where there are none', (good) => ({ ...good, flows })],
    ['lower-case digests', (good) => ({ ...good, entries: good.entries.map((entry) => ({ ...entry, sha256: entry.sha256.toLowerCase() })) })],
    ['an entry that cannot be', (good) => ({ ...good, entries: [...good.entries, { name: '../x.y', bytes: 0, sha256: '0'.repeat(64) }] })],
  ])('is refused with %s', async (_, change) => {
    expect(await refusalOf(await signed(change(await manifest()), files))).toMatch(/^PACKAGE_MANIFEST_INVALID/);
  });

  test('is refused when it is not JSON, or not UTF-8', async () => {
    for (const bytes of [utf8('{'), Uint8Array.of(0x22, 0xff, 0x22), utf8('null'), utf8('\ufeff{}')]) {
      // Signs the bytes as they are, which the builder would never do.
      const whole = await writeContainer({ toJSON: () => 0 } as never, new Map(), signer);
      const entries = entriesOf(whole);
      entries.set('MANIFEST.json', bytes);
      expect(await refusalOf(writeZip(entries))).toMatch(/^PACKAGE_SIGNATURE_INVALID/);
    }
    expect(await refusalOf(await writeContainer(null as never, new Map(), signer))).toMatch(/^PACKAGE_MANIFEST_INVALID/);
  });

  test('lists every file once, and the right one', async () => {
    const good = await manifest();
    const [entry] = good.entries;
    const wrong: [object[], RegExp][] = [
      [[], /is not in the manifest/],
      [[entry!, entry!], /lists a file twice/],
      [[entry!, { ...entry!, name: 'more.json' }], /more.json of the manifest is missing/],
      [[{ ...entry!, bytes: entry!.bytes + 1 }], /bytes; the manifest says/],
      [[{ ...entry!, sha256: '0'.repeat(64) }], /SHA-256/],
    ];
    for (const [entries, reason] of wrong) {
      const refusal = await refusalOf(await signed({ ...good, entries }, files));
      expect(refusal).toMatch(/^PACKAGE_CONTENT_MISMATCH/);
      expect(refusal).toMatch(reason);
    }
  });

  test('of a stranger is not even read', async () => {
    expect(await refusalOf(await signed({ nonsense: true }, new Map(), signerOf(stranger)))).toMatch(/^PACKAGE_SIGNER_UNTRUSTED/);
    expect(textOf(writeManifest({ formatVersion: 1, kind: 'cpb', name: 'a', version: '1', entries: [] }))).toMatch(/\n$/);
  });
});

describe('what packages hold', () => {
  const tables = database<any>();
  const contentFault = async (kind: 'cpi' | 'cpb' | 'cpk', files: Map<string, Uint8Array>): Promise<string> => {
    const manifest = { formatVersion: 1, kind, name: 'sample', version: '1', entries: await listed(files), ...(kind === 'cpk' ? { flows } : {}) };
    const bytes = await signed(manifest, files);
    if (kind === 'cpi') return refusalOf(bytes);
    const cpb = kind === 'cpb' ? bytes : await writeCpb({ name: 'sample', version: '1', cpks: new Map([['sample.cpk', bytes]]) }, signer);
    return refusalOf(await writeCpi({ name: 'sample', version: '1', cpb, groupPolicy: policyText }, signer));
  };
  const policyFile: [string, Uint8Array] = ['GroupPolicy.json', utf8(policyText)];

  test.each<[string, 'cpi' | 'cpb' | 'cpk', [string, Uint8Array][], RegExp]>([
    ['a CPI without a policy', 'cpi', [], /holds GroupPolicy.json/],
    ['a CPI without code in a static network', 'cpi', [policyFile], /MGM's group policy only/],
    ['a CPI with two CPBs', 'cpi', [policyFile, ['a.cpb', bundle], ['b.cpb', bundle]], /at most one .cpb/],
    ['a CPI with another file', 'cpi', [policyFile, ['a.txt', bundle]], /at most one .cpb/],
    ['a CPI whose CPB is none', 'cpi', [policyFile, ['a.cpb', bundle]], /^PACKAGE_NOT_ZIP: a.cpb: /],
    ['a policy that is not UTF-8', 'cpi', [['GroupPolicy.json', Uint8Array.of(0xff)]], /^PACKAGE_GROUP_POLICY_INVALID/],
    ['a policy that is none', 'cpi', [['GroupPolicy.json', utf8('{}')]], /^PACKAGE_GROUP_POLICY_INVALID/],
    ['a CPB without code', 'cpb', [], /at least one CPK/],
    ['a CPB with another file', 'cpb', [['a.txt', bundle]], /nothing else, not a.txt/],
    ['a CPK without a bundle', 'cpk', [], /holds bundle.js/],
    ['a CPK with another file', 'cpk', [['bundle.js', bundle], ['a.txt', bundle]], /holds bundle.js, bundle.js.map, schema.json and nothing else, not a.txt/],
    ['a source map that is not UTF-8', 'cpk', [['bundle.js', bundle], ['bundle.js.map', Uint8Array.of(0xff)]], /bundle.js.map is not UTF-8/],
    ['a source map that is too large', 'cpk', [['bundle.js', bundle], ['bundle.js.map', new Uint8Array(packageLimits.sourceMapBytesMax + 1)]], /PACKAGE_TOO_LARGE.*bundle.js.map/],
    ['a schema that is none', 'cpk', [['bundle.js', bundle], ['schema.json', utf8('{"version":1}')]], /PACKAGE_SCHEMA_INVALID.*schema.json/],
    ['a schema with raw SQL', 'cpk', [['bundle.js', bundle], ['schema.json', utf8(JSON.stringify({ version: 1, entities: [], migrations: [{ name: '1', operations: [{ kind: 'RawNode', sqlFragments: ['select 1'], parameters: [] }] }] }))]], /PACKAGE_SCHEMA_INVALID.*RawNode/],
    ['a schema that is too large', 'cpk', [['bundle.js', bundle], ['schema.json', new Uint8Array(packageLimits.schemaBytesMax + 1)]], /PACKAGE_TOO_LARGE.*schema.json/],
    ['a bundle that is not UTF-8', 'cpk', [['bundle.js', Uint8Array.of(0xff)]], /not UTF-8/],
    ['a bundle that is too large', 'cpk', [['bundle.js', new Uint8Array(packageLimits.bundleBytesMax + 1)]], /PACKAGE_TOO_LARGE/],
  ])('is refused: %s', async (_, kind, files, reason) => {
    expect(await contentFault(kind, new Map(files))).toMatch(reason);
  });

  test('goes together: one CPK of a name, one flow of a name, one answer to a protocol and version', async () => {
    const [startable, responder] = flows;
    const conflict = (...cpks: { name: string; flows: typeof flows; schema?: Uint8Array }[]) => makeCpi({ cpiSigner: signer, cpks }).then((bytes) => refusalOf(bytes));
    expect(await conflict({ name: 'a', flows: [startable!] }, { name: 'b', flows: [responder!] })).toBe('accepted');
    expect(await conflict({ name: 'a', flows: [startable!] }, { name: 'a', flows: [responder!] })).toMatch(/^PACKAGE_CONFLICT: .*two CPKs are called a/);
    expect(await conflict({ name: 'a', flows }, { name: 'b', flows: [startable!] })).toMatch(/^PACKAGE_CONFLICT: .*two flows are called com.example.Ping/);
    const schema = utf8(JSON.stringify({ version: 1, entities: [], migrations: [{ name: '1', operations: [tables.schema.createTable('payment').addColumn('id', 'text').toOperationNode()] }] }));
    const owning = (name: string, declared: typeof flows) => ({ name, flows: declared, schema });
    expect(await conflict(owning('a', [startable!]), owning('b', [responder!]))).toMatch(/^PACKAGE_CONFLICT: .*two CPKs create the table payment/);
    expect(await conflict(owning('a', flows))).toBe('accepted');
    const overlapping = { ...responder!, name: 'com.example.Other', protocol: { name: 'com.example.ping', versions: [2, 3] } };
    expect(await conflict({ name: 'a', flows }, { name: 'b', flows: [overlapping] })).toMatch(/^PACKAGE_CONFLICT: .*two responders answer com.example.ping version 2/);
  });

  test('declares flows that a cluster can start', async () => {
    const [flow] = flows;
    for (const bad of [{ ...flow, name: 'a b' }, { ...flow, name: 'a'.repeat(251) }, { ...flow, kind: 'service' }, { name: 'a', kind: 'responder' }, { ...flow, protocol: { name: 'p', versions: [0] } }, { ...flow, more: 1 }]) {
      const cpk = await writeCpk({ name: 'a', version: '1', bundle, flows: [bad as never] }, signer);
      const cpb = await writeCpb({ name: 'a', version: '1', cpks: new Map([[cpkFileName({ name: 'a', version: '1' }), cpk]]) }, signer);
      expect(await refusalOf(await writeCpi({ name: 'a', version: '1', cpb, groupPolicy: policyText }, signer))).toMatch(/^PACKAGE_MANIFEST_INVALID/);
    }
  });
});

describe('a stranger', () => {
  test('changes no byte of a CPI unnoticed', async () => {
    for (let at = 0; at < cpi.length; at++) {
      const changed = cpi.slice();
      changed[at]! ^= 1 << (at % 8);
      const opened = await open(changed);
      if (opened.type !== 'invalid') expect.fail(`the change of byte ${at} of ${cpi.length} went unnoticed`);
      expect(opened.code).not.toBe('PACKAGE_UNREADABLE');
    }
  }, 120_000);

  test('changes nothing by cutting, repeating or mixing pieces', async () => {
    const other = await makeCpi({ cpiSigner: signerOf(stranger), cpks: [{ name: 'other', flows }] });
    const piece = fc.record({ from: fc.nat(cpi.length), length: fc.nat(200), to: fc.nat(cpi.length), source: fc.boolean() });
    await fc.assert(
      fc.asyncProperty(fc.array(piece, { minLength: 1, maxLength: 4 }), fc.nat(cpi.length), async (pieces, keep) => {
        let bytes = Buffer.from(cpi);
        for (const { from, length, to, source } of pieces) {
          const taken = (source ? other : cpi).slice(from, from + length);
          bytes = Buffer.concat([bytes.subarray(0, to), taken, bytes.subarray(to + (keep % 2 === 0 ? taken.length : 0))]);
        }
        if (keep % 5 === 0) bytes = bytes.subarray(0, keep);
        const opened = await open(new Uint8Array(bytes));
        expect(opened.type === 'invalid' || bytes.equals(cpi)).toBe(true);
      }),
      { numRuns: 500 },
    );
  }, 60_000);

  test('swaps no file between two good packages', async () => {
    const second = await makeCpi({ cpiSigner: signer, cpks: [{ name: 'second', flows: [flows[0]!] }] });
    for (const name of ['MANIFEST.json', 'signature.jws', 'sample-1.0.0.cpb']) {
      const entries = entriesOf(cpi);
      entries.set(name, entriesOf(second).get(name)!);
      expect(await refusalOf(writeZip(entries))).toMatch(/^PACKAGE_(SIGNATURE_INVALID|CONTENT_MISMATCH)/);
    }
  });

  test('sends any bytes and gets a typed refusal', async () => {
    await fc.assert(
      fc.asyncProperty(fc.oneof(fc.uint8Array({ maxLength: 2_000 }), fc.dictionary(fc.constantFrom('MANIFEST.json', 'signature.jws', 'GroupPolicy.json', 'a.cpb'), fc.uint8Array({ maxLength: 200 })).map((files) => writeZip(new Map(Object.entries(files))))), async (bytes) => {
        expect(await open(bytes)).toMatchObject({ type: 'invalid', code: expect.stringMatching(/^PACKAGE_/), reason: expect.any(String) });
      }),
      { numRuns: 500 },
    );
  });
});
