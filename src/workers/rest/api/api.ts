/**
 * The REST API: every route there is. A new operation is one declaration in its resource's file, whose list is left without a type of its
 * own, so that the operation keeps its name and its types.
 */
import type { Route } from '../routing/routing.ts';
import { auditRoutes } from './audit.ts';
import { certificateRoutes } from './certificate.ts';
import { configRoutes } from './config.ts';
import { cpiRoutes } from './cpi.ts';
import { flowClassRoutes } from './flow-class.ts';
import { flowRoutes } from './flow.ts';
import { flowJournalRoutes } from './flow-journal.ts';
import { helloRoutes } from './hello.ts';
import { hsmRoutes } from './hsm.ts';
import { keyRoutes } from './key.ts';
import { membersRoutes } from './members.ts';
import { mgmAdminRoutes } from './mgm-admin.ts';
import { mgmRoutes } from './mgm.ts';
import { membershipRoutes } from './membership.ts';
import { permissionRoutes } from './permission.ts';
import { networkRoutes } from './network.ts';
import { protocolVersionRoute } from './protocol-version.ts';
import { receiptsRoutes } from './receipts.ts';
import { roleRoutes } from './role.ts';
import { userRoutes } from './user.ts';
import { virtualNodeRoutes } from './virtual-node.ts';
import { wrappingKeyRoutes } from './wrapping-key.ts';

export const routes = [
  ...helloRoutes,
  protocolVersionRoute('hello', 'Hello Rest'),
  ...auditRoutes,
  ...certificateRoutes,
  ...configRoutes,
  ...cpiRoutes,
  ...virtualNodeRoutes,
  ...membershipRoutes,
  ...mgmRoutes,
  ...mgmAdminRoutes,
  ...networkRoutes,
  ...membersRoutes,
  ...flowClassRoutes,
  ...flowRoutes,
  ...flowJournalRoutes,
  ...hsmRoutes,
  ...keyRoutes,
  ...wrappingKeyRoutes,
  ...permissionRoutes,
  ...receiptsRoutes,
  ...roleRoutes,
  ...userRoutes,
] satisfies readonly Route[];

/** Every operation by its name, `<METHOD> <path>`: what a caller gives, and what it gets. */
export type Operations = { readonly [Each in (typeof routes)[number] as NonNullable<Each['types']>['name']]: Pick<NonNullable<Each['types']>, 'given' | 'value'> };
