/** The seven rooms: a Deployment each with its ServiceAccount and disruption budget, and the doors of rest and gateway. */
import type { IDeployment } from 'kubernetes-models/apps/v1';
import type { IIngress } from 'kubernetes-models/networking.k8s.io/v1';
import type { IPodDisruptionBudget } from 'kubernetes-models/policy/v1';
import type { IContainer, IService, IServiceAccount } from 'kubernetes-models/v1';
import type { Room } from '../../src/messages/grammar/wire.ts';
import type { ProcessKind } from '../settings.ts';
import { labelsOf, nameOf, ports, selectorOf } from './names.ts';
import { roomPod } from './pods.ts';

/** Two: one may go at any time, and its keys are served by the other. */
const replicas = 2;

export const deploymentOf = (room: Room, sidecars: IContainer[]): IDeployment => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: nameOf(room), labels: labelsOf(room) },
  spec: {
    replicas,
    revisionHistoryLimit: 3,
    // A new one is ready before an old one goes: versions N and N-1 work side by side.
    strategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } },
    selector: { matchLabels: selectorOf(room) },
    template: roomPod(room, sidecars),
  },
});

export const accountOf = (kind: ProcessKind): IServiceAccount => ({
  apiVersion: 'v1',
  kind: 'ServiceAccount',
  metadata: { name: nameOf(kind), labels: labelsOf(kind) },
  automountServiceAccountToken: false,
});

export const disruptionBudgetOf = (room: Room): IPodDisruptionBudget => ({
  apiVersion: 'policy/v1',
  kind: 'PodDisruptionBudget',
  metadata: { name: nameOf(room), labels: labelsOf(room) },
  spec: { maxUnavailable: 1, selector: { matchLabels: selectorOf(room) } },
});

type Door = 'rest' | 'gateway';

export const serviceOf = (door: Door): IService => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: nameOf(door), labels: labelsOf(door) },
  spec: { selector: selectorOf(door), ports: [{ name: door, port: ports[door], targetPort: door }] },
});

const toDoor = (door: Door, host: string): NonNullable<IIngress['spec']>['rules'] => [
  { host, http: { paths: [{ path: '/', pathType: 'Prefix', backend: { service: { name: nameOf(door), port: { name: door } } } }] } },
];

/** Names of an example, to be patched by overlays. */
const hosts = { rest: 'rest.cordage.example', gateway: 'gateway.cordage.example' } as const;

/** Annotations of the ingress-nginx controller; another one has other words for the same. */
export const ingressOf = (door: Door): IIngress => ({
  apiVersion: 'networking.k8s.io/v1',
  kind: 'Ingress',
  metadata: {
    name: nameOf(door),
    labels: labelsOf(door),
    annotations:
      door === 'gateway'
        ? // The gateway ends TLS itself: with mutual TLS it must see the certificate of its peer.
          { 'nginx.ingress.kubernetes.io/ssl-passthrough': 'true', 'nginx.ingress.kubernetes.io/backend-protocol': 'HTTPS' }
        : // It speaks TLS to the ingress too, which ends the clients' TLS. CPIs are uploaded, and WebSockets stay open.
          { 'nginx.ingress.kubernetes.io/backend-protocol': 'HTTPS', 'nginx.ingress.kubernetes.io/proxy-body-size': '64m', 'nginx.ingress.kubernetes.io/proxy-read-timeout': '3600' },
  },
  spec: {
    tls: [door === 'gateway' ? { hosts: [hosts.gateway] } : { hosts: [hosts.rest], secretName: 'cordage-rest-tls' }],
    rules: toDoor(door, hosts[door])!,
  },
});
