/** What a room stands on: its bus, its database, time, log and metrics, and views shared by the rooms of one process. */
import type { Bus } from '../src/bus/bus.ts';
import { systemClock, type Clock } from '../src/host/clock.ts';
import type { Wire } from '../src/messages/grammar/wire.ts';
import type { Log } from '../src/observability/log.ts';
import type { Metrics } from '../src/observability/metrics.ts';
import type { Database } from '../src/postgres/database.ts';
import type { DirectAnswers } from '../src/shell/direct.ts';
import type { Listener } from '../src/shell/ears.ts';
import { openView, type OpenView } from '../src/shell/open-view.ts';
import { patiently } from './patience.ts';
import type { Settings } from './settings.ts';

export type Views = {
  /** The view of a compacted wire, opened once a process; caught up when the promise resolves. */
  open<Body>(wire: Wire<Body, any>): Promise<OpenView<Body>>;
  close(): Promise<void>;
};

export const createViews = (bus: Bus, log: Log): Views => {
  const opened = new Map<string, Promise<OpenView<any>>>();
  return {
    open: (wire) => {
      let view = opened.get(wire.topic);
      if (view === undefined) opened.set(wire.topic, (view = patiently(`the bus, for ${wire.topic}`, { clock: systemClock, log }, () => openView({ bus, wire, log }))));
      return view;
    },
    close: async () => {
      for (const view of opened.values()) await (await view).close();
    },
  };
};

export type Platform = {
  readonly settings: Settings;
  readonly instance: string;
  readonly bus: Bus;
  readonly views: Views;
  /** Absent for rest and gateway in processes of their own: they touch no database. */
  readonly database: Database | undefined;
  /** By topic, what rooms of this process answer each other without the bus: each adds its own when it runs. */
  readonly direct: Map<string, DirectAnswers>;
  /** By topic, who of this process hears what another room of it has saved before the bus brings it: each adds its own while it runs. */
  readonly ears: Map<string, Listener>;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
};

export const databaseOf = ({ database }: Platform): Database => {
  if (database === undefined) throw new Error('this room needs PostgreSQL: set DATABASE_URL');
  return database;
};

type SecretSetting = 'CORDAGE_ADMIN_PASSWORD' | 'CORDAGE_CRYPTO_PASSPHRASE' | 'CORDAGE_CRYPTO_SALT' | 'CORDAGE_LINK_PASSPHRASE' | 'CORDAGE_LINK_SALT';

/** A setting that `readSettings` has found to be there for this kind of process. */
export const settingOf = ({ settings }: Pick<Platform, 'settings'>, name: SecretSetting): string => {
  const value = settings[name];
  if (value === undefined) throw new Error(`${name} must be set for this room`);
  return value;
};

/** Ends things in the reverse of the order in which they were begun. */
export type Closing = { add(close: () => Promise<unknown>): void; run(): Promise<void> };

export const createClosing = (): Closing => {
  const closes: (() => Promise<unknown>)[] = [];
  return {
    add: (close) => void closes.push(close),
    run: async () => {
      for (let close = closes.pop(); close !== undefined; close = closes.pop()) await close();
    },
  };
};
