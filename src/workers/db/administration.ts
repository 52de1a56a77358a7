/** Repositories of what administrators change; parts of `DbTx`. */
import type { StoredSection } from '../../messages/db-to-all.config.ts';
import type { Permission } from '../../messages/db-to-rest.permission.ts';
import type { Role } from '../../messages/db-to-rest.role.ts';
import type { PasswordRecord, User } from '../../messages/db-to-rest.user.ts';

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

/** Users, roles and permissions. */
export type RbacRepository = {
  /** Whoever else would change any of them waits until this transaction ends. */
  lock(): Promise<void>;
  findUser(login: string): Promise<User | undefined>;
  /** In order of login. */
  listUsers(): Promise<readonly User[]>;
  putUser(user: User): Promise<void>;
  removeUser(login: string): Promise<void>;
  findRole(id: string): Promise<Role | undefined>;
  findRoleByName(name: string, groupVisibility: string | null): Promise<Role | undefined>;
  listRoles(): Promise<readonly Role[]>;
  /** Its permissions must be there. */
  putRole(role: Role): Promise<void>;
  findPermission(id: string): Promise<Permission | undefined>;
  listPermissions(): Promise<readonly Permission[]>;
  addPermissions(permissions: readonly Permission[]): Promise<void>;
  findBootstrapPassword(login: string): Promise<PasswordRecord | undefined>;
  putBootstrapPassword(login: string, password: PasswordRecord): Promise<void>;
};
