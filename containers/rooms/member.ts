/** member: its views, its states. */
import { dbToAllCpi } from '../../src/messages/db-to-all.cpi.ts';
import { dbToAllVirtualNode } from '../../src/messages/db-to-all.virtual-node.ts';
import { memberToAllGroupParameters } from '../../src/messages/member-to-all.group-parameters.ts';
import { memberToAllMember } from '../../src/messages/member-to-all.member.ts';
import { createMemberWorker } from '../../src/workers/member/worker.ts';
import { openConfig } from '../live-config.ts';
import type { OpenRoom } from '../open-room.ts';
import type { Platform } from '../platform.ts';
import { machineStores } from './stores.ts';

export const openMember = async (platform: Platform): Promise<OpenRoom> => {
  const { views, log, metrics } = platform;
  const [virtualNodes, cpis, members, groupParameters, config] = await Promise.all([
    views.open(dbToAllVirtualNode),
    views.open(dbToAllCpi),
    views.open(memberToAllMember),
    views.open(memberToAllGroupParameters),
    openConfig(platform),
  ]);
  return { worker: createMemberWorker({ virtualNodes, cpis, members, groupParameters, config, log, metrics }), ...machineStores(platform, 'member') };
};
