/** What the handlers of the routes work with. */
import type { Clock } from '../../host/clock.ts';
import type { StoredSection } from '../../messages/db-to-all.config.ts';
import type { CpiMetadata } from '../../messages/db-to-all.cpi.ts';
import type { VirtualNode } from '../../messages/db-to-all.virtual-node.ts';
import type { Refusal } from '../../messages/grammar/envelope.ts';
import type { Permission } from '../../messages/db-to-rest.permission.ts';
import type { Role } from '../../messages/db-to-rest.role.ts';
import type { PasswordRecord, User } from '../../messages/db-to-rest.user.ts';
import type { Log } from '../../observability/log.ts';
import type { Config } from '../../shell/live-config.ts';
import type { Requests } from '../../shell/requests.ts';
import type { View } from '../../shell/view.ts';
import type { Authority } from './auth/authority.ts';
import type { RestLimits } from './config.ts';
import type { FlowAdmission } from './flow-admission.ts';
import type { FlowStatuses } from './flow-statuses.ts';
import { refuse } from './refusal.ts';

export type RestViews = {
  readonly virtualNodes: View<VirtualNode>;
  readonly cpis: View<CpiMetadata>;
  readonly users: View<User>;
  readonly roles: View<Role>;
  readonly permissions: View<Permission>;
  readonly config: View<StoredSection>;
};

export type Passwords = {
  /** `busy` when too many are being hashed and checked already. */
  hash(password: string): Promise<PasswordRecord | 'busy'>;
  fits(password: string, record: PasswordRecord): Promise<boolean | 'busy'>;
};

export type RestRoom = {
  readonly authority: Authority;
  readonly passwords: Passwords;
  readonly config: Config;
  readonly requests: Requests;
  readonly views: RestViews;
  readonly statuses: FlowStatuses;
  readonly admission: FlowAdmission;
  readonly clock: Clock;
  readonly log: Log;
  readonly limits: RestLimits;
};

/** A key that has just been written may not be in the view yet: what is missed is looked for once more. */
export const lookUp = <Body>(view: View<Body>, key: string): Body | undefined | Promise<Body | undefined> => view.get(key) ?? view.refresh().then(() => view.get(key));

/** The virtual node, or the 404 of every operation on one that is not there. */
export const findVirtualNode = async ({ views }: RestRoom, hash: string): Promise<VirtualNode | Refusal> =>
  (await lookUp(views.virtualNodes, hash)) ?? refuse('REST_VIRTUAL_NODE_UNKNOWN', `Virtual node ${hash} not found`, { holdingIdentityShortHash: hash });
