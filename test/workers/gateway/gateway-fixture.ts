/** Gateways on real parts: the embedded broker in memory, HTTPS on a free port, certificates as crypto makes them. */
import { generateKeyPair } from '../../../src/cipher/signature.ts';
import { encodePem } from '../../../src/cipher/pem.ts';
import { randomBytes } from '../../../src/cipher/bytes.ts';
import { openEmbeddedBroker, type EmbeddedBroker } from '../../../src/bus/embedded-broker/embedded-broker.ts';
import { topicsOf } from '../../../src/bus/topics.ts';
import { systemClock } from '../../../src/host/clock.ts';
import type { TlsKey } from '../../../src/host/http-server.ts';
import { decode, type Delivery } from '../../../src/messages/grammar/envelope.ts';
import type { Wire } from '../../../src/messages/grammar/wire.ts';
import { linkManagerToGatewayLinkOut } from '../../../src/messages/link-manager-to-gateway.link-out.ts';
import type { GroupParameters } from '../../../src/messages/member-to-all.group-parameters.ts';
import type { ClientSubject } from '../../../src/messages/member-to-gateway.client-subject.ts';
import { wires } from '../../../src/messages/messages.ts';
import { silentLog } from '../../../src/observability/log.ts';
import type { ChangingView, View } from '../../../src/shell/view.ts';
import { makeCertificate } from '../../../src/workers/crypto/tls-certificate.ts';

export const groupId = 'group-1';
export const tagOf = (letter: string): string => letter.repeat(43);

export const makeTlsKey = async (hostNames: readonly string[] = ['localhost', '127.0.0.1']): Promise<TlsKey> => {
  const { publicKey, privateKey } = await generateKeyPair('CORDA.ECDSA.SECP256R1');
  const now = Date.now();
  const certificateChainPem = await makeCertificate({ hostNames, publicKey, pkcs8: privateKey, notAfter: now + 86_400_000, now, chance: randomBytes });
  return { certificateChainPem, privateKeyPem: encodePem('PRIVATE KEY', privateKey) };
};

export const groupView = (tlsTrustRoots: readonly string[]): View<GroupParameters> => {
  const parameters: GroupParameters = {
    groupId, epoch: 1, parameters: {},
    p2p: { protocolMode: 'Authenticated_Encryption', sessionPki: 'NoPKI', sessionTrustRoots: [], tlsType: 'OneWay', tlsTrustRoots: [...tlsTrustRoots] },
  };
  return { get: (id) => (id === groupId ? parameters : undefined), entries: () => new Map([[groupId, parameters]]).entries(), refresh: async () => {} };
};

/** A view that a test writes to. */
export const subjectsView = (...subjects: readonly (string | null)[]): ChangingView<ClientSubject> & { set(key: string, subject: string | null | undefined): void } => {
  const bodies = new Map<string, ClientSubject>(subjects.map((subject) => [String(subject), { groupId, subject }]));
  const listeners = new Set<() => void>();
  return {
    get: (key) => bodies.get(key),
    entries: () => bodies.entries(),
    refresh: async () => {},
    onChange: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    set: (key, subject) => {
      if (subject === undefined) bodies.delete(key);
      else bodies.set(key, { groupId, subject });
      for (const listener of listeners) listener();
    },
  };
};

export const openBroker = (): Promise<EmbeddedBroker> =>
  openEmbeddedBroker({ storage: { type: 'memory' }, topics: topicsOf(wires), clock: systemClock, log: silentLog });

/** Reads a wire until so many messages are there. */
export const readWire = async <Body>(broker: EmbeddedBroker, wire: Wire<Body, any>, count: number, timeoutMs = 10_000): Promise<Delivery<Body>[]> => {
  const bus = broker.connect();
  const follower = bus.follow({ topics: [wire.topic], from: 'earliest' });
  const found: Delivery<Body>[] = [];
  const until = Date.now() + timeoutMs;
  while (found.length < count && Date.now() < until) {
    for (const record of await follower.poll({ timeoutMs: Math.max(1, until - Date.now()) })) {
      const decoded = decode(wire, record);
      if (decoded.type !== 'message') throw new Error(`on ${wire.topic}: ${JSON.stringify(decoded)}`);
      found.push(decoded.delivery);
    }
  }
  await follower.close();
  await bus.close();
  return found;
};

type LinkOut = Parameters<NonNullable<(typeof linkManagerToGatewayLinkOut)['body']['parse']>>[0];

/** What the shell would hand to the pump. */
export const linkOut = (address: string, tag: string, packet: string): Delivery<any> => {
  const body = { address, groupId, tag, packet } satisfies LinkOut;
  return { key: tag, id: packet, body, record: { topic: linkManagerToGatewayLinkOut.topic, partition: 0, offset: 0, timestamp: 0, key: tag, value: '' } };
};
