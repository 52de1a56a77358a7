/** Off-the-shelf tools, driven by the document of the API, against a cluster. The long form is `npm run contract`. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { buildPackage } from '../../src/packaging/build.ts';
import { openSigningKey } from '../../src/packaging/build-signing-key.ts';
import { staticPolicy } from '../workers/db/packages.ts';
import { generateClient, installClient } from './client.ts';
import { admin, alice, bob, openFreshCluster, sampleApp } from './cluster.ts';
import { install, quick, runContract } from './run.ts';

test('schemathesis finds no 5xx, no undeclared status and no undeclared shape', async ({ skip }) => {
  const installed = await install();
  if (installed.type === 'absent') return skip(installed.reason);
  const { code, output, requests } = await runContract(quick);
  expect(code, output.slice(-6_000)).toBe(0);
  expect(requests).toBeGreaterThan(200);
}, 180_000);

test('a client generated from the contract type-checks, and takes a static network from the signer to a flow', async ({ skip }) => {
  const installed = await installClient();
  if (installed.type === 'absent') return skip(installed.reason);
  const directory = mkdtempSync(join(tmpdir(), 'cordage-contract-client-'));
  const [, cluster] = await Promise.all([generateClient(), openFreshCluster(directory)]);
  try {
    const signer = await openSigningKey(join(directory, 'signing-key'));
    const policy = staticPolicy('5a0f9a2e-6f0b-4b8c-9a55-0d6b6d1f5a10', [alice, bob].map((name) => ({ name, memberStatus: 'ACTIVE', 'endpointUrl-1': cluster.gatewayUrl, 'endpointProtocol-1': 1 })));
    const { cpi } = await buildPackage({ project: sampleApp, groupPolicy: policy, signer });
    // By a name that is put together, since its types are there only now.
    const steps = (await import(join(import.meta.dirname, 'client', 'steps.ts'))) as { runSteps: (given: object) => Promise<string[]> };
    const said = await steps.runSteps({ url: cluster.restUrl, ...admin, cpi: new Blob([new Uint8Array(cpi!)]), signerPem: signer.certificateChainPem, members: [alice, bob], flowClassName: 'com.cordage.samples.Greet' });
    expect(said).toEqual([
      '1 signer trusted',
      '4 CPI verified',
      '5 2 virtual nodes',
      '7 2 members',
      '9 START_REQUESTED, flow id not yet',
      '10 COMPLETED: Hello Alice, best wishes from Bob',
      '11 409',
    ]);
  } finally {
    await cluster.stop();
    rmSync(directory, { recursive: true, force: true });
  }
}, 180_000);
