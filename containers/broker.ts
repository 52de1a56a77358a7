/** The embedded broker as a process of its own, its credentials, and whom it pushes to. */
import { openEmbeddedBroker, type EmbeddedBroker } from '../src/bus/embedded-broker/embedded-broker.ts';
import type { Pusher } from '../src/bus/push/pusher.ts';
import { createBusAccess, type Credential } from '../src/bus/http-server-access.ts';
import { serveBus, type BusServer } from '../src/bus/http-server-node.ts';
import { topicsOf } from '../src/bus/topics.ts';
import type { Clock } from '../src/host/clock.ts';
import { rooms } from '../src/messages/grammar/wire.ts';
import { linkManagerToGatewayLinkOut } from '../src/messages/link-manager-to-gateway.link-out.ts';
import { wires } from '../src/messages/messages.ts';
import type { Log } from '../src/observability/log.ts';
import type { Metrics } from '../src/observability/metrics.ts';
import type { Settings } from './settings.ts';

export type BrokerPowers = { readonly clock: Clock; readonly log: Log; readonly metrics: Metrics };

export const openBroker = (directory: string, { clock, log, metrics }: BrokerPowers): Promise<EmbeddedBroker> =>
  openEmbeddedBroker({ storage: { type: 'disk', directory }, topics: topicsOf(wires), clock, log, metrics });

/** `user:password:room`, separated by commas. */
export const parseCredentials = (text: string): Credential[] =>
  text.split(',').map((entry) => {
    const [username, password, room] = entry.trim().split(':');
    const known = room === 'admin' ? room : rooms.find((one) => one === room);
    if (username === undefined || password === undefined || password.length < 8 || known === undefined) {
      throw new Error(`CORDAGE_BUS_CREDENTIALS: "${username ?? ''}:…" must be user:password:room, the password of 8 characters at least, the room one of ${rooms.join(', ')}, admin`);
    }
    return { username, password, room: known };
  });

export const serveBroker = (broker: EmbeddedBroker, settings: Settings, log: Log): Promise<BusServer> =>
  serveBus({ broker, access: createBusAccess({ credentials: parseCredentials(settings.CORDAGE_BUS_CREDENTIALS ?? '') }), log, hostname: settings.CORDAGE_BUS_HOST, port: settings.CORDAGE_BUS_PORT });

/** Pushes to the gateway that the settings name; `undefined` where they name none, as mostly: the code for it is loaded here. */
export const pushToEdge = async (broker: Pick<EmbeddedBroker, 'connect'>, settings: Settings, powers: BrokerPowers): Promise<Pusher | undefined> => {
  const { CORDAGE_BUS_PUSH_URL: url, CORDAGE_BUS_PUSH_SECRET: secret, CORDAGE_INSTANCE: instance } = settings;
  if (url === undefined) return undefined;
  if (secret === undefined) throw new Error('CORDAGE_BUS_PUSH_SECRET must be set where CORDAGE_BUS_PUSH_URL is: what is pushed is signed with it');
  const [{ startPusher }, { createHttpClient }] = await Promise.all([import('../src/bus/push/pusher.ts'), import('../src/host/http-client.ts')]);
  const { topic } = linkManagerToGatewayLinkOut;
  // The group of a gateway that polls (shell/run-worker.ts): either may send, and neither sends what the other has sent.
  const subscription = { group: `gateway/${topic}`, topics: [topic], url, secret };
  return startPusher({ bus: broker.connect(), subscription, instance: `push-${instance}`, httpClient: createHttpClient(), ...powers });
};
