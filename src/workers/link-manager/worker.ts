/**
 * The link manager: reliable, end-to-end authenticated delivery between two virtual nodes of different clusters.
 *
 * - **hears** all-to-link-manager.send, gateway-to-link-manager.link-in, all-to-link-manager.answer,
 *   member-to-link-manager.unauthenticated, rest-to-link-manager.receipt, link-manager-to-link-manager.wake; views of member-to-all.member, member-to-all.group-parameters,
 *   member-to-link-manager.hosted-identity, db-to-all.virtual-node
 * - **says** link-manager-to-gateway.link-out, link-manager-to-flow.receive, link-manager-to-member.receive, all-to-crypto.sign, all-to-rest.answer
 * - **owns** sessions, unacknowledged messages and receipts, one state per pair of identities (the pair tag is the key everywhere)
 * - **never** opens a socket to another cluster, holds an identity's private key, or tells a stranger why a packet was refused
 */
import { randomBytes } from '../../cipher/bytes.ts';
import type { Clock } from '../../host/clock.ts';
import type { Log } from '../../observability/log.ts';
import type { Metrics } from '../../observability/metrics.ts';
import { fixedConfig, liveLimits, type Config } from '../../shell/live-config.ts';
import type { Worker } from '../../shell/worker.ts';
import { linkManagerLimits, type LinkManagerLimits } from './config.ts';
import { createDirectory, type LinkManagerViews } from './directory.ts';
import { createHelloGate } from './hello-gate.ts';
import { createLinkMachine } from './machine.ts';
import { createStrangerGate } from './on-unauthenticated.ts';
import type { KeyAgreement } from './session/session.ts';
import type { Tally } from './turn.ts';
import { createVault, type LinkKey } from './vault.ts';

export { keyAgreements, type KeyAgreement } from './session/session.ts';
export { deriveLinkKey, type LinkKey } from './vault.ts';

export type LinkManagerDeps = {
  readonly views: LinkManagerViews;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Seal sessions' secrets at rest and make cookies; the first seals, all open. The same in every replica. */
  readonly keys: readonly [LinkKey, ...LinkKey[]];
  /** Whether sessions must, may or shall not have the post-quantum part. */
  readonly keyAgreement?: KeyAgreement;
  /** Decides the key agreement where none is given, and some of the limits; without it all stay as they are. */
  readonly config?: Config;
  /** Chance for ephemeral keys and ids; the simulator seeds it. */
  readonly random?: (length: number) => Uint8Array;
  readonly limits?: Partial<LinkManagerLimits>;
};

const createTally = (metrics: Metrics): Tally => {
  const refusals = metrics.counter('cordage_link_manager_packets_refused_total', 'Packets refused, by reason');
  const sent = metrics.counter('cordage_link_manager_messages_sent_total', 'Messages accepted for another virtual node');
  const received = metrics.counter('cordage_link_manager_messages_received_total', 'Messages handed on to a room here');
  const undelivered = metrics.counter('cordage_link_manager_messages_undelivered_total', 'Messages given up, their senders told');
  const repeated = metrics.counter('cordage_link_manager_sends_repeated_total', 'Sends recognised as repeats and dropped');
  const resent = metrics.counter('cordage_link_manager_resends_total', 'Repeats to peers that did not acknowledge in time');
  const sessions = metrics.counter('cordage_link_manager_sessions_total', 'Sessions agreed, by role and suite');
  return {
    refused: (reason) => refusals.add(1, { reason }),
    sent: (count) => sent.add(count),
    received: (count) => received.add(count),
    undelivered: () => undelivered.add(),
    repeated: () => repeated.add(),
    resent: () => resent.add(),
    established: (role, suite) => sessions.add(1, { role, suite }),
  };
};

/** One notice a pair in a while, and so many a second in all. In memory: notices are hints, so forgetting is harmless. */
/** `corda.p2p.linkManager`. */
const configured = (config: Config, limits: LinkManagerLimits): LinkManagerLimits => {
  const section = () => config.get('corda.p2p.linkManager');
  const backOff = () => section().replayAlgorithm.exponentialBackoff;
  return liveLimits(limits, {
    resendMsMin: () => backOff().baseReplayPeriod,
    resendMsMax: () => Math.max(backOff().baseReplayPeriod, backOff().replayPeriodCutoff),
    windowMessages: () => section().maxReplayingMessages,
    sessionRenewMs: () => section().sessionRefreshThreshold * 1_000,
  });
};

const createNoticeGate = (limits: LinkManagerLimits): ((tag: string, now: number) => boolean) => {
  const lastAt = new Map<string, number>();
  let second = 0;
  let count = 0;
  return (tag, now) => {
    const thisSecond = Math.floor(now / 1_000);
    if (thisSecond !== second) [second, count] = [thisSecond, 0];
    if (count >= limits.noticesPerSecondMax || now < (lastAt.get(tag) ?? 0) + limits.noticeMs) return false;
    count++;
    if (lastAt.size >= limits.pairTagsMax) lastAt.clear();
    lastAt.set(tag, now);
    return true;
  };
};

export const createLinkManagerWorker = (deps: LinkManagerDeps): Worker => {
  const { views, clock, log, metrics, random = randomBytes, keys, config = fixedConfig() } = deps;
  const fixed: LinkManagerLimits = { ...linkManagerLimits, ...deps.limits };
  const limits = deps.config === undefined ? fixed : configured(deps.config, fixed);
  const keyAgreement = (): KeyAgreement => deps.keyAgreement ?? config.get('corda.p2p.linkManager').keyAgreement;
  const machine = createLinkMachine({
    directory: createDirectory({ views, clock, limits, keyAgreement }),
    random, limits, log,
    vault: createVault({ keys, random, limits }),
    tally: createTally(metrics),
    mayNotify: createNoticeGate(limits),
    mayStranger: createStrangerGate(limits),
    helloGate: createHelloGate(limits),
  });
  return { room: 'link-manager', machine };
};
