/** Each resource against the schema of its kind: those of Kubernetes by kubernetes-models, those of operators by the few fields that we use. */
import * as apps from 'kubernetes-models/apps/v1';
import * as autoscaling from 'kubernetes-models/autoscaling/v2';
import * as batch from 'kubernetes-models/batch/v1';
import * as networking from 'kubernetes-models/networking.k8s.io/v1';
import * as policy from 'kubernetes-models/policy/v1';
import * as core from 'kubernetes-models/v1';
import * as z from 'zod';
import type { Resource } from './kustomized.ts';

const groups: Readonly<Record<string, object>> = { v1: core, 'apps/v1': apps, 'autoscaling/v2': autoscaling, 'batch/v1': batch, 'networking.k8s.io/v1': networking, 'policy/v1': policy };

type Model = new (data: Resource) => { validate(): void };
const isModel = (value: unknown): value is Model => typeof value === 'function';

const metadata = z.strictObject({ name: z.string(), namespace: z.string().optional(), labels: z.record(z.string(), z.string()) });
const operators: Readonly<Record<string, z.ZodType>> = {
  'keda.sh/v1alpha1 ScaledObject': z.strictObject({
    apiVersion: z.string(),
    kind: z.string(),
    metadata,
    spec: z.strictObject({
      scaleTargetRef: z.strictObject({ name: z.string() }),
      minReplicaCount: z.number().int(),
      maxReplicaCount: z.number().int(),
      cooldownPeriod: z.number().int(),
      triggers: z.array(z.strictObject({ type: z.literal('kafka'), metadata: z.strictObject({ bootstrapServers: z.string(), consumerGroup: z.string(), topic: z.string(), lagThreshold: z.string().regex(/^\d+$/), offsetResetPolicy: z.enum(['earliest', 'latest']) }) })).min(1),
    }),
  }),
  'monitoring.coreos.com/v1 PodMonitor': z.strictObject({
    apiVersion: z.string(),
    kind: z.string(),
    metadata,
    spec: z.strictObject({
      selector: z.strictObject({ matchLabels: z.record(z.string(), z.string()) }),
      podTargetLabels: z.array(z.string()),
      podMetricsEndpoints: z.array(z.strictObject({ port: z.string(), path: z.string().startsWith('/'), interval: z.string() })),
    }),
  }),
};

/** What is wrong with it, in words; empty where nothing is. */
export const faultsOf = (one: Resource): string[] => {
  const name = `${one.kind} ${one.metadata.name}`;
  const operator = operators[`${one.apiVersion} ${one.kind}`];
  if (operator !== undefined) return operator.safeParse(one).error?.issues.map(({ path, message }) => `${name}: ${path.join('.')} ${message}`) ?? [];
  const model = Object.entries(groups[one.apiVersion] ?? {}).find(([kind]) => kind === one.kind)?.[1];
  if (!isModel(model)) return [`${name}: nobody knows ${one.apiVersion} ${one.kind}`];
  try {
    new model(one).validate();
    return [];
  } catch (error) {
    return [`${name}: ${error instanceof Error ? error.message : String(error)}`];
  }
};
