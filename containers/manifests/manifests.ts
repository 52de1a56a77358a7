/**
 * The manifests of Kubernetes, written from the code: ports and variables from settings.ts, policies from the wires.
 * `npm run manifests` writes them below `manifests/`; a test proves that what lies there is what this says.
 */
import { stringify } from 'yaml';
import { rooms } from '../../src/messages/grammar/wire.ts';
import { bridgeOf, kafkaUserPrefix, loginOf } from './bridge.ts';
import { jobOf } from './jobs.ts';
import { broker, localPolicies, localSecrets, localServices, postgres } from './local.ts';
import { configName, imageOf, nameOf, partOf, ports, version } from './names.ts';
import { denyAll, jobPolicyOf, kafkaPorts, networkPolicyOf } from './network-policies.ts';
import { configured } from './pods.ts';
import { accountOf, deploymentOf, disruptionBudgetOf, ingressOf, serviceOf } from './rooms.ts';
import { autoscalerOf, podMonitor, scaledObjectOf, scaledRooms } from './scaling.ts';

const header = '# Written by npm run manifests from containers/manifests; change it there.\n';

const documents = (...resources: readonly object[]): string => header + resources.map((resource) => stringify(resource, { lineWidth: 0, aliasDuplicateObjects: false })).join('---\n');

type Kustomization = Readonly<Record<string, unknown>>;
const kustomization = (kind: 'Kustomization' | 'Component', body: Kustomization): string =>
  documents({ apiVersion: kind === 'Component' ? 'kustomize.config.k8s.io/v1alpha1' : 'kustomize.config.k8s.io/v1beta1', kind, ...body });

const literalsOf = (values: Readonly<Record<string, string>>): string[] => Object.entries(values).map(([key, value]) => `${key}=${value}`);

const baseFiles = (): Record<string, string> => {
  const files: Record<string, string> = {
    'network-deny-all.yaml': documents(denyAll),
    'migrate.yaml': documents(accountOf('migrate'), jobOf('migrate'), jobPolicyOf('migrate', [ports.postgres])),
    'topics.yaml': documents(accountOf('topics'), jobOf('topics'), jobPolicyOf('topics', kafkaPorts)),
  };
  for (const room of rooms) {
    const doors = room === 'rest' || room === 'gateway' ? [serviceOf(room), ingressOf(room)] : [];
    files[`${room}.yaml`] = documents(accountOf(room), deploymentOf(room, [bridgeOf(room)]), disruptionBudgetOf(room), networkPolicyOf(room), ...doors);
  }
  return {
    ...files,
    'kustomization.yaml': kustomization('Kustomization', {
      resources: Object.keys(files).sort(),
      configMapGenerator: [{ name: configName, literals: literalsOf(configured) }],
      images: [...rooms, 'bridge' as const, 'migrate' as const, 'topics' as const].map((kind) => ({ name: imageOf(kind), newTag: version })),
    }),
  };
};

/** A patch for each of the resources of a kind, whatever their names. */
const patchAll = (kind: string, patch: readonly object[]) => ({ target: { kind, labelSelector: `app.kubernetes.io/part-of=${partOf}` }, patch: stringify(patch) });
const databaseAuthority = '/etc/cordage/database';
const kafkaAuthority = '/etc/cordage/kafka';
const kafkaAuthorityOn = (container: string): object[] => [
  { op: 'add', path: '/spec/template/spec/volumes/-', value: { name: 'kafka-authority', secret: { secretName: 'cordage-kafka-authority' } } },
  { op: 'add', path: `${container}/volumeMounts/-`, value: { name: 'kafka-authority', mountPath: kafkaAuthority, readOnly: true } },
];
const withoutReplicas = [{ op: 'remove', path: '/spec/replicas' }];

