/** The rest worker over an HTTP bus, as both edge entries make it. */
import type { Bus } from '../src/bus/bus.ts';
import { systemClock } from '../src/host/clock.ts';
import { allToRestAnswer } from '../src/messages/all-to-rest.answer.ts';
import { dbToAllConfig } from '../src/messages/db-to-all.config.ts';
import { dbToAllCpi } from '../src/messages/db-to-all.cpi.ts';
import { dbToAllVirtualNode } from '../src/messages/db-to-all.virtual-node.ts';
import { dbToRestPermission } from '../src/messages/db-to-rest.permission.ts';
import { dbToRestRole } from '../src/messages/db-to-rest.role.ts';
import { dbToRestUser } from '../src/messages/db-to-rest.user.ts';
import type { Log } from '../src/observability/log.ts';
import type { Metrics } from '../src/observability/metrics.ts';
import { createConfig } from '../src/shell/live-config.ts';
import { createRequests } from '../src/shell/create-requests.ts';
import { openView } from '../src/shell/open-view.ts';
import { createRestWorker, type RestDeps, type RestWorker } from '../src/workers/rest/worker.ts';

export type OpenRestOptions = {
  readonly bus: Bus;
  readonly instance: string;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Whether flow statuses are followed; without, each question about a flow is asked of the flow room. */
  readonly followsStatuses: boolean;
  /** What only this runtime has. */
  readonly powers?: Pick<RestDeps, 'acceptWebSocket' | 'readSwaggerFile' | 'addressOf' | 'fetchedKeys'>;
};

export type OpenRest = { readonly worker: RestWorker; close(): Promise<void> };

export const openRest = async ({ bus, instance, log, metrics, followsStatuses, powers }: OpenRestOptions): Promise<OpenRest> => {
  const [virtualNodes, cpis, users, roles, permissions, stored, requests] = await Promise.all([
    openView({ bus, wire: dbToAllVirtualNode, log }),
    openView({ bus, wire: dbToAllCpi, log }),
    openView({ bus, wire: dbToRestUser, log }),
    openView({ bus, wire: dbToRestRole, log }),
    openView({ bus, wire: dbToRestPermission, log }),
    openView({ bus, wire: dbToAllConfig, log }),
    createRequests({ bus, room: 'rest', answerWire: allToRestAnswer, instance, log }),
  ]);
  const worker = createRestWorker({
    requests,
    config: createConfig({ view: stored, log }),
    views: { virtualNodes, cpis, users, roles, permissions, config: stored },
    ...(followsStatuses ? { statusFollower: bus } : {}),
    clock: systemClock,
    log,
    metrics,
    ...powers,
  });
  return {
    worker,
    close: async () => {
      await worker.close();
      await Promise.all([virtualNodes.close(), cpis.close(), users.close(), roles.close(), permissions.close(), stored.close(), requests.close()]);
      await bus.close();
    },
  };
};
