/** Off-the-shelf testers, driven by the document of the API, against a cluster. The long form is `npm run contract`. */
import { expect, test } from 'vitest';
import { install, quick, runContract } from './run.ts';

test('schemathesis finds no 5xx, no undeclared status and no undeclared shape', async ({ skip }) => {
  const installed = await install();
  if (installed.type === 'absent') return skip(installed.reason);
  const { code, output, requests } = await runContract(quick);
  expect(code, output.slice(-6_000)).toBe(0);
  expect(requests).toBeGreaterThan(200);
}, 180_000);
