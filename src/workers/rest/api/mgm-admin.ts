/** What an administrator does where a network's manager is stuck. */
import { shortHash } from '../parameter.ts';
import { doneSilently, route } from '../routing/routing.ts';
import { askManager, requestId } from './mgm.ts';
import { protocolVersionRoute } from './protocol-version.ts';

const tag = 'MGM Admin';

export const mgmAdminRoutes = [
  route({
    method: 'POST',
    path: '/mgmadmin/{holdingidentityshorthash}/force-decline/{requestid}',
    tag,
    summary: 'Declines a request that is under way, whatever its status',
    pathParameters: { holdingidentityshorthash: shortHash, requestid: requestId },
    handle: async ({ room, path }) => {
      const outcome = await askManager(room, path, { type: 'decline', registrationId: path.requestid, reason: 'an administrator of the network declined it by force', force: true });
      return outcome.type === 'refused' ? outcome : doneSilently;
    },
  }),
  protocolVersionRoute('mgmadmin', tag),
];
