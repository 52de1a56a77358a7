/** The manifests say what the code says: processes, ports, probes, variables, wires. */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { IDeployment } from 'kubernetes-models/apps/v1';
import type { INetworkPolicy } from 'kubernetes-models/networking.k8s.io/v1';
import type { IConfigMap, IContainer, IPodSpec, ISecret } from 'kubernetes-models/v1';
import { describe, expect, test } from 'vitest';
import { bridgeHealthPort } from '../../containers/manifests/bridge.ts';
import { manifestFiles } from '../../containers/manifests/manifests.ts';
import { processKinds, requiredBy, settingsShape, type ProcessKind } from '../../containers/settings.ts';
import { accessFor } from '../../src/bus/http-server-access.ts';
import { rooms } from '../../src/messages/grammar/wire.ts';
import { wires } from '../../src/messages/messages.ts';
import { createMetrics } from '../../src/observability/metrics.ts';
import { createWorkerServer } from '../../src/shell/worker-server.ts';
import { imageTargets } from '../containers/images.ts';
import { root } from '../tidy/source.ts';
import { kustomized, whyNoKubectl, type Resource } from './kustomized.ts';
import { faultsOf } from './typed.ts';

const overlays = ['base', 'overlays/local', 'overlays/production', 'overlays/production-keda'];

const filesOf = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => statSync(join(folder, name)).isFile())
    .sort();

test('the files of manifests/ are those that the code writes', () => {
  const folder = join(root, 'manifests');
  const remedy = 'Run npm run manifests and commit what changed.';
  expect(existsSync(folder) ? filesOf(folder) : [], remedy).toEqual(Object.keys(manifestFiles()).sort());
  for (const [path, text] of Object.entries(manifestFiles())) expect(readFileSync(join(folder, path), 'utf8'), `${path}: ${remedy}`).toBe(text);
});

const why = whyNoKubectl();
if (why !== undefined) console.warn(`overlays are not tested: ${why}`);

const ofKind = <Kind extends Resource>(overlay: string, kind: string): Kind[] =>
  // The kind decides the type; `faultsOf` has looked at its fields.
  kustomized(overlay).filter((one) => one.kind === kind) as Kind[];

type Named<Body> = Body & Resource;
type Workload = { readonly name: string; readonly pod: IPodSpec };
const workloadKinds = ['Deployment', 'StatefulSet', 'Job'];
const workloadsOf = (overlay: string): Workload[] =>
  workloadKinds.flatMap((kind) => ofKind<Named<IDeployment>>(overlay, kind).map(({ metadata, spec }) => ({ name: metadata.name, pod: spec!.template.spec! })));
/** Containers of our own images. */
const containersOf = (overlay: string): { readonly container: IContainer; readonly kind: ProcessKind }[] =>
  workloadsOf(overlay)
    .flatMap(({ pod }) => [...pod.containers, ...(pod.initContainers ?? [])])
    .filter(({ image }) => image!.startsWith('cordage/'))
    .map((container) => ({ container, kind: processKinds.find((kind) => container.image!.startsWith(`cordage/${kind}:`))! }));

const configOf = (overlay: string): Record<string, string> => ofKind<Named<IConfigMap>>(overlay, 'ConfigMap')[0]!.data!;