const components: Readonly<Record<string, Record<string, string>>> = {
  autoscaling: {
    'autoscalers.yaml': documents(...rooms.map(autoscalerOf)),
    'kustomization.yaml': kustomization('Component', { resources: ['autoscalers.yaml'], patches: [patchAll('Deployment', withoutReplicas)] }),
  },
  // Beside processor use KEDA can know the lag: it makes the autoscalers of these rooms itself.
  keda: {
    'scaled-objects.yaml': documents(...scaledRooms.map(scaledObjectOf)),
    'kustomization.yaml': kustomization('Component', {
      resources: ['scaled-objects.yaml'],
      patches: scaledRooms.map((room) => ({ target: { kind: 'HorizontalPodAutoscaler', name: nameOf(room) }, patch: stringify({ $patch: 'delete', apiVersion: 'autoscaling/v2', kind: 'HorizontalPodAutoscaler', metadata: { name: nameOf(room) } }) })),
    }),
  },
  // PostgreSQL's authority from a Secret, so that its certificate is verified.
  'database-tls': {
    'kustomization.yaml': kustomization('Component', {
      configMapGenerator: [{ name: configName, behavior: 'merge', literals: [`CORDAGE_DATABASE_CA_FILE=${databaseAuthority}/ca.crt`] }],
      patches: ['Deployment', 'Job'].map((kind) =>
        patchAll(kind, [
          { op: 'add', path: '/spec/template/spec/volumes/-', value: { name: 'database-authority', secret: { secretName: 'cordage-database-authority' } } },
          { op: 'add', path: '/spec/template/spec/containers/0/volumeMounts/-', value: { name: 'database-authority', mountPath: databaseAuthority, readOnly: true } },
        ]),
      ),
    }),
  },
  // Bridges that log in to Kafka over TLS, each as its own room; the topics job makes their access lists.
  'kafka-login': {
    'kustomization.yaml': kustomization('Component', {
      configMapGenerator: [{ name: configName, behavior: 'merge', literals: ['CORDAGE_KAFKA_TLS=on', `CORDAGE_KAFKA_CA_FILE=${kafkaAuthority}/ca.crt`, `CORDAGE_KAFKA_ACLS=${kafkaUserPrefix}`] }],
      patches: [
        ...rooms.map((room) => ({ target: { kind: 'Deployment', name: nameOf(room) }, patch: stringify([...loginOf(room, '/spec/template/spec/initContainers/0'), ...kafkaAuthorityOn('/spec/template/spec/initContainers/0')]) })),
        { target: { kind: 'Job', labelSelector: 'app.kubernetes.io/component=topics' }, patch: stringify([...loginOf('topics', '/spec/template/spec/containers/0'), ...kafkaAuthorityOn('/spec/template/spec/containers/0')]) },
      ],
    }),
  },
  monitoring: {
    'pod-monitor.yaml': documents(podMonitor),
    'kustomization.yaml': kustomization('Component', { resources: ['pod-monitor.yaml'] }),
  },
};

const namespaceOf = (name: string): string =>
  documents({ apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels: { 'pod-security.kubernetes.io/enforce': 'restricted', 'app.kubernetes.io/part-of': partOf } } });

const localFiles = (): Record<string, string> => ({
  'namespace.yaml': namespaceOf('cordage-local'),
  'broker.yaml': documents(accountOf('broker'), broker),
  'postgres.yaml': documents(postgres),
  'services.yaml': documents(...localServices),
  'network-policies.yaml': documents(...localPolicies),
  'kustomization.yaml': kustomization('Kustomization', {
    namespace: 'cordage-local',
    resources: ['../../base', 'namespace.yaml', 'broker.yaml', 'postgres.yaml', 'services.yaml', 'network-policies.yaml'],
    configMapGenerator: [{ name: configName, behavior: 'merge', literals: [`CORDAGE_BUS_URL=http://${nameOf('broker')}:${ports.bus}`, 'CORDAGE_GATEWAY_PRIVATE_RANGES=10.0.0.0/8,172.16.0.0/12,192.168.0.0/16'] }],
    secretGenerator: Object.entries(localSecrets).map(([name, values]) => ({ name, literals: literalsOf(values) })),
    patches: [
      patchAll('Deployment', [
        { op: 'replace', path: '/spec/replicas', value: 1 },
        { op: 'remove', path: '/spec/template/spec/initContainers' },
      ]),
      { target: { kind: 'Job', labelSelector: 'app.kubernetes.io/component=topics' }, patch: stringify({ $patch: 'delete', apiVersion: 'batch/v1', kind: 'Job', metadata: { name: 'topics' } }) },
    ],
  }),
});

const productionFiles = (): Record<string, string> => ({
  'namespace.yaml': namespaceOf('cordage'),
  'kustomization.yaml': kustomization('Kustomization', {
    namespace: 'cordage',
    resources: ['../../base', 'namespace.yaml'],
    components: ['autoscaling', 'database-tls', 'kafka-login', 'monitoring'].map((name) => `../../components/${name}`),
  }),
});

/** Production whose queues are watched by KEDA, which must be installed. */
const kedaFiles = (): Record<string, string> => ({
  'kustomization.yaml': kustomization('Kustomization', { resources: ['../production'], components: ['../../components/keda'] }),
});

const below = (folder: string, files: Readonly<Record<string, string>>): [string, string][] => Object.entries(files).map(([name, text]) => [`${folder}/${name}`, text]);

/** Every file below `manifests/`, by its path from there. */
export const manifestFiles = (): Readonly<Record<string, string>> =>
  Object.fromEntries([
    ...below('base', baseFiles()),
    ...Object.entries(components).flatMap(([name, files]) => below(`components/${name}`, files)),
    ...below('overlays/local', localFiles()),
    ...below('overlays/production', productionFiles()),
    ...below('overlays/production-keda', kedaFiles()),
  ]);
