/** A flow that fails names the line that its author wrote: for who mends it, and not for REST. */
import { mkdtempSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { toBase64url } from '../../../src/cipher/bytes.ts';
import { systemClock } from '../../../src/host/clock.ts';
import { startGuest } from '../../../src/host/guests.ts';
import { silentLog } from '../../../src/observability/log.ts';
import { createMetrics } from '../../../src/observability/metrics.ts';
import { bundleProject } from '../../../src/packaging/build/bundle.ts';
import type { CpkChunk } from '../../../src/workers/flow/facts.ts';
import { createPlaces } from '../../../src/workers/flow/places.ts';
import type { Sandbox, TurnResult, Where } from '../../../src/workers/flow/sandbox/sandbox.ts';
import { createFlowSandbox } from '../../../src/workers/flow/worker.ts';
import { driveFlow, newFlowId, turnOf } from './world/drive.ts';
import { viewOf } from './world/world.ts';

const sources = {
  'order.ts': `import { FlowPlatformError, type FlowContext } from '@cordage/flow-sdk';

export const check = (amount: number): void => {
  if (amount > 10) {
    throw new Error('too much');
  }
};
export const nap = async (ctx: FlowContext): Promise<void> => {
  await ctx.sleep(-1);
};
`,
  'app.ts': `import { startableFlow } from '@cordage/flow-sdk';
import { check, nap } from './order.ts';

export const late = startableFlow({
  name: 'test.Late',
  run: async (ctx, input) => {
    await ctx.sleep(1);
    check(Number(input));
  },
});
export const refused = startableFlow({ name: 'test.Refused', run: (ctx) => nap(ctx) });
export const silent = startableFlow({ name: 'test.Silent', run: async () => { throw 'a text'; } });
export const parts = startableFlow({
  name: 'test.Parts',
  run: async (ctx) => {
    await ctx.sleep(1);
    await ctx.sleep(2);
  },
});
export const hiding = startableFlow({
  name: 'test.Hiding',
  run: async () => String(new Error('x').stack) + Object.keys(Object.getOwnPropertyDescriptors(new Error('x'))).join(),
});
`,
};

describe('a flow that fails', () => {
  const directory = mkdtempSync(join(tmpdir(), 'cordage-places-'));
  let code: string;
  let chunks: [string, CpkChunk][];
  let sandbox: Sandbox;
  const hash = 'A'.repeat(64);

  beforeAll(async () => {
    mkdirSync(join(directory, 'src'));
    for (const [name, text] of Object.entries(sources)) writeFileSync(join(directory, 'src', name), text);
    const bundle = await bundleProject({ directory, entry: join(directory, 'src', 'app.ts'), name: 'app', version: '1' });
    code = new TextDecoder().decode(bundle.code);
    // In two chunks, as a large map comes.
    const half = Math.floor(bundle.sourceMap.length / 2);
    const parts = [bundle.sourceMap.subarray(0, half), bundle.sourceMap.subarray(half)];
    chunks = [
      [`${hash}/0`, { hash, index: 0, count: 1, sourceMapCount: 2, bytes: '' }],
      ...parts.map((bytes, index): [string, CpkChunk] => [`${hash}/map/${index}`, { hash, index, count: 2, sourceMapCount: 2, bytes: toBase64url(bytes) }]),
    ];
    sandbox = createFlowSandbox({ startGuest, clock: systemClock, log: silentLog, metrics: createMetrics(), limits: { guestSpareCount: 0 } });
  });
  afterAll(async () => {
    rmSync(directory, { recursive: true });
    await sandbox.close();
  });

  const whereOf = (result: TurnResult): Where => {
    if (result.type === 'diverged') return result.where ?? [];
    return (result.type === 'ran' && result.finished?.type === 'error' ? result.finished.where : undefined) ?? [];
  };
  const placesOf = (where: Where): readonly string[] => createPlaces(viewOf(chunks)).locate(hash, where);
  const drive = (flowClassName: string, input: unknown = null) => ({ flowId: newFlowId(), compartment: 'c', code, flowClassName, input });

  test('by an error names where it was made, and who called', async () => {
    const places = placesOf(whereOf(await driveFlow(sandbox, drive('test.Late', 11))));
    expect(places).toEqual(['src/order.ts:5:11', 'src/app.ts:8:5']);
  });

  test('by a refusal of the platform names the line that asked', async () => {
    expect(placesOf(whereOf(await driveFlow(sandbox, drive('test.Refused'))))[0]).toBe('src/order.ts:9:13');
  });

  test('by something that is no error names nothing', async () => {
    expect(whereOf(await driveFlow(sandbox, drive('test.Silent')))).toEqual([]);
  });

  test('by a divergence names the line that asked for something else', async () => {
    const first = await sandbox.run([turnOf(drive('test.Parts'))]);
    const asks = first[0]?.type === 'ran' ? first[0].steps[0]!.asks : [];
    const asked = asks.map(({ kind, digest, params }) => ({ kind, digest, sketch: params }));
    const journal = [{ at: 1, asked }, { at: 2, completion: { op: 0, type: 'answer' as const, json: '{}' }, asked }];
    const [result] = await sandbox.run([turnOf(drive('test.Parts'), journal)]);
    expect(result).toMatchObject({ type: 'diverged', message: expect.stringMatching(/^at operation 1 the journal has sleep .* the code asked for sleep/) as unknown });
    expect(placesOf(whereOf(result!))[0]).toBe('src/app.ts:17:15');
  });

  test('and flow code itself sees none of it', async () => {
    const result = await driveFlow(sandbox, drive('test.Hiding'));
    expect(result).toMatchObject({ finished: { result: expect.not.stringMatching(/:\d+:\d+/) as unknown } });
  });

  test('of a CPK without a map, or with one that cannot be read, names the place in the bundle', () => {
    const where = [{ line: 1, column: 7 }];
    const bare: CpkChunk = { hash, index: 0, count: 1, sourceMapCount: 0, bytes: '' };
    expect(createPlaces(viewOf([[`${hash}/0`, bare]])).locate(hash, where)).toEqual(['bundle.js:1:7']);
    const broken: [string, CpkChunk][] = [[`${hash}/0`, { ...bare, sourceMapCount: 1 }], [`${hash}/map/0`, { ...bare, bytes: toBase64url(new TextEncoder().encode('{"version":3}')) }]];
    expect(createPlaces(viewOf(broken)).locate(hash, where)).toEqual(['bundle.js:1:7']);
  });
});