describe.skipIf(why !== undefined).each(overlays)('%s', (overlay) => {
  test('is made by kustomize, and every resource of it is of the type that it claims', () => {
    expect(kustomized(overlay).length).toBeGreaterThan(30);
    expect(kustomized(overlay).flatMap(faultsOf)).toEqual([]);
  });

  test('runs the seven rooms, each container a kind of process with an image of its own', () => {
    expect(ofKind(overlay, 'Deployment').map(({ metadata }) => metadata.name).sort()).toEqual(rooms.map((room) => `cordage-${room}`).sort());
    for (const { container, kind } of containersOf(overlay)) {
      expect(kind, container.image!).toBeDefined();
      expect(imageTargets()).toContain(kind);
      expect(container.args).toEqual([kind]);
    }
  });

  test('sets every variable that a process needs, and none that settings.ts does not know', () => {
    const config = configOf(overlay);
    const known = Object.keys(settingsShape.shape);
    expect(Object.keys(config).filter((name) => !known.includes(name))).toEqual([]);
    for (const { container, kind } of containersOf(overlay)) {
      const names = container.env!.map(({ name }) => name);
      expect(names.filter((name) => !known.includes(name)), kind).toEqual([]);
      expect(requiredBy(kind).filter((name) => !names.includes(name) && !(name in config)), kind).toEqual([]);
    }
    expect(() => settingsShape.parse(config)).not.toThrow();
  });

  test('opens the ports that settings.ts gives, and nothing refers to a port that is not open', () => {
    const defaults = settingsShape.parse({});
    const expected = { rest: defaults.CORDAGE_REST_PORT, gateway: defaults.CORDAGE_GATEWAY_PORT, health: defaults.CORDAGE_HEALTH_PORT, bus: defaults.CORDAGE_BUS_PORT, 'bridge-health': bridgeHealthPort };
    for (const { container } of containersOf(overlay)) {
      const opened = Object.fromEntries((container.ports ?? []).map(({ name, containerPort }) => [name, containerPort]));
      expect(expected).toMatchObject(opened);
      for (const probe of [container.startupProbe, container.livenessProbe, container.readinessProbe]) {
        if (probe !== undefined) expect(opened).toHaveProperty(String(probe.httpGet!.port));
      }
    }
  });

  test('grants no pod more than the restricted profile, and no token', () => {
    for (const { name, pod } of workloadsOf(overlay)) {
      expect(pod.automountServiceAccountToken, name).toBe(false);
      expect(pod.securityContext, name).toMatchObject({ runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } });
      for (const container of [...pod.containers, ...(pod.initContainers ?? [])]) {
        expect(container.securityContext, `${name} ${container.name}`).toEqual({ allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ['ALL'] } });
        expect(container.resources, `${name} ${container.name}`).toMatchObject({ requests: { cpu: expect.any(String), memory: expect.any(String) }, limits: { memory: expect.any(String) } });
      }
    }
  });
});

/** A worker's own server, with a room behind it that is well. */
const probed = createWorkerServer({
  running: { health: () => ({ status: 'UP', details: [] }), parked: async () => [], redrive: async () => 0, stop: async () => {} } as unknown as Parameters<typeof createWorkerServer>[0]['running'],
  worker: { room: 'flow' },
  metrics: createMetrics(),
});

describe.skipIf(why !== undefined)('what Kubernetes asks', () => {
  test('every probe and every scrape is of a path that a worker serves', async () => {
    const probes = containersOf('base').flatMap(({ container, kind }) => (rooms.some((room) => room === kind) ? [container.startupProbe, container.livenessProbe, container.readinessProbe] : []));
    const scraped = ofKind<Resource & { spec: { podMetricsEndpoints: { path: string }[] } }>('overlays/production', 'PodMonitor').flatMap(({ spec }) => spec.podMetricsEndpoints);
    const paths = new Set([...probes.map((probe) => probe!.httpGet!.path!), ...scraped.map(({ path }) => path)]);
    expect([...paths].sort()).toEqual(['/isHealthy', '/metrics', '/status']);
    for (const path of paths) expect((await probed.request(path)).status, path).toBe(200);
  });

  test('liveness asks whether to restart, readiness whether to send work', () => {
    for (const { container, kind } of containersOf('base')) {
      if (!rooms.some((room) => room === kind)) continue;
      expect(container.livenessProbe!.httpGet!.path, kind).toBe('/isHealthy');
      expect(container.readinessProbe!.httpGet!.path, kind).toBe('/status');
    }
  });

  test('every Secret that a pod refers to is made by the overlay local, key by key; production makes none', () => {
    const secrets = new Map(ofKind<Named<ISecret>>('overlays/local', 'Secret').map(({ metadata, data }) => [metadata.name, Object.keys(data!)]));
    const referred = workloadsOf('overlays/local').flatMap(({ pod }) => pod.containers.flatMap(({ env }) => (env ?? []).flatMap(({ valueFrom }) => valueFrom?.secretKeyRef ?? []).filter(({ optional }) => optional !== true)));
    expect(referred.length).toBeGreaterThan(rooms.length);
    for (const { name, key } of referred) expect(secrets.get(name!) ?? [], name).toContain(key);
    expect(ofKind('overlays/production', 'Secret')).toEqual([]);
    expect(ofKind('base', 'Secret')).toEqual([]);
  });
});

