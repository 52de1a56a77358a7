/** Runs flows of a bundle in the sandbox of whatever runtime runs this, and prints what became of them. */
import { readFileSync } from 'node:fs';
import { argv } from 'node:process';
import { systemClock } from '../../src/host/clock.ts';
import { startGuest } from '../../src/host/guests.ts';
import { silentLog } from '../../src/observability/log.ts';
import { createMetrics } from '../../src/observability/metrics.ts';
import { createFlowSandbox } from '../../src/workers/flow/worker.ts';
import { driveFlow, newFlowId, outcomeOf } from '../workers/flow/world/drive.ts';

const [, , codePath, ...names] = argv;
const code = readFileSync(codePath!, 'utf8');
const limits = { turnMsMax: 500, guestHeapMbMax: 96, patienceMs: 20_000, guestSpareCount: 0 };
const sandbox = createFlowSandbox({ startGuest, clock: systemClock, log: silentLog, metrics: createMetrics(), limits });
const outcomes: string[] = [];
for (const flowClassName of names) outcomes.push(outcomeOf(await driveFlow(sandbox, { flowId: newFlowId(), compartment: flowClassName, code, flowClassName })));
await sandbox.close();
console.log(JSON.stringify(outcomes));
