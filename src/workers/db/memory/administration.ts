/** What administrators change, in memory. */
import type { StoredSection } from '../../../messages/db-to-all.config.ts';
import type { AuditEntry, AuditRepository, ConfigRepository } from '../administration.ts';
import type { Undo } from './undo.ts';

export const createMemorySections = (undo: Undo): ConfigRepository => {
  const kept = new Map<string, StoredSection>();
  const find = async (section: string): Promise<StoredSection | undefined> => kept.get(section);
  return {
    find,
    findToChange: find,
    list: async () => [...kept.values()].sort((one, other) => (one.section < other.section ? -1 : 1)),
    put: async (section) => undo.set(kept, section.section, section),
  };
};

export const createMemoryAudit = (undo: Undo): AuditRepository => {
  const entries = new Map<number, AuditEntry & { readonly id: number }>();
  return {
    add: async (entry) => undo.set(entries, entries.size + 1, { ...entry, id: entries.size + 1 }),
    page: async ({ before = Infinity, actor, target, countMax }) =>
      [...entries.values()]
        .filter((entry) => entry.id < before && (actor === undefined || entry.actor === actor) && (target === undefined || entry.target === target))
        .reverse()
        .slice(0, countMax),
  };
};
