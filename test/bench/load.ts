/** Callers that each do one thing after another for a while, and what came of it. */
import { percentile } from './machine.ts';

/** How long one measured run takes; CORDAGE_BENCH_SECONDS shortens them all while other work shares the machine. */
export const benchSeconds = (usual: number): number => Number(process.env['CORDAGE_BENCH_SECONDS'] ?? usual);

export type Run = {
  readonly callers: number;
  readonly count: number;
  readonly perSecond: number;
  /** Milliseconds. */
  readonly p50: number;
  readonly p99: number;
};

export const summarise = (callers: number, latencies: readonly number[], elapsedMs: number): Run => ({
  callers,
  count: latencies.length,
  perSecond: (latencies.length / elapsedMs) * 1000,
  p50: percentile(latencies, 0.5),
  p99: percentile(latencies, 0.99),
});

/** The latency of a caller's work is its own; the rate counts all that was done until the last caller was through. */
export const runFor = async (callers: number, durationMs: number, call: (index: number) => Promise<unknown>): Promise<Run> => {
  const latencies: number[] = [];
  const begun = performance.now();
  let next = 0;
  const one = async (): Promise<void> => {
    while (performance.now() - begun < durationMs) {
      const from = performance.now();
      await call(next++);
      latencies.push(performance.now() - from);
    }
  };
  await Promise.all(Array.from({ length: callers }, one));
  return summarise(callers, latencies, performance.now() - begun);
};
