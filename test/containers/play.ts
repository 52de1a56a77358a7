/** `podman play kube` of our manifests: real images, as Kubernetes would start them. Without probes, Services and Jobs, which podman has not. */
import { execFile, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { IDeployment, IStatefulSet } from 'kubernetes-models/apps/v1';
import type { IJob } from 'kubernetes-models/batch/v1';
import type { IConfigMap, IPod, IPodSpec, ISecret } from 'kubernetes-models/v1';
import { stringify } from 'yaml';
import type { Room } from '../../src/messages/grammar/wire.ts';
import type { Resource } from '../manifests/kustomized.ts';

const execute = promisify(execFile);

/** Debian's podman finds limits in the default configuration that a container inside a container may not set. */
const configuration = '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1000:1000"]\n[engine]\nruntime = "runc"\n';

export type Podman = {
  run(...args: readonly string[]): Promise<string>;
  /** Of this Podman alone; everything on it is removed at the end. */
  readonly network: string;
  /** Removes what runs on it. */
  clear(): Promise<void>;
  close(): Promise<void>;
};

const networkName = /^cordage-test-(\d+)$/;

/** A process id may have been given to something else since. */
const isTestRun = (pid: string): boolean => {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('vitest');
  } catch {
    return false;
  }
};

export const openPodman = async (): Promise<Podman> => {
  const folder = mkdtempSync(join(tmpdir(), 'cordage-podman-'));
  const file = join(folder, 'containers.conf');
  writeFileSync(file, configuration);
  const run = async (...args: readonly string[]): Promise<string> => (await execute('podman', [...args], { env: { ...process.env, CONTAINERS_CONF: file } })).stdout.trim();
  const listed = async (...args: readonly string[]): Promise<string[]> => (await run(...args)).split('\n').filter((name) => name !== '');
  const clearNetwork = async (name: string): Promise<void> => {
    // A pod that was killed while it was made is on no network yet.
    const filters = [['--filter', `network=${name}`], ['--filter', 'status=created', '--filter', 'name=^cordage-']];
    const pods = (await Promise.all(filters.map((filter) => listed('pod', 'ps', ...filter, '--format', '{{.Name}}')))).flat();
    if (pods.length > 0) await run('pod', 'rm', '-f', '-t', '1', ...pods);
  };
  // Pods are named as the manifests name them, so those that a killed run left stand in the way.
  for (const name of await listed('network', 'ls', '--format', '{{.Name}}')) {
    const pid = networkName.exec(name)?.[1];
    if (pid === undefined || isTestRun(pid)) continue;
    await clearNetwork(name);
    await run('network', 'rm', '-f', name);
  }
  const network = `cordage-test-${process.pid}`;
  await run('network', 'create', network);
  const clear = (): Promise<void> => clearNetwork(network);
  const close = async (): Promise<void> => {
    await clear();
    await run('network', 'rm', '-f', network);
    await run('volume', 'prune', '-f');
    rmSync(folder, { recursive: true, force: true });
  };
  return { run, network, clear, close };
};

/** Why podman cannot run a container here although it is installed, or `undefined`. */
export const whyPodmanCannotRun = async (podman: Podman, image: string): Promise<string | undefined> => {
  try {
    await podman.run('run', '--rm', '--entrypoint', 'node', image, '--version');
    return undefined;
  } catch (error) {
    return `podman cannot run a container: ${error instanceof Error ? error.message : String(error)}`;
  }
};

/** Podman of Debian 12 hands on a variable inside another as it is written. */
const passwordIn = (value: string | undefined, passwords: Readonly<Record<string, string>>): string | undefined =>
  value?.replace(/^([^:]*):\$\(CORDAGE_BUS_PASSWORD\):/, (_, room: string) => `${room}:${passwords[room]}:`);

/**
 * Images of our own lie in the local store; podman 4.3 cannot read the Secrets that it made, so they come as ConfigMaps. An init container that goes on
 * running is a sidecar to Kubernetes; podman 4.3 says nothing
 * and waits for its end, the worker never started, so it stands beside the others.
 */
const played = (spec: IPodSpec, passwords: Readonly<Record<string, string>>): IPodSpec => ({
  ...spec,
  initContainers: [],
  // Podman would publish each port on this machine.
  containers: [...(spec.initContainers ?? []).map(({ restartPolicy: _always, ...sidecar }) => sidecar), ...spec.containers].map(({ ports: _published, ...container }) => ({
    ...container,
    image: `localhost/${container.image!.replace(/:[^:]*$/, ':latest')}`,
    imagePullPolicy: 'Never',
    env: (container.env ?? []).flatMap(({ valueFrom, ...one }) => {
      const secret = valueFrom?.secretKeyRef;
      if (secret?.optional === true) return [];
      if (secret !== undefined) return [{ ...one, valueFrom: { configMapKeyRef: { name: secret.name!, key: secret.key } } }];
      return [valueFrom === undefined ? { ...one, ...(one.value === undefined ? {} : { value: passwordIn(one.value, passwords)! }) } : { ...one, valueFrom }];
    }),
  })),
});

type Changes = {
  /** The value of a Secret's key where it is not what the overlay says. */
  readonly secret?: (name: string, key: string) => string | undefined;
  /** Of the ConfigMap that all pods read. */
  readonly settings?: Readonly<Record<string, string>>;
};

type Playable = {
  readonly settings: readonly object[];
  broker(): object;
  job(name: 'migrate' | 'topics'): object;
  room(name: Room): object;
};

