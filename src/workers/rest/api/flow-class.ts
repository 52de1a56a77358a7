/** The flows that may be started at a virtual node. */
import * as z from 'zod';
import type { CpiMetadata } from '../../../messages/db-to-all.cpi.ts';
import { shortHash } from '../parameter.ts';
import { isRefusal } from '../refusal.ts';
import { findVirtualNode, lookUp } from '../room.ts';
import { done, route } from '../routing/routing.ts';
import { protocolVersionRoute } from './protocol-version.ts';

const tag = 'Flow Info';

const startableFlows = z.object({ flowClassNames: z.array(z.string()) }).meta({ id: 'StartableFlowsResponse' });

export const isStartable = (cpi: CpiMetadata | undefined, flowClassName: string): boolean =>
  cpi?.cpks.some(({ flows }) => flows.some(({ kind, name }) => kind === 'startable' && name === flowClassName)) ?? false;

export const startableNames = (cpi: CpiMetadata | undefined): string[] =>
  (cpi?.cpks ?? []).flatMap(({ flows }) => flows.filter(({ kind }) => kind === 'startable').map(({ name }) => name)).sort();

export const flowClassRoutes = [
  route({
    method: 'GET',
    path: '/flowclass/{holdingidentityshorthash}',
    tag,
    summary: 'Lists the flows that may be started at a virtual node',
    pathParameters: { holdingidentityshorthash: shortHash },
    reply: startableFlows,
    handle: async ({ room, path }) => {
      const node = await findVirtualNode(room, path.holdingidentityshorthash);
      if (isRefusal(node)) return node;
      return done({ flowClassNames: startableNames(await lookUp(room.views.cpis, node.cpiFullChecksum)) });
    },
  }),
  protocolVersionRoute('flowclass', tag),
];
