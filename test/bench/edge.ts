/** The edge workers as Cloudflare would run them: their size, and the time of a standalone workerd from its start to the first answer. */
import { openSite, packForCloudflare, startOnWorkerd } from '../runtimes/edge-fixture.ts';
import { tagOf } from '../workers/gateway/gateway-fixture.ts';
import { ms, percentile, printTable } from './machine.ts';

const starts = 7;

/** The time until workerd listens, and that of the first request, which loads the worker. */
const startOnce = async (module: string): Promise<{ readonly start: number; readonly first: number }> => {
  const site = await openSite();
  const begun = performance.now();
  const gateway = await startOnWorkerd('gateway', site.environmentFor('gateway'), [], module);
  const listening = performance.now();
  const body = JSON.stringify({ v: 1, packets: [{ tag: tagOf('a'), packet: 'p' }] });
  const answer = await fetch(gateway.url, { method: 'POST', headers: { 'content-type': 'application/json' }, body });
  if (answer.status !== 200) throw new Error(`the gateway answered ${answer.status}`);
  const answered = performance.now();
  await gateway.close();
  await site.close();
  return { start: answered - begun, first: answered - listening };
};

export const run = async (): Promise<void> => {
  const [gateway, rest] = [await packForCloudflare('gateway'), await packForCloudflare('rest')];
  const times: { start: number; first: number }[] = [];
  for (let i = 0; i < starts; i++) times.push(await startOnce(gateway.module));
  const median = (of: 'start' | 'first'): string => ms(percentile(times.map((time) => time[of]), 0.5));
  printTable('edge workers', [
    ['', 'wanted', 'found'],
    ['gateway, gzip', '≤ 200 KiB (aim 120)', `${gateway.gzipKiB} KiB`],
    ['rest, gzip', '≤ 200 KiB (aim 120)', `${rest.gzipKiB} KiB`],
    [`workerd, start of the process to the first 200 (median of ${starts})`, '≤ 150 ms (aim 50)', median('start')],
    ['of that, from listening to the first 200', '', median('first')],
  ]);
};

if (import.meta.main) await run();
