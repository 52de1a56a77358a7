/**
 * The configuration as a room reads it: at the moment of use, never kept, so that a change is in force with the next
 * operation and nothing restarts.
 *
 * A section is what operators set by REST; below it what this process was started with (its environment); below that the defaults.
 */
import { readSection, sectionNames, type SectionName, type SectionValues } from '../messages/configuration/sections.ts';
import type { StoredSection } from '../messages/db-to-all.config.ts';
import type { Log } from '../observability/log.ts';
import type { ChangingView } from './view.ts';

export type Config = {
  /** Cheap: the same object until the section changes. */
  get<Name extends SectionName>(name: Name): SectionValues[Name];
  /** Calls back when any section may have changed; the returned function ends it. */
  onChange(listener: () => void): () => void;
};

/** Of each section the part that the environment sets. */
export type StartValues = { readonly [Name in SectionName]?: Readonly<Record<string, unknown>> };

const readStart = <Name extends SectionName>(name: Name, start: StartValues): SectionValues[Name] => {
  const read = readSection(name, start[name] ?? {});
  if (read.type === 'invalid') throw new Error(`the environment sets ${name} wrongly: ${JSON.stringify(read.details)}`);
  return read.value;
};

const allStarting = (start: StartValues): SectionValues =>
  // One entry for each name, of that name's type.
  Object.fromEntries(sectionNames.map((name) => [name, readStart(name, start)])) as unknown as SectionValues;

/** Without a cluster's configuration: tests, simulations, and rooms that are given none. */
export const fixedConfig = (start: StartValues = {}): Config => {
  const values = allStarting(start);
  return { get: (name) => values[name], onChange: () => () => {} };
};

/** Limits of which some are read from the configuration at each use; whoever needs them to stand still for a while copies them. */
export const liveLimits = <Limits extends object>(fixed: Limits, live: { readonly [Name in keyof Limits]?: () => Limits[Name] }): Limits => {
  const limits = { ...fixed };
  for (const [name, get] of Object.entries(live)) Object.defineProperty(limits, name, { get: get as () => unknown, enumerable: true });
  return limits;
};

export type LiveConfigOptions = { readonly view: Pick<ChangingView<StoredSection>, 'get' | 'onChange'>; readonly start?: StartValues; readonly log: Log };

export const createConfig = ({ view, start = {}, log }: LiveConfigOptions): Config => {
  const starting = allStarting(start);
  const kept = new Map<SectionName, { readonly body: StoredSection; readonly value: SectionValues[SectionName] }>();

  const parse = <Name extends SectionName>(name: Name, { source, version }: StoredSection): SectionValues[Name] | undefined => {
    try {
      const read = readSection(name, JSON.parse(source), start[name]);
      if (read.type === 'read') return read.value;
      log.error('config.section-invalid', { section: name, version, details: read.details, next: 'the values before it stay in force' });
    } catch (error) {
      log.error('config.section-invalid', { section: name, version, error, next: 'the values before it stay in force' });
    }
    return undefined;
  };
  const read = <Name extends SectionName>(name: Name): SectionValues[Name] => {
    const body = view.get(name);
    if (body === undefined) return starting[name];
    const before = kept.get(name);
    // What is kept under a name is of that name's type.
    if (before?.body === body) return before.value as SectionValues[Name];
    const value = parse(name, body) ?? ((before?.value ?? starting[name]) as SectionValues[Name]);
    kept.set(name, { body, value });
    return value;
  };
  return { get: read, onChange: (listener) => view.onChange(listener) };
};
