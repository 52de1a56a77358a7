/** corda.p2p.gateway and corda.p2p.linkManager: what is between clusters. */
import * as z from 'zod';
import { number, section, whole, wordOf } from './field.ts';

const revocationModes = ['SOFT_FAIL', 'HARD_FAIL', 'OFF'] as const;

export const gatewaySection = section({
  says: 'The HTTPS door to other clusters.',
  schema: z.strictObject({
    sslConfig: z
      .strictObject({
        revocationCheck: z
          .strictObject({
            mode: wordOf(revocationModes, {
              byDefault: 'SOFT_FAIL',
              says: 'Certificates of other gateways that were revoked are refused (`SOFT_FAIL`), also those of which nobody tells (`HARD_FAIL`), or nobody asks (`OFF`).',
            }),
          })
          .prefault({}),
        tlsType: wordOf(['ONE_WAY', 'MUTUAL'], { byDefault: 'ONE_WAY', says: 'With `MUTUAL` gateways that send packets must show a certificate too. New connections follow it.' }),
      })
      .prefault({}),
    maxRequestSize: whole({ byDefault: 256 * 1024 * 1024, min: 10_000_000, max: 1_024 * 1024 * 1024, unit: 'bytes', says: 'Request bodies of other gateways held at one time; beyond it they are asked to come back.' }),
    connectionConfig: z
      .strictObject({
        responseTimeout: whole({ byDefault: 10_000, min: 100, max: 60_000, unit: 'ms', says: 'How long the answer of another gateway is waited for.' }),
        initialReconnectionDelay: number({ byDefault: 0.05, min: 0.01, max: 3_000, unit: 's', says: 'First wait before a gateway that failed is tried again; it doubles.' }),
        maxReconnectionDelay: number({ byDefault: 2, min: 0.01, max: 3_000, unit: 's', says: 'Longest such wait.' }),
      })
      .prefault({}),
  }),
  ignored: {
    serversConfiguration: 'where the gateway listens is told by CORDAGE_GATEWAY_HOST and CORDAGE_GATEWAY_PORT',
    'connectionConfig.maxClientConnections': 'connections are bounded by destination',
    'connectionConfig.acquireTimeout': 'nothing waits for a connection of a pool',
    'connectionConfig.connectionIdleTimeout': 'idle connections are closed by either side and opened again',
    'connectionConfig.retryDelay': 'the link manager repeats messages; see corda.p2p.linkManager',
  },
});

export const linkManagerSection = section({
  says: 'Sessions between members, and delivery within them.',
  schema: z.strictObject({
    keyAgreement: wordOf(['hybrid-preferred', 'hybrid-required', 'classical'], {
      byDefault: 'hybrid-preferred',
      says: 'Whether new sessions must (`hybrid-required`), may (`hybrid-preferred`) or shall not (`classical`) be post-quantum. Ours; not in Corda.',
    }),
    replayAlgorithm: z
      .strictObject({
        exponentialBackoff: z
          .strictObject({
            baseReplayPeriod: whole({ byDefault: 1_000, min: 500, max: 600_000, unit: 'ms', says: 'First wait for an acknowledgement before a message is sent again; it doubles.' }),
            replayPeriodCutoff: whole({ byDefault: 60_000, min: 500, max: 3_600_000, unit: 'ms', says: 'Longest such wait.' }),
          })
          .prefault({}),
      })
      .prefault({}),
    maxReplayingMessages: whole({ byDefault: 256, min: 1, max: 512, unit: 'messages', says: 'Messages under way to one member and not acknowledged.' }),
    sessionRefreshThreshold: whole({ byDefault: 86_400, min: 60, max: 432_000, unit: 's', says: 'Age at which a session is renewed.' }),
  }),
  ignored: {
    maxMessageSize: 'longer messages are cut into parts',
    'replayAlgorithm.constant': 'repeats always back off; see exponentialBackoff',
    heartbeatEnabled: 'a dead session is noticed by its missing acknowledgements',
    heartbeatMessagePeriod: 'a dead session is noticed by its missing acknowledgements',
    sessionTimeout: 'a dead session is noticed by its missing acknowledgements',
    sessionsPerPeer: 'one session serves a pair of members, both ways',
    numOfSessionsPerPeer: 'one session serves a pair of members, both ways',
    revocationCheck: 'certificates of sessions are checked against the roots of their group',
    sessionCache: 'sessions are kept with the state of their pair',
    deliveryTracker: 'what waits for delivery is in the database',
  },
});
