/**
 * The bridge to Kafka beside each worker: a sidecar that Kubernetes starts before the worker and ends after it, so that what the worker
 * finishes as it leaves still reaches Kafka. It knows the credential of its worker's room and no other.
 */
import type { IContainer } from 'kubernetes-models/v1';
import type { Room } from '../../src/messages/grammar/wire.ts';
import { ports } from './names.ts';
import { containerOf, probesOn } from './pods.ts';

/** The worker has the usual one. */
export const bridgeHealthPort = ports.health + 1;

export const bridgeOf = (room: Room): IContainer => ({
  ...containerOf('bridge'),
  restartPolicy: 'Always',
  env: [
    { name: 'CORDAGE_INSTANCE', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
    { name: 'CORDAGE_BUS_PASSWORD', valueFrom: { secretKeyRef: { name: 'cordage-bus', key: room } } },
    // Kubernetes puts in the variable above.
    { name: 'CORDAGE_BUS_CREDENTIALS', value: `${room}:$(CORDAGE_BUS_PASSWORD):${room}` },
    { name: 'CORDAGE_BUS_HOST', value: '127.0.0.1' },
    { name: 'CORDAGE_HEALTH_PORT', value: String(bridgeHealthPort) },
  ],
  ports: [{ name: 'bridge-health', containerPort: bridgeHealthPort }],
  ...probesOn('bridge-health'),
  resources: { requests: { cpu: '100m', memory: '128Mi' }, limits: { memory: '384Mi' } },
});

/** Users of Kafka: the topics job makes their access lists. */
export const kafkaUserPrefix = 'cordage-';

/** A patch that logs a room's bridge in, with the password of the Secret `cordage-kafka`. */
export const loginOf = (user: string, container: string): object[] => [
  { op: 'add', path: `${container}/env/-`, value: { name: 'CORDAGE_KAFKA_USERNAME', value: `${kafkaUserPrefix}${user}` } },
  { op: 'add', path: `${container}/env/-`, value: { name: 'CORDAGE_KAFKA_PASSWORD', valueFrom: { secretKeyRef: { name: 'cordage-kafka', key: user } } } },
];
