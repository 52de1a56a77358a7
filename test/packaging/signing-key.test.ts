import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openSigningKey } from '../../src/packaging/build-signing-key.ts';
import { openCpi } from '../../src/packaging/open-cpi.ts';
import { makeCpi } from './samples.ts';

let parent: string;
let directory: string;
beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), 'cordage-key-'));
  directory = join(parent, 'signing-key');
});
afterEach(() => rmSync(parent, { recursive: true, force: true }));

const keyFile = (): string => join(directory, 'signing-key.pem');
const certificateFile = (): string => join(directory, 'signing-certificate.pem');
const modeOf = (path: string): number => statSync(path).mode & 0o777;

describe('a signing key', () => {
  test.each(['Ed25519', 'P-256'] as const)('of %s is made once and signs packages that a cluster takes', async (scheme) => {
    const signer = await openSigningKey(directory, { scheme });
    expect(await openSigningKey(directory)).toMatchObject({ algorithm: signer.algorithm, certificateChainPem: signer.certificateChainPem });
    expect(signer.algorithm).toBe(scheme === 'Ed25519' ? 'EdDSA' : 'ES256');
    expect(readFileSync(certificateFile(), 'utf8')).toBe(signer.certificateChainPem);
    const cpi = await makeCpi({ cpiSigner: signer });
    expect(await openCpi(cpi, { trustedSigners: [signer.certificateChainPem], now: Date.now() })).toMatchObject({ type: 'cpi' });
  });

  test('can be read by its owner alone', async () => {
    await openSigningKey(directory);
    expect([modeOf(directory), modeOf(keyFile())]).toEqual([0o700, 0o600]);
    chmodSync(keyFile(), 0o644);
    await expect(openSigningKey(directory)).rejects.toMatchObject({ code: 'BUILD_SIGNING_KEY_INVALID', message: expect.stringMatching(/open to others \(mode 644\); run: chmod 600/) });
  });

  test('is one, though several ask for it first at once', async () => {
    const signers = await Promise.all(Array.from({ length: 8 }, () => openSigningKey(directory)));
    const [first] = signers;
    const again = await openSigningKey(directory);
    expect(new Set(signers.map(({ algorithm }) => algorithm))).toEqual(new Set([first!.algorithm]));
    expect(await makeCpi({ cpiSigner: again })).toEqual(await makeCpi({ cpiSigner: { ...again, privateKey: first!.privateKey } }));
  });

  test('gets its certificate again when that was lost, and refuses one of another key', async () => {
    await openSigningKey(directory);
    rmSync(certificateFile());
    const { certificateChainPem } = await openSigningKey(directory);
    expect(readFileSync(certificateFile(), 'utf8')).toBe(certificateChainPem);
    rmSync(keyFile());
    await expect(openSigningKey(directory)).rejects.toMatchObject({ code: 'BUILD_SIGNING_KEY_INVALID', message: expect.stringMatching(/certificate of another key/) });
  });

  test('that is damaged is not replaced behind its owner', async () => {
    await openSigningKey(directory);
    for (const damage of ['', 'nonsense', readFileSync(certificateFile(), 'utf8')]) {
      writeFileSync(keyFile(), damage);
      await expect(openSigningKey(directory)).rejects.toMatchObject({ code: 'BUILD_SIGNING_KEY_INVALID', message: expect.stringMatching(/is not an Ed25519 or P-256 private key/) });
      expect(readFileSync(keyFile(), 'utf8')).toBe(damage);
    }
    await expect((async () => (writeFileSync(certificateFile(), 'nonsense'), rmSync(keyFile()), openSigningKey(directory)))()).rejects.toMatchObject({ message: expect.stringMatching(/is not a PEM certificate/) });
  });
});
