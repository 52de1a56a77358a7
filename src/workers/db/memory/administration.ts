/** What administrators change, in memory. */
import type { StoredSection } from '../../../messages/db-to-all.config.ts';
import type { Permission } from '../../../messages/db-to-rest.permission.ts';
import type { Role } from '../../../messages/db-to-rest.role.ts';
import type { PasswordRecord, User } from '../../../messages/db-to-rest.user.ts';
import type { AuditEntry, AuditRepository, ConfigRepository, RbacRepository } from '../administration.ts';
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

/** Every list is sorted by its key, as the database's are. */
const valuesOf = <Value>(map: ReadonlyMap<string, Value>): Value[] => [...map].sort(([one], [other]) => (one < other ? -1 : 1)).map(([, value]) => value);

export const createMemoryRbac = (undo: Undo): RbacRepository => {
  const users = new Map<string, User>();
  const roles = new Map<string, Role>();
  const permissions = new Map<string, Permission>();
  const bootstrap = new Map<string, PasswordRecord>();
  return {
    lock: async () => {},
    findUser: async (login) => users.get(login),
    listUsers: async () => valuesOf(users),
    putUser: async (user) => undo.set(users, user.login, user),
    removeUser: async (login) => undo.delete(users, login),
    findRole: async (id) => roles.get(id),
    findRoleByName: async (name, groupVisibility) => valuesOf(roles).find((role) => role.name === name && role.groupVisibility === groupVisibility),
    listRoles: async () => valuesOf(roles),
    putRole: async (role) => undo.set(roles, role.id, role),
    findPermission: async (id) => permissions.get(id),
    listPermissions: async () => valuesOf(permissions),
    addPermissions: async (added) => {
      for (const permission of added) undo.set(permissions, permission.id, permission);
    },
    findBootstrapPassword: async (login) => bootstrap.get(login),
    putBootstrapPassword: async (login, password) => undo.set(bootstrap, login, password),
  };
};
