/** How many replicas: by processor use, or by how far a consumer group lags behind Kafka (KEDA), with what the operator asked as bounds. */
import type { IHorizontalPodAutoscaler } from 'kubernetes-models/autoscaling/v2';
import type { Room } from '../../src/messages/grammar/wire.ts';
import { partitionCountDefault } from '../../src/bus/bus.ts';
import { wires } from '../../src/messages/messages.ts';
import { kafkaAddress, kafkaTopicPrefix, labelsOf, nameOf } from './names.ts';

const replicasMin = 2;
/** Half of the partitions: two for each replica at least, so that a new one finds something to take. */
export const replicasMax = Math.max(replicasMin, Math.floor(partitionCountDefault / 2));
const cpuPercent = 70;
/** Replicas that go rebalance their groups: not for a short calm. */
const calmSeconds = 300;

export const autoscalerOf = (room: Room): IHorizontalPodAutoscaler => ({
  apiVersion: 'autoscaling/v2',
  kind: 'HorizontalPodAutoscaler',
  metadata: { name: nameOf(room), labels: labelsOf(room) },
  spec: {
    scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: nameOf(room) },
    minReplicas: replicasMin,
    maxReplicas: replicasMax,
    metrics: [{ type: 'Resource', resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: cpuPercent } } }],
    behavior: { scaleDown: { stabilizationWindowSeconds: calmSeconds, policies: [{ type: 'Pods', value: 1, periodSeconds: 60 }] } },
  },
});

/** KEDA's resource, as far as we use it: https://keda.sh/docs/latest/reference/scaledobject-spec/. */
export type ScaledObject = {
  readonly apiVersion: 'keda.sh/v1alpha1';
  readonly kind: 'ScaledObject';
  readonly metadata: { readonly name: string; readonly labels: Record<string, string> };
  readonly spec: {
    readonly scaleTargetRef: { readonly name: string };
    readonly minReplicaCount: number;
    readonly maxReplicaCount: number;
    readonly cooldownPeriod: number;
    readonly triggers: readonly { readonly type: 'kafka'; readonly metadata: Readonly<Record<string, string>> }[];
  };
};

/** Records that one replica may have waiting. */
const lagMax = 500;

/** The wires whose queues grow when a room is too slow. Rooms that are not here wait for others or for people. */
const queues: readonly { readonly room: Room; readonly topic: string; /** The consumer group is the room's, or one of this wire alone. */ readonly own: boolean }[] = [
  { room: 'flow', topic: 'rest-to-flow.start', own: false },
  { room: 'flow', topic: 'all-to-flow.answer', own: false },
  { room: 'flow', topic: 'link-manager-to-flow.receive', own: false },
  { room: 'link-manager', topic: 'all-to-link-manager.send', own: false },
  { room: 'link-manager', topic: 'gateway-to-link-manager.link-in', own: false },
  { room: 'db', topic: 'flow-to-db.entity', own: true },
  { room: 'crypto', topic: 'all-to-crypto.sign', own: true },
  { room: 'gateway', topic: 'link-manager-to-gateway.link-out', own: true },
];

export const scaledRooms = [...new Set(queues.map(({ room }) => room))];

export const scaledObjectOf = (room: Room): ScaledObject => ({
  apiVersion: 'keda.sh/v1alpha1',
  kind: 'ScaledObject',
  metadata: { name: nameOf(room), labels: labelsOf(room) },
  spec: {
    scaleTargetRef: { name: nameOf(room) },
    minReplicaCount: replicasMin,
    maxReplicaCount: replicasMax,
    cooldownPeriod: calmSeconds,
    triggers: queues
      .filter((queue) => queue.room === room)
      .map(({ topic, own }) => ({
        type: 'kafka',
        metadata: {
          bootstrapServers: kafkaAddress,
          consumerGroup: kafkaTopicPrefix + (own ? `${room}/${topic}` : room),
          topic: kafkaTopicPrefix + wireNamed(topic),
          lagThreshold: String(lagMax),
          offsetResetPolicy: 'earliest',
        },
      })),
  },
});

const wireNamed = (topic: string): string => {
  if (!wires.some((wire) => wire.topic === topic)) throw new Error(`no wire is named ${topic}: correct the queues of containers/manifests/scaling.ts`);
  return topic;
};

/** The Prometheus operator's resource, as far as we use it. */
export type PodMonitor = {
  readonly apiVersion: 'monitoring.coreos.com/v1';
  readonly kind: 'PodMonitor';
  readonly metadata: { readonly name: string; readonly labels: Record<string, string> };
  readonly spec: {
    readonly selector: { readonly matchLabels: Record<string, string> };
    readonly podTargetLabels: readonly string[];
    readonly podMetricsEndpoints: readonly { readonly port: string; readonly path: string; readonly interval: string }[];
  };
};

export const podMonitor: PodMonitor = {
  apiVersion: 'monitoring.coreos.com/v1',
  kind: 'PodMonitor',
  metadata: { name: 'cordage', labels: { 'app.kubernetes.io/part-of': 'cordage' } },
  spec: {
    selector: { matchLabels: { 'app.kubernetes.io/part-of': 'cordage' } },
    podTargetLabels: ['app.kubernetes.io/component'],
    podMetricsEndpoints: ['health', 'bridge-health'].map((port) => ({ port, path: '/metrics', interval: '15s' })),
  },
};
