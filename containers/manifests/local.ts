/** The overlay `local`: the embedded broker and PostgreSQL inside the Kubernetes cluster, one replica of everything. For trials, not for data. */
import type { IStatefulSet } from 'kubernetes-models/apps/v1';
import type { INetworkPolicy } from 'kubernetes-models/networking.k8s.io/v1';
import type { IContainer, IPersistentVolumeClaim, IService } from 'kubernetes-models/v1';
import { rooms } from '../../src/messages/grammar/wire.ts';
import { labelsOf, nameOf, partOf, ports, selectorOf } from './names.ts';
import { containerOf, podOf } from './pods.ts';

const stateClaim = (name: string, storage: string): IPersistentVolumeClaim => ({
  apiVersion: 'v1',
  kind: 'PersistentVolumeClaim',
  metadata: { name },
  spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage } } },
});

const brokerContainer = (): IContainer => {
  const container = containerOf('broker');
  return {
    ...container,
    env: [
      ...container.env!.filter(({ name }) => name !== 'CORDAGE_STATE_DIR' && name !== 'CORDAGE_BUS_CREDENTIALS'),
      { name: 'CORDAGE_STATE_DIR', value: '/state' },
      { name: 'CORDAGE_BUS_HOST', value: '0.0.0.0' },
      { name: 'CORDAGE_BUS_CREDENTIALS', valueFrom: { secretKeyRef: { name: 'cordage-bus', key: 'credentials' } } },
    ],
    ports: [{ name: 'bus', containerPort: ports.bus }],
    readinessProbe: { httpGet: { path: '/health', port: 'bus' }, periodSeconds: 5 },
    livenessProbe: { httpGet: { path: '/health', port: 'bus' }, periodSeconds: 10, timeoutSeconds: 5 },
    resources: { requests: { cpu: '250m', memory: '192Mi' }, limits: { memory: '1Gi' } },
    volumeMounts: [...container.volumeMounts!, { name: 'state', mountPath: '/state' }],
  };
};

/** One: it is the one log of the cluster, on one disk. */
export const broker: IStatefulSet = {
  apiVersion: 'apps/v1',
  kind: 'StatefulSet',
  metadata: { name: nameOf('broker'), labels: labelsOf('broker') },
  spec: {
    replicas: 1,
    serviceName: nameOf('broker'),
    selector: { matchLabels: selectorOf('broker') },
    template: { metadata: { labels: labelsOf('broker') }, spec: podOf('broker', [brokerContainer()]) },
    volumeClaimTemplates: [stateClaim('state', '5Gi')],
  },
};

const postgresName = 'cordage-postgres';
const postgresLabels = { 'app.kubernetes.io/name': postgresName, 'app.kubernetes.io/part-of': partOf, 'app.kubernetes.io/component': 'postgres' };
/** The user that the official image's Alpine variant makes. */
const postgresUser = 70;

export const postgres: IStatefulSet = {
  apiVersion: 'apps/v1',
  kind: 'StatefulSet',
  metadata: { name: postgresName, labels: postgresLabels },
  spec: {
    replicas: 1,
    serviceName: postgresName,
    selector: { matchLabels: postgresLabels },
    template: {
      metadata: { labels: postgresLabels },
      spec: {
        automountServiceAccountToken: false,
        enableServiceLinks: false,
        securityContext: { runAsNonRoot: true, runAsUser: postgresUser, runAsGroup: postgresUser, fsGroup: postgresUser, seccompProfile: { type: 'RuntimeDefault' } },
        containers: [
          {
            name: 'postgres',
            image: 'postgres:18-alpine',
            env: [
              { name: 'POSTGRES_DB', value: 'cordage' },
              { name: 'POSTGRES_USER', value: 'cordage' },
              { name: 'POSTGRES_PASSWORD', valueFrom: { secretKeyRef: { name: 'cordage-postgres', key: 'password' } } },
              { name: 'PGDATA', value: '/state/data' },
            ],
            ports: [{ name: 'postgres', containerPort: ports.postgres }],
            readinessProbe: { exec: { command: ['pg_isready', '-U', 'cordage'] }, periodSeconds: 5 },
            securityContext: { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ['ALL'] } },
            resources: { requests: { cpu: '250m', memory: '256Mi' }, limits: { memory: '1Gi' } },
            volumeMounts: [
              { name: 'state', mountPath: '/state' },
              { name: 'run', mountPath: '/var/run/postgresql' },
              { name: 'tmp', mountPath: '/tmp' },
            ],
          },
        ],
        volumes: [
          { name: 'run', emptyDir: {} },
          { name: 'tmp', emptyDir: {} },
        ],
      },
    },
    volumeClaimTemplates: [stateClaim('state', '5Gi')],
  },
};

const headless = (name: string, labels: Record<string, string>, selector: Record<string, string>, port: { name: string; port: number }): IService => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name, labels },
  spec: { clusterIP: 'None', selector, ports: [port] },
});

export const localServices: readonly IService[] = [
  headless(nameOf('broker'), labelsOf('broker'), selectorOf('broker'), { name: 'bus', port: ports.bus }),
  headless(postgresName, postgresLabels, postgresLabels, { name: 'postgres', port: ports.postgres }),
];

const fromCordage = { podSelector: { matchLabels: { 'app.kubernetes.io/part-of': partOf } } };

/** The two servers take connections of Cordage's pods, and every room may also reach the broker. */
export const localPolicies: readonly INetworkPolicy[] = [
  {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: { name: nameOf('broker'), labels: labelsOf('broker') },
    spec: { podSelector: { matchLabels: selectorOf('broker') }, policyTypes: ['Ingress', 'Egress'], ingress: [{ from: [fromCordage], ports: [{ protocol: 'TCP', port: ports.bus }] }] },
  },
  {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: { name: postgresName, labels: postgresLabels },
    spec: { podSelector: { matchLabels: postgresLabels }, policyTypes: ['Ingress', 'Egress'], ingress: [{ from: [fromCordage], ports: [{ protocol: 'TCP', port: ports.postgres }] }] },
  },
  {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: { name: 'cordage-to-broker', labels: { 'app.kubernetes.io/part-of': partOf } },
    spec: {
      podSelector: { matchExpressions: [{ key: 'app.kubernetes.io/component', operator: 'In', values: [...rooms] }] },
      policyTypes: ['Egress'],
      egress: [{ to: [{ podSelector: { matchLabels: selectorOf('broker') } }], ports: [{ protocol: 'TCP', port: ports.bus }] }],
    },
  },
];

const trialPassword = 'for-trials-only';
const databaseUrl = `postgres://cordage:${trialPassword}@${postgresName}:${ports.postgres}/cordage`;

/** Literals that everybody can read here: nothing of this overlay is secret. By Secret, key and value. */
export const localSecrets: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'cordage-postgres': { password: trialPassword },
  'cordage-database': Object.fromEntries([...rooms, 'migrate'].map((kind) => [kind, databaseUrl])),
  'cordage-bus': {
    ...Object.fromEntries(rooms.map((room) => [room, trialPassword])),
    credentials: rooms.map((room) => `${room}:${trialPassword}:${room}`).join(','),
  },
  'cordage-crypto': { passphrase: trialPassword, salt: trialPassword },
  'cordage-link': { passphrase: trialPassword, salt: trialPassword },
  'cordage-admin': { password: trialPassword },
};
