/**
 * Who may open a connection to whom, from the wires: a room that speaks or hears on the bus may reach Kafka, one that keeps state
 * PostgreSQL, and only what `messages.ts` lists as a protocol outside the bus opens a door: clients to rest, gateways to gateways.
 * Everything else is refused. The annotations say which wires stand behind a policy.
 */
import type { INetworkPolicy, IIoK8sApiNetworkingV1NetworkPolicyEgressRule as Egress, IIoK8sApiNetworkingV1NetworkPolicyIngressRule as Ingress } from 'kubernetes-models/networking.k8s.io/v1';
import type { PeerProtocol, Room } from '../../src/messages/grammar/wire.ts';
import { peerProtocols, wires } from '../../src/messages/messages.ts';
import { requiredBy, type ProcessKind } from '../settings.ts';
import { bridgeHealthPort } from './bridge.ts';
import { labelsOf, nameOf, ports, selectorOf } from './names.ts';

export const kafkaPorts = [9092, 9093] as const;

const tcp = (...numbers: readonly number[]) => numbers.map((port) => ({ protocol: 'TCP' as const, port }));

const toDns: Egress = { ports: [{ protocol: 'UDP', port: ports.dns }, ...tcp(ports.dns)] };

const isDoor = ({ from, to }: PeerProtocol): boolean => from === 'client' || (from === 'gateway' && to === 'gateway');
/** Protocols whose requests come to this room's own listener. The others travel sealed inside packets. */
export const doorsOf = (room: Room): PeerProtocol[] => peerProtocols.filter((protocol) => isDoor(protocol) && protocol.to === room);
const callsOf = (room: Room): PeerProtocol[] => peerProtocols.filter((protocol) => isDoor(protocol) && protocol.from === room);

const speaks = (room: Room): string[] => wires.filter(({ from }) => from.includes(room)).map(({ topic }) => topic);
const hears = (room: Room): string[] => wires.filter(({ to }) => to.includes(room)).map(({ topic }) => topic);

/** Peers and their certificates' responders are anywhere, but never the machine's own metadata service. */
const anywhere: Egress['to'] = [{ ipBlock: { cidr: '0.0.0.0/0', except: ['169.254.0.0/16'] } }, { ipBlock: { cidr: '::/0', except: ['fe80::/10'] } }];

const listenerOf = (room: Room): number => (room === 'rest' ? ports.rest : ports.gateway);

const metricsIngress: Ingress = { from: [{ namespaceSelector: { matchLabels: { 'cordage.io/monitoring': 'true' } } }], ports: tcp(ports.health, bridgeHealthPort) };

export const networkPolicyOf = (room: Room): INetworkPolicy => {
  const doors = doorsOf(room);
  const calls = callsOf(room);
  const onBus = speaks(room).length + hears(room).length > 0;
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: {
      name: nameOf(room),
      labels: labelsOf(room),
      annotations: {
        'cordage.io/hears': hears(room).join(' '),
        'cordage.io/speaks': speaks(room).join(' '),
        'cordage.io/doors': [...doors, ...calls.filter((call) => !doors.includes(call))].map(({ name }) => name).join(' '),
      },
    },
    spec: {
      podSelector: { matchLabels: selectorOf(room) },
      policyTypes: ['Ingress', 'Egress'],
      ingress: [...(doors.length > 0 ? [{ ports: tcp(listenerOf(room)) }] : []), metricsIngress],
      egress: [
        toDns,
        ...(onBus ? [{ ports: tcp(...kafkaPorts) }] : []),
        ...(requiredBy(room).includes('DATABASE_URL') ? [{ ports: tcp(ports.postgres) }] : []),
        ...(calls.length > 0 ? [{ to: anywhere! }] : []),
      ],
    },
  };
};

/** A job takes no connections. */
export const jobPolicyOf = (kind: ProcessKind, numbers: readonly number[]): INetworkPolicy => ({
  apiVersion: 'networking.k8s.io/v1',
  kind: 'NetworkPolicy',
  metadata: { name: nameOf(kind), labels: labelsOf(kind) },
  spec: { podSelector: { matchLabels: selectorOf(kind) }, policyTypes: ['Ingress', 'Egress'], ingress: [], egress: [toDns, { ports: tcp(...numbers) }] },
});

/** Pods that no other policy names reach nothing and are reached by nobody. */
export const denyAll: INetworkPolicy = {
  apiVersion: 'networking.k8s.io/v1',
  kind: 'NetworkPolicy',
  metadata: { name: 'cordage-deny-all', labels: { 'app.kubernetes.io/part-of': 'cordage' } },
  spec: { podSelector: { matchLabels: { 'app.kubernetes.io/part-of': 'cordage' } }, policyTypes: ['Ingress', 'Egress'] },
};
