/** link-manager: its keys, its views, its states. */
import { dbToAllVirtualNode } from '../../src/messages/db-to-all.virtual-node.ts';
import { memberToAllGroupParameters } from '../../src/messages/member-to-all.group-parameters.ts';
import { memberToAllMember } from '../../src/messages/member-to-all.member.ts';
import { memberToLinkManagerHostedIdentity } from '../../src/messages/member-to-link-manager.hosted-identity.ts';
import { createLinkManagerWorker, deriveLinkKey, type LinkKey } from '../../src/workers/link-manager/worker.ts';
import { openConfig } from '../live-config.ts';
import type { OpenRoom } from '../open-room.ts';
import { settingOf, type Platform } from '../platform.ts';
import { machineStores } from './stores.ts';

/** The key of today first, then that of the passphrase before. */
const linkKeysOf = async (platform: Platform): Promise<[LinkKey, ...LinkKey[]]> => {
  const salt = settingOf(platform, 'CORDAGE_LINK_SALT');
  const before = platform.settings.CORDAGE_LINK_PASSPHRASE_BEFORE;
  const current = await deriveLinkKey({ passphrase: settingOf(platform, 'CORDAGE_LINK_PASSPHRASE'), salt });
  return before === undefined ? [current] : [current, await deriveLinkKey({ passphrase: before, salt })];
};

export const openLinkManager = async (platform: Platform): Promise<OpenRoom> => {
  const { views, clock, log, metrics } = platform;
  const [keys, members, groupParameters, hostedIdentities, virtualNodes, config] = await Promise.all([
    linkKeysOf(platform),
    views.open(memberToAllMember),
    views.open(memberToAllGroupParameters),
    views.open(memberToLinkManagerHostedIdentity),
    views.open(dbToAllVirtualNode),
    openConfig(platform),
  ]);
  const worker = createLinkManagerWorker({
    views: { members, groupParameters, hostedIdentities, virtualNodes },
    keys,
    config,
    clock,
    log,
    metrics,
  });
  return { worker, ...machineStores(platform, 'link_manager') };
};
