/** gateway: its requests, its views, TLS, its door. */
import type { Listener } from '../../src/host/http-server.ts';
import { allToGatewayAnswer } from '../../src/messages/all-to-gateway.answer.ts';
import { dbToAllCertificate } from '../../src/messages/db-to-all.certificate.ts';
import { memberToAllGroupParameters } from '../../src/messages/member-to-all.group-parameters.ts';
import { memberToGatewayClientSubject } from '../../src/messages/member-to-gateway.client-subject.ts';
import { createRequests } from '../../src/shell/create-requests.ts';
import type { Config } from '../../src/shell/live-config.ts';
import { createMemoryParkingLot } from '../../src/shell/memory-store.ts';
import { createGatewayWorker, openGatewayTlsKeys, type GatewayWorker, type GatewayTlsKeysOptions } from '../../src/workers/gateway/worker.ts';
import { createGatewayTls, type GatewayTls } from '../gateway-tls.ts';
import { openConfig } from '../live-config.ts';
import { addressOfNode } from '../address-of-node.ts';
import type { OpenRoom } from '../open-room.ts';
import { patiently } from '../patience.ts';
import type { Platform } from '../platform.ts';
import type { Settings } from '../settings.ts';
import { openTlsDoor } from '../tls-door.ts';

type GatewayDoor = Pick<GatewayTlsKeysOptions, 'requests' | 'certificates' | 'clock' | 'log'> & Pick<GatewayTls, 'use' | 'isMutual'> & { worker: GatewayWorker; settings: Settings; config: Config };

/** The gateway opens its door once crypto has handed it the cluster's TLS key, sealed to this process; new certificates need no restart. */
const serveGateway = async ({ worker, use, isMutual, settings, config, ...from }: GatewayDoor): Promise<Pick<Listener, 'url' | 'port' | 'close'>> => {
  const keys = await openGatewayTlsKeys({ ...from, hostNames: settings.CORDAGE_GATEWAY_NAMES.split(',') });
  use(keys);
  const listener = await openTlsDoor({
    keys,
    log: from.log,
    fetch: worker.fetch,
    hostname: settings.CORDAGE_GATEWAY_HOST,
    port: settings.CORDAGE_GATEWAY_PORT,
    asksClientCertificate: isMutual(),
  });
  const endFollowing = config.onChange(() => listener.askClientCertificates(isMutual()));
  const close = async (): Promise<void> => {
    endFollowing();
    await listener.close();
  };
  return { url: listener.url, port: listener.port, close };
};

export const openGateway = async (platform: Platform): Promise<OpenRoom> => {
  const { bus, views, clock, log, metrics, instance, settings } = platform;
  const [requests, groupParameters, clientSubjects, certificates, config] = await Promise.all([
    patiently('the bus', platform, () => createRequests({ bus, room: 'gateway', answerWire: allToGatewayAnswer, instance, log })),
    views.open(memberToAllGroupParameters),
    views.open(memberToGatewayClientSubject),
    views.open(dbToAllCertificate),
    openConfig(platform),
  ]);
  const { httpClient, admit, isMutual, use } = createGatewayTls({ settings, config, groupParameters, clientSubjects, clock });
  const worker = createGatewayWorker({ bus, outbound: { httpClient, trust: groupParameters }, admit, addressOf: addressOfNode, config, clock, log, metrics });
  const close = async (): Promise<void> => {
    await worker.close();
    await httpClient.close();
    await requests.close();
  };
  return { worker: { ...worker, close }, parking: createMemoryParkingLot(), serve: () => serveGateway({ worker, use, isMutual, requests, certificates, settings, config, clock, log }) };
};
