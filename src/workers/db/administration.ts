/** Repositories of what administrators change; parts of `DbTx`. */
import type { StoredSection } from '../../messages/db-to-all.config.ts';

export type ConfigRepository = {
  /** Whoever else would change the section waits until this transaction ends. */
  findToChange(section: string): Promise<StoredSection | undefined>;
  find(section: string): Promise<StoredSection | undefined>;
  list(): Promise<readonly StoredSection[]>;
  put(section: StoredSection): Promise<void>;
};

export type AuditEntry = {
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly actor: string;
  readonly action: string;
  readonly target: string;
  readonly outcome: string;
  readonly details: string;
};

/** Of those behind, the newest first. */
export type AuditFilter = { readonly before?: number | undefined; readonly actor?: string | undefined; readonly target?: string | undefined; readonly countMax: number };

export type AuditRepository = {
  add(entry: AuditEntry): Promise<void>;
  /** Ids grow with time. */
  page(filter: AuditFilter): Promise<readonly (AuditEntry & { readonly id: number })[]>;
};
