/** Hears `link-manager-to-gateway.link-out`: packets for other clusters. They are taken and never waited for. */
import type { Clock } from '../../host/clock.ts';
import type { HttpClient } from '../../host/http-client.ts';
import { linkManagerToGatewayLinkOut } from '../../messages/link-manager-to-gateway.link-out.ts';
import type { GroupParameters } from '../../messages/member-to-all.group-parameters.ts';
import type { BodyOf } from '../../messages/grammar/wire.ts';
import type { Log } from '../../observability/log.ts';
import type { Metrics } from '../../observability/metrics.ts';
import type { View } from '../../shell/view.ts';
import type { Pump } from '../../shell/worker.ts';
import type { GatewayLimits } from './config.ts';
import { Destination, type DropReason } from './destination.ts';

type LinkOut = BodyOf<typeof linkManagerToGatewayLinkOut>;

export type OutboundOptions = {
  readonly httpClient: HttpClient;
  /** A peer's certificate must chain to the roots of its group; `platform`: to what the platform trusts, where roots cannot be given. */
  readonly trust: View<GroupParameters> | 'platform';
  /** Only tests speak without TLS. */
  readonly allowHttp: boolean;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly limits: GatewayLimits;
};

export type Outbound = {
  readonly pump: Pump<LinkOut>;
  /** Resolves when nothing that was taken waits any more. */
  settled(): Promise<void>;
  close(): Promise<void>;
};

const isSendable = (address: string, allowHttp: boolean): boolean => {
  if (!URL.canParse(address)) return false;
  const { protocol, username, password } = new URL(address);
  return (protocol === 'https:' || (allowHttp && protocol === 'http:')) && username === '' && password === '';
};

export const createOutbound = (options: OutboundOptions): Outbound => {
  const { trust, allowHttp, clock, log, metrics, limits, httpClient } = options;
  const packetsOut = metrics.counter('cordage_gateway_packets_out_total', 'Packets that another gateway took');
  const dropped = metrics.counter('cordage_gateway_packets_dropped_total', 'Packets not sent, by reason; the link manager repeats them');
  const seconds = metrics.histogram('cordage_gateway_request_seconds', 'Seconds until another gateway took a batch');
  const batchSizes = metrics.histogram('cordage_gateway_request_packets', 'Packets of one request', [1, 2, 5, 10, 20, 50, 100, 200, 500]);
  const destinations = new Map<string, Destination>();
  const ending = new AbortController();
  let queuedChars = 0;

  const onDropped = (reason: DropReason, packets: number): void => dropped.add(packets, { reason });
  const trustRootsOf = (groupId: string): readonly string[] | undefined => {
    if (trust === 'platform') return [];
    const roots = trust.get(groupId)?.p2p.tlsTrustRoots ?? [];
    if (roots.length > 0) return roots;
    log.error('gateway.no-trust-roots', { groupId, remedy: 'the group policy must list tlsTrustRoots that the gateways of its members chain to' });
    return undefined;
  };
  /** One line of a dead destination's packets waits for itself alone, so destinations are told apart by group too: their roots differ, and what is shown to them. */
  const destinationOf = ({ address, groupId, certificate }: Pick<LinkOut, 'address' | 'groupId' | 'certificate'>): Destination | undefined => {
    const id = `${address} ${groupId} ${certificate ?? ''}`;
    const known = destinations.get(id);
    if (known !== undefined) return known;
    if (destinations.size >= limits.destinationsMax) for (const [key, one] of destinations) if (one.isIdle) destinations.delete(key);
    if (destinations.size >= limits.destinationsMax) return undefined;
    const destination = new Destination({
      url: address, certificate, httpClient, clock, log, limits, onDropped, signal: ending.signal,
      trustRoots: () => trustRootsOf(groupId),
      onSent: (packets, took) => {
        packetsOut.add(packets);
        batchSizes.observe(packets);
        seconds.observe(took);
      },
      onQueued: (chars) => {
        queuedChars += chars;
      },
    });
    destinations.set(id, destination);
    return destination;
  };
  const send = ({ address, groupId, certificate, ...packet }: LinkOut): void => {
    if (!isSendable(address, allowHttp)) {
      log.warn('gateway.address-refused', { address, remedy: 'an endpoint must be an https URL without user and password' });
      return onDropped('address', 1);
    }
    if (ending.signal.aborted) return onDropped('closing', 1);
    const taken = queuedChars < limits.queuedCharsMax && destinationOf({ address, groupId, certificate })?.offer(packet) === true;
    if (!taken) onDropped('queue-full', 1);
  };

  const settled = async (): Promise<void> => {
    await Promise.all([...destinations.values()].map((destination) => destination.settled()));
  };

  return {
    settled,
    pump: {
      wire: linkManagerToGatewayLinkOut,
      pump: async (deliveries) => {
        for (const { body } of deliveries) send(body);
      },
    },
    close: async () => {
      // Cutting the connections ends the requests that nobody answers.
      const cancel = clock.after(limits.closeMsMax, () => {
        ending.abort();
        void httpClient.close();
      });
      await settled();
      cancel();
      ending.abort();
      await httpClient.close();
    },
  };
};