describe.skipIf(why !== undefined)('autoscalers', () => {
  const scaled = (overlay: string, kind: string): string[] => ofKind<Resource & { spec: { scaleTargetRef: { name: string } } }>(overlay, kind).map(({ spec }) => spec.scaleTargetRef.name);
  const all = rooms.map((room) => `cordage-${room}`).sort();

  test('scale every room by processor use in production, with no number of replicas written beside them', () => {
    expect(scaled('overlays/production', 'HorizontalPodAutoscaler').sort()).toEqual(all);
    for (const { spec } of ofKind<Named<IDeployment>>('overlays/production', 'Deployment')) expect(spec!.replicas).toBeUndefined();
  });

  test('are one for each room where KEDA scales some by lag', () => {
    expect([...scaled('overlays/production-keda', 'HorizontalPodAutoscaler'), ...scaled('overlays/production-keda', 'ScaledObject')].sort()).toEqual(all);
    expect(scaled('overlays/production-keda', 'ScaledObject')).toContain('cordage-flow');
  });
});

describe.skipIf(why !== undefined)('network policies', () => {
  const policyOf = (name: string): Named<INetworkPolicy> => ofKind<Named<INetworkPolicy>>('base', 'NetworkPolicy').find(({ metadata }) => metadata.name === name)!;
  const listed = (name: string, annotation: string): string[] => (policyOf(name).metadata.annotations?.[`cordage.io/${annotation}`] ?? '').split(' ').filter((word) => word !== '').sort();

  test.each(rooms)('that of %s stands on the wires that the bus would let it use', (room) => {
    const access = accessFor(room);
    for (const { topic, from, to } of wires) {
      expect(listed(`cordage-${room}`, 'speaks').includes(topic), topic).toBe(from.includes(room));
      expect(listed(`cordage-${room}`, 'hears').includes(topic), topic).toBe(to.includes(room));
    }
    for (const topic of listed(`cordage-${room}`, 'speaks')) expect(access.mayProduce(topic), topic).toBe(true);
    for (const topic of listed(`cordage-${room}`, 'hears')) expect(access.mayRead(topic), topic).toBe(true);
  });

  test('only rest and gateway take connections of others, and only the gateway reaches the world', () => {
    const isOpen = (room: string): boolean => policyOf(`cordage-${room}`).spec!.ingress!.some(({ from }) => from === undefined);
    const reachesWorld = (room: string): boolean => policyOf(`cordage-${room}`).spec!.egress!.some(({ to }) => to?.some(({ ipBlock }) => ipBlock !== undefined) === true);
    expect(rooms.filter(isOpen)).toEqual(['rest', 'gateway']);
    expect(rooms.filter(reachesWorld)).toEqual(['gateway']);
  });

  test('only rooms that keep state reach PostgreSQL', () => {
    const reaches = (room: string): boolean => policyOf(`cordage-${room}`).spec!.egress!.some(({ to, ports }) => to === undefined && ports!.some(({ port }) => port === 5432));
    expect(rooms.filter(reaches)).toEqual(rooms.filter((room) => requiredBy(room).includes('DATABASE_URL')));
    expect(rooms.filter(reaches)).not.toContain('gateway');
  });

  test('whatever no policy names is refused', () => {
    expect(policyOf('cordage-deny-all').spec).toMatchObject({ policyTypes: ['Ingress', 'Egress'] });
    expect(policyOf('cordage-deny-all').spec!.ingress).toBeUndefined();
    expect(policyOf('cordage-deny-all').spec!.egress).toBeUndefined();
  });
});
