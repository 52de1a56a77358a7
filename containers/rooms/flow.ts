/** flow: its views, its sandbox, its states. */
import { processorCount, startGuest } from '../../src/host/guests.ts';
import { dbToAllCpi } from '../../src/messages/db-to-all.cpi.ts';
import { dbToAllVirtualNode } from '../../src/messages/db-to-all.virtual-node.ts';
import { dbToFlowCpk } from '../../src/messages/db-to-flow.cpk.ts';
import { memberToAllGroupParameters } from '../../src/messages/member-to-all.group-parameters.ts';
import { memberToAllMember } from '../../src/messages/member-to-all.member.ts';
import { createFlowSandbox, createFlowWorker } from '../../src/workers/flow/worker.ts';
import { openConfig } from '../live-config.ts';
import type { OpenRoom } from '../open-room.ts';
import type { Platform } from '../platform.ts';
import { machineStores } from './stores.ts';

export const openFlow = async (platform: Platform): Promise<OpenRoom> => {
  const { views, direct, clock, log, metrics } = platform;
  const guestCount = platform.settings.CORDAGE_FLOW_SANDBOXES;
  const sandbox = createFlowSandbox({ startGuest, processorCount: processorCount(), clock, log, metrics, ...(guestCount === undefined ? {} : { limits: { guestCount } }) });
  const [virtualNodes, cpis, cpks, members, groupParameters, config] = await Promise.all([
    views.open(dbToAllVirtualNode),
    views.open(dbToAllCpi),
    views.open(dbToFlowCpk),
    views.open(memberToAllMember),
    views.open(memberToAllGroupParameters),
    openConfig(platform),
  ]);
  return { worker: createFlowWorker({ views: { virtualNodes, cpis, cpks, members, groupParameters }, sandbox, config, direct, log, metrics }), ...machineStores(platform, 'flow') };
};
