/** Where the milliseconds of one two-party flow go: every record it causes on both buses, by the brokers' time stamps. */
import { createHttpBus } from '../../src/bus/http-bus.ts';
import type { Bus, Follower } from '../../src/bus/bus.ts';
import type { Clusters } from '../../src/cli/two-clusters.ts';
import type { InRecord } from '../../src/messages/grammar/record.ts';
import { wires } from '../../src/messages/messages.ts';
import { silentLog } from '../../src/observability/log.ts';
import { printTable } from './machine.ts';

const password = 'trace-password';
export const traceCredential = `trace:${password}:admin`;

const flowsTraced = 100;

type Stop = { readonly cluster: string; readonly topic: string; readonly at: number };

const openTrace = async (clusters: Clusters): Promise<{ cluster: string; bus: Bus; follower: Follower }[]> =>
  Promise.all(
    clusters.processes.map(async ({ name, busUrl }) => {
      if (busUrl === undefined) throw new Error(`cluster ${name} offers no bus to trace`);
      const bus = createHttpBus({ url: busUrl, username: 'trace', password, log: silentLog });
      const follower = bus.follow({ topics: wires.filter(({ retention }) => retention === 'log').map(({ topic }) => topic), from: 'latest' });
      await follower.ready;
      return { cluster: name, bus, follower };
    }),
  );

/** Runs flows one by one and prints, for each record in the order of the path, the mean time since the one before it. */
export const traceHops = async (clusters: Clusters, call: (id: string) => Promise<number>): Promise<void> => {
  const traces = await openTrace(clusters);
  const paths = new Map<string, { stops: Stop[][]; }>();
  let total = 0;
  for (let i = 0; i < flowsTraced; i++) {
    await Promise.all(traces.map(({ follower }) => follower.drain()));
    total += await call(`hop-${i}`);
    const stops = (
      await Promise.all(traces.map(async ({ cluster, follower }) => (await follower.drain()).map(({ topic, timestamp }: InRecord) => ({ cluster, topic, at: timestamp }))))
    ).flat().sort((a, b) => a.at - b.at);
    const shape = stops.map(({ cluster, topic }) => `${cluster} ${topic}`).sort().join('|');
    const path = paths.get(shape) ?? { stops: [] };
    path.stops.push(stops);
    paths.set(shape, path);
  }
  const usual = [...paths.values()].sort((a, b) => b.stops.length - a.stops.length)[0]!;
  const since = new Map<string, { sum: number; count: number }>();
  for (const stops of usual.stops) {
    const first = stops[0]!.at;
    for (const { cluster, topic, at } of stops) {
      const id = `${cluster}  ${topic}`;
      const entry = since.get(id) ?? { sum: 0, count: 0 };
      entry.sum += at - first;
      entry.count++;
      since.set(id, entry);
    }
  }
  const rows = [...since].map(([id, { sum, count }]) => ({ id, mean: sum / count, each: count / usual.stops.length })).sort((a, b) => a.mean - b.mean);
  printTable(`where the time goes: ${usual.stops.length} flows of the usual path, one at a time, ${(total / flowsTraced).toFixed(1)} ms each from start to result`, [
    ['record on the bus', 'a flow', 'ms after the start'],
    ...rows.map(({ id, mean, each }) => [id, each.toFixed(1), mean.toFixed(1)]),
  ]);
  await Promise.all(traces.map(({ bus }) => bus.close()));
};