/** Secrets that the manifests name and leave to the operator, as ConfigMaps. */
const secretsToMake = (resources: readonly Resource[], present: readonly string[], value: (name: string, key: string) => string): IConfigMap[] => {
  const named = [...JSON.stringify(resources).matchAll(/"secretKeyRef":\{"(?:key":"([^"]+)","name":"([^"]+)|name":"([^"]+)","key":"([^"]+))"\}/g)].map(([, key, name, name2, key2]) => ({ name: (name ?? name2)!, key: (key ?? key2)! }));
  const data = new Map<string, Record<string, string>>();
  for (const { name, key } of named) if (!present.includes(name)) data.set(name, { ...data.get(name), [key]: value(name, key) });
  return [...data].map(([name, its]): IConfigMap => ({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name }, data: its }));
};

/** What podman plays of an overlay; a stand-in where it does not know the kind. */
export const playable = (resources: readonly Resource[], { secret = () => undefined, settings: changed = {} }: Changes): Playable => {
  const named = <Kind>(kind: string, name: string): Kind => {
    const one = resources.find(({ kind: its, metadata }) => its === kind && metadata.name.startsWith(name));
    if (one === undefined) throw new Error(`no ${kind} ${name}`);
    // The kind decides the type.
    return { ...one, metadata: { ...one.metadata, namespace: undefined } } as Kind;
  };
  const maps = (resources.filter(({ kind }) => kind === 'ConfigMap') as IConfigMap[]).map(({ metadata, data, ...map }) => ({ ...map, metadata: { name: metadata!.name! }, data: { ...data, ...Object.fromEntries(Object.entries(changed).filter(([name]) => name in data!)) } }));
  const decoded = (resources.filter(({ kind }) => kind === 'Secret') as ISecret[]).map(({ metadata, data }): IConfigMap => ({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: metadata!.name! },
    data: Object.fromEntries(Object.entries(data!).map(([key, value]) => [key, secret(metadata!.name!, key) ?? Buffer.from(value, 'base64').toString()])),
  }));
  const made = secretsToMake(resources, decoded.map(({ metadata }) => metadata!.name!), (name, key) => secret(name, key) ?? `secret-of-${key}`);
  const passwords = Object.assign({}, ...[...decoded, ...made].filter(({ metadata }) => metadata!.name!.startsWith('cordage-bus')).map(({ data }) => data)) as Record<string, string>;
  const podFrom = (name: string, template: { metadata?: IPod['metadata']; spec?: IPodSpec }): IPod => ({
    apiVersion: 'v1',
    kind: 'Pod',
    // A Job's or a StatefulSet's template, whose claim becomes a folder that goes with the pod.
    metadata: { ...template.metadata, name },
    spec: { ...played(template.spec!, passwords), volumes: [...template.spec!.volumes!, { name: 'state', emptyDir: {} }] },
  });
  return {
    settings: [...maps, ...decoded, ...made],
    broker: () => podFrom('cordage-broker', named<IStatefulSet>('StatefulSet', 'cordage-broker').spec!.template),
    job: (name) => podFrom(`cordage-${name}`, named<IJob>('Job', `cordage-${name}`).spec!.template),
    room: (name) => {
      const deployment = named<IDeployment>('Deployment', `cordage-${name}`);
      const { template } = deployment.spec!;
      return { ...deployment, spec: { ...deployment.spec, replicas: 1, template: { ...template, spec: played(template.spec!, passwords) } } };
    },
  };
};

export const play = async (podman: Podman, resources: readonly object[]): Promise<void> => {
  const folder = mkdtempSync(join(tmpdir(), 'cordage-play-'));
  const file = join(folder, 'play.yaml');
  writeFileSync(file, resources.map((resource) => stringify(resource, { aliasDuplicateObjects: false })).join('---\n'));
  try {
    await podman.run('play', 'kube', '--network', podman.network, file);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
};

/** Passes connections that come to the network's own address on to a port of this machine's loopback. */
export const openForward = async (podman: Podman, port: number): Promise<{ readonly address: string; close(): Promise<void> }> => {
  const gateway = await podman.run('network', 'inspect', podman.network, '--format', '{{(index .Subnets 0).Gateway}}');
  const open = new Set<Socket>();
  const server: Server = createServer((inner) => {
    open.add(inner);
    const outer = connect(port, '127.0.0.1');
    inner.pipe(outer).pipe(inner);
    for (const [one, other] of [[inner, outer], [outer, inner]] as const) one.on('error', () => other.destroy());
    inner.on('close', () => (open.delete(inner), outer.destroy()));
  });
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, gateway, resolve));
  // It listens on a port, so this is its shape.
  const { port: own } = server.address() as AddressInfo;
  const close = async (): Promise<void> => {
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    for (const socket of open) socket.destroy();
    await closed;
  };
  return { address: `${gateway}:${own}`, close };
};

/** A container of a room's pod: podman's versions name pods of a Deployment with and without a number. */
export const containerNamed = async (podman: Podman, room: Room, container: string): Promise<string> => {
  const names = (await podman.run('ps', '-a', '--format', '{{.Names}}')).split('\n');
  const name = names.find((one) => new RegExp(`^cordage-${room}-pod(-0)?-${container}$`).test(one));
  if (name === undefined) throw new Error(`no container ${container} of ${room} among ${names.join(', ')}`);
  return name;
};

export const succeedsIn = (name: string, ...command: readonly string[]): boolean => spawnSync('podman', ['exec', name, ...command], { stdio: 'ignore' }).status === 0;
