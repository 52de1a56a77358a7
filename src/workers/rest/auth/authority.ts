/**
 * What callers may do: the permissions of their roles. A refusal (DENY) stands above a permission (ALLOW); what neither names is refused. A
 * permission with a virtual node counts for operations at that virtual node alone.
 *
 * Where a decision cannot be made (a role is not known here yet, a refusal cannot be read, it costs too much) the answer is no.
 */
import { createBoundedCache, type BoundedCache } from '../../../cipher/bounded-cache.ts';
import type { Permission } from '../../../messages/db-to-rest.permission.ts';
import type { Role } from '../../../messages/db-to-rest.role.ts';
import type { User } from '../../../messages/db-to-rest.user.ts';
import type { Log } from '../../../observability/log.ts';
import type { View } from '../../../shell/view.ts';
import { decisionStepsMax, decisionsKeptMax } from '../config.ts';
import type { Operation } from './operation.ts';
import { compilePattern, type Compiled } from '../../../pattern/pattern.ts';

export type Authority = {
  /** A promise only where a role must be looked for. */
  permits(user: User, operation: Operation): boolean | Promise<boolean>;
  /** The user's permissions in the order in which Corda lists them. */
  permissionsOf(user: User): Promise<readonly Permission[]>;
};

type Rule = { readonly permission: Permission; readonly compiled: Compiled };

/** Of one user in one state: what its roles came to, and what was decided by them. */
type Standing = { readonly roles: readonly Role[]; readonly rules: readonly Rule[]; readonly decisions: BoundedCache<boolean> };

const compare = (one: string | null, other: string | null): number => (one === other ? 0 : one === null ? -1 : other === null ? 1 : one < other ? -1 : 1);

/** DENY first, then by text, virtual node (none first), group visibility and id. */
const inOrder = (one: Permission, other: Permission): number =>
  compare(other.type, one.type) || compare(one.text, other.text) || compare(one.virtualNode, other.virtualNode) || compare(one.groupVisibility, other.groupVisibility) || compare(one.id, other.id);

class TooDear extends Error {}

/** Does the rule speak of this operation? One that cannot be read speaks of all where it refuses, and of none where it allows. */
const concerns = ({ permission, compiled }: Rule, { texts, virtualNode }: Operation, spend: (steps: number) => void): boolean => {
  if (permission.virtualNode !== null && permission.virtualNode.toUpperCase() !== virtualNode) return false;
  if (compiled.type === 'unusable') return permission.type === 'DENY';
  return texts.some((text) => compiled.pattern.matches(text, spend));
};

const decide = (rules: readonly Rule[], operation: Operation): boolean => {
  let left = decisionStepsMax;
  const spend = (steps: number): void => {
    left -= steps;
    if (left < 0) throw new TooDear();
  };
  const some = (type: Permission['type']): boolean => rules.some((rule) => rule.permission.type === type && concerns(rule, operation, spend));
  return !some('DENY') && some('ALLOW');
};

export const createAuthority = ({ roles, log }: { readonly roles: View<Role>; readonly log: Log }): Authority => {
  const rulesOfRole = new WeakMap<Role, readonly Rule[]>();
  const standings = new WeakMap<User, Standing>();

  const rulesOf = (role: Role): readonly Rule[] => {
    const known = rulesOfRole.get(role);
    if (known !== undefined) return known;
    const rules = role.permissions.map(({ permission }): Rule => ({ permission, compiled: compilePattern(permission.text) }));
    rulesOfRole.set(role, rules);
    return rules;
  };
  /** `undefined` when one of its roles is not known here. */
  const standingOf = (user: User): Standing | undefined => {
    const known = standings.get(user);
    if (known !== undefined && user.roles.every(({ id }, i) => roles.get(id) === known.roles[i])) return known;
    const current = user.roles.map(({ id }) => roles.get(id)).filter((role) => role !== undefined);
    if (current.length < user.roles.length) return undefined;
    const standing: Standing = { roles: current, rules: current.flatMap(rulesOf), decisions: createBoundedCache(decisionsKeptMax) };
    standings.set(user, standing);
    return standing;
  };
  const decideDearly = (standing: Standing, user: User, operation: Operation): boolean => {
    try {
      return decide(standing.rules, operation);
    } catch (error) {
      if (!(error instanceof TooDear)) throw error;
      log.error('rest.permissions.too-dear', { login: user.login, operation: operation.texts[0]?.slice(0, 200), remedy: 'give this user fewer or simpler permissions' });
      return false;
    }
  };
  const permitsBy = (standing: Standing | undefined, user: User, operation: Operation): boolean => {
    if (standing === undefined) {
      log.warn('rest.role.unknown', { login: user.login, roles: user.roles.map(({ id }) => id) });
      return false;
    }
    const key = `${operation.virtualNode ?? ''} ${operation.texts.at(-1) ?? ''}`;
    const known = standing.decisions.get(key);
    if (known !== undefined) return known;
    const decision = decideDearly(standing, user, operation);
    standing.decisions.set(key, decision);
    return decision;
  };
  return {
    permits: (user, operation) => {
      const standing = standingOf(user);
      return standing === undefined ? roles.refresh().then(() => permitsBy(standingOf(user), user, operation)) : permitsBy(standing, user, operation);
    },
    permissionsOf: async (user) => {
      const standing = standingOf(user) ?? (await roles.refresh().then(() => standingOf(user)));
      const byId = new Map((standing?.rules ?? []).map(({ permission }) => [permission.id, permission]));
      return [...byId.values()].sort(inOrder);
    },
  };
};
