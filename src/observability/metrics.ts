/**
 * Counters, gauges and histograms, shown as Prometheus text (exposition format 0.0.4).
 *
 * Written here because the usual client library needs Node, and rest and gateway run on edge runtimes too.
 */
export type Labels = Readonly<Record<string, string>>;
export type Counter = { add(count?: number, labels?: Labels): void };
export type Gauge = { set(value: number, labels?: Labels): void };
export type Histogram = { observe(value: number, labels?: Labels): void };

export type Metrics = {
  counter(name: string, help: string): Counter;
  gauge(name: string, help: string): Gauge;
  /** `buckets`: ascending upper bounds. Default: seconds from 0.5 ms to 10 s. */
  histogram(name: string, help: string, buckets?: readonly number[]): Histogram;
  /** The Prometheus text. */
  text(): string;
};

const secondsBuckets = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10] as const;

const needsEscape = /[\\"\n]/;
const escapeLabel = (value: string): string =>
  needsEscape.test(value) ? value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n') : value;
/** Made at every count: no lists on the way. */
const labelText = (labels: Labels): string => {
  let pairs = '';
  for (const name in labels) pairs += `${pairs === '' ? '' : ','}${name}="${escapeLabel(labels[name]!)}"`;
  return pairs === '' ? '' : `{${pairs}}`;
};

type Family = { readonly help: string; readonly type: string; readonly lines: () => string[] };

const scalarFamily = (name: string, help: string, type: 'counter' | 'gauge') => {
  const values = new Map<string, number>();
  const family: Family = { help, type, lines: () => [...values].map(([labels, value]) => `${name}${labels} ${value}`) };
  return { values, family };
};

type Series = { labels: Labels; counts: number[]; sum: number; count: number };

const histogramFamily = (name: string, help: string, buckets: readonly number[]) => {
  const series = new Map<string, Series>();
  const linesOf = ({ labels, counts, sum, count }: Series): string[] => [
    ...buckets.map((bound, i) => `${name}_bucket${labelText({ ...labels, le: String(bound) })} ${counts[i]}`),
    `${name}_bucket${labelText({ ...labels, le: '+Inf' })} ${count}`,
    `${name}_sum${labelText(labels)} ${sum}`,
    `${name}_count${labelText(labels)} ${count}`,
  ];
  const observe = (value: number, labels: Labels = {}): void => {
    const id = labelText(labels);
    let one = series.get(id);
    if (one === undefined) series.set(id, (one = { labels, counts: buckets.map(() => 0), sum: 0, count: 0 }));
    for (let i = buckets.length - 1; i >= 0 && value <= buckets[i]!; i--) one.counts[i]!++;
    one.sum += value;
    one.count++;
  };
  const family: Family = { help, type: 'histogram', lines: () => [...series.values()].flatMap(linesOf) };
  return { observe, family };
};

export const createMetrics = (): Metrics => {
  const families = new Map<string, Family>();
  const instruments = new Map<string, Counter | Gauge | Histogram>();
  // One instrument a name: asking again gives the same one, so that workers of one process can share a family.
  const once = <Instrument extends Counter | Gauge | Histogram>(name: string, make: () => { family: Family; instrument: Instrument }): Instrument => {
    const known = instruments.get(name);
    // The name decides the kind, so the instrument found has the type asked for.
    if (known !== undefined) return known as Instrument;
    const { family, instrument } = make();
    families.set(name, family);
    instruments.set(name, instrument);
    return instrument;
  };
  return {
    counter: (name, help) =>
      once<Counter>(name, () => {
        const { values, family } = scalarFamily(name, help, 'counter');
        const add = (count = 1, labels: Labels = {}): void => {
          const id = labelText(labels);
          values.set(id, (values.get(id) ?? 0) + count);
        };
        return { family, instrument: { add } };
      }),
    gauge: (name, help) =>
      once<Gauge>(name, () => {
        const { values, family } = scalarFamily(name, help, 'gauge');
        return { family, instrument: { set: (value, labels = {}) => void values.set(labelText(labels), value) } };
      }),
    histogram: (name, help, buckets = secondsBuckets) =>
      once<Histogram>(name, () => {
        const { observe, family } = histogramFamily(name, help, buckets);
        return { family, instrument: { observe } };
      }),
    text: () =>
      [...families].flatMap(([name, { help, type, lines }]) => [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, ...lines()]).join('\n') + '\n',
  };
};
