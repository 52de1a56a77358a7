/** The images are built from the Dockerfile and run as Kubernetes would run them, where root may build and podman can run. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { startEmbeddedPostgres } from '../../src/host/embedded-postgres.ts';
import { rooms, type Room } from '../../src/messages/grammar/wire.ts';
import { silentLog } from '../../src/observability/log.ts';
import { until } from '../../src/rest-client/waits.ts';
import { skipsKafka, startKafka } from '../kafka/kafka.ts';
import { kustomized, whyNoKubectl } from '../manifests/kustomized.ts';
import { buildImages, imageBytes, imageOf, whyNoContainers } from './images.ts';
import { containerNamed, openForward, openPodman, play, playable, succeedsIn, whyPodmanCannotRun, type Podman } from './play.ts';

/** As the issue of small images has it; the combined form holds a database too, and is not built here. */
const megabytesMax = 180;
const targets = [...rooms, 'migrate', 'broker', 'bridge', 'topics'] as const;
const startMsMax = 90_000;

const why = whyNoContainers();
if (why !== undefined) console.warn(`images are not built: ${why}`);

const directory = mkdtempSync(join(tmpdir(), 'cordage-images-test-'));
const closing: (() => Promise<unknown>)[] = [];
let podman: Podman;
let whyNotRun: string | undefined = why;

beforeAll(async () => {
  if (why !== undefined) return;
  await buildImages(targets);
  podman = await openPodman();
  closing.push(() => podman.close());
  whyNotRun = await whyPodmanCannotRun(podman, imageOf('rest'));
}, 600_000);

afterAll(async () => {
  for (let close = closing.pop(); close !== undefined; close = closing.pop()) await close();
  rmSync(directory, { recursive: true, force: true });
}, 60_000);

describe.skipIf(why !== undefined)('images', () => {
  test(`are small, each of them at most ${megabytesMax} MB`, () => {
    const sizes = Object.fromEntries(targets.map((target) => [target, Math.round(imageBytes(target) / 1e6)]));
    console.log(`MB: ${JSON.stringify(sizes)}`);
    expect(Object.entries(sizes).filter(([, size]) => size > megabytesMax)).toEqual([]);
  });

  test('say who made them, run as nobody, and can be asked for their health', async () => {
    const [image] = JSON.parse(await podman.run('image', 'inspect', imageOf('gateway'))) as [{ User: string; Labels: Record<string, string>; Config: { StopSignal: string }; HealthCheck?: object; Healthcheck?: object }];
    expect(image.User).toBe('65532:65532');
    expect(image.Config.StopSignal).toBe('SIGTERM');
    expect(image.Labels).toMatchObject({ 'org.opencontainers.image.title': 'Cordage gateway', 'org.opencontainers.image.licenses': 'Apache-2.0' });
    expect(image.HealthCheck ?? image.Healthcheck).toMatchObject({ Test: ['CMD', 'node', 'containers/health-check.js'] });
  });

  test('hold no shell, no room but their own, no tool that builds, nothing whose types are still to be stripped, and list their packages', async ({ skip }) => {
    skip(whyNotRun !== undefined, whyNotRun);
    const look = `const fs = require('fs'); console.log(JSON.stringify({ rooms: fs.readdirSync('src/workers').filter((room) => fs.existsSync('src/workers/' + room + '/worker.js')), packages: fs.readdirSync('node_modules'), shells: ['/bin/sh', '/bin/bash', '/bin/busybox'].filter((path) => fs.existsSync(path)), listed: JSON.parse(fs.readFileSync('sbom.cdx.json')).components.map(({ name }) => name), typed: ['src', 'containers'].flatMap((folder) => fs.readdirSync(folder, { recursive: true })).filter((name) => name.endsWith('.ts')) }))`;
    const held = JSON.parse(await podman.run('run', '--rm', '--read-only', '--entrypoint', 'node', imageOf('gateway'), '-e', look)) as Record<'rooms' | 'packages' | 'shells' | 'listed' | 'typed', string[]>;
    expect(held.shells).toEqual([]);
    expect(held.rooms).toEqual(['gateway']);
    expect(held.typed).toEqual([]);
    expect(held.packages).not.toContain('esbuild');
    expect(held.packages).not.toContain('embedded-postgres');
    const whole = held.packages.filter((name) => !name.startsWith('@'));
    expect(whole.filter((name) => !held.listed.includes(name))).toEqual([]);
    expect(held.listed).toContain('undici');
  });
});

/** A PostgreSQL of this machine under an address that containers reach. */
const startDatabase = async (name: string): Promise<(secret: string) => string | undefined> => {
  const postgres = await startEmbeddedPostgres({ directory: join(directory, name), log: silentLog });
  closing.push(() => postgres.stop());
  const forward = await openForward(podman, Number(new URL(postgres.url).port));
  closing.push(() => forward.close());
  const url = Object.assign(new URL(postgres.url), { host: forward.address }).href;
  return (secret) => (secret.startsWith('cordage-database') ? url : undefined);
};

const isUp = async (names: readonly Room[], containerOf: (room: Room) => string = (room) => room, port = 7000): Promise<void> => {
  for (const room of names) {
    const name = await containerNamed(podman, room, containerOf(room));
    const up = async (): Promise<true | undefined> => (succeedsIn(name, 'node', 'containers/health-check.js', `http://127.0.0.1:${port}/status`) ? true : undefined);
    await until(`${name} to be up`, up, startMsMax).catch(async (error: unknown) => {
      throw new Error(`${String(error)}\n${await podman.run('logs', '--tail', '20', name)}`);
    });
  }
};

const noKafka = why === undefined && (await skipsKafka('the manifests on Kafka'));

describe.skipIf(why !== undefined || whyNoKubectl() !== undefined)('the manifests', () => {
  afterEach(() => podman.clear());

  test('start a whole cluster under podman: migrations, broker, seven rooms, all well; and a room ends well when told', async ({ skip }) => {
    if (whyNotRun !== undefined) console.warn(`the manifests are not played: ${whyNotRun}`);
    skip(whyNotRun !== undefined, whyNotRun);
    const local = kustomized('overlays/local');
    // The network's address is there once something is on it.
    const first = playable(local, {});
    await play(podman, [...first.settings, first.broker()]);
    const { settings, job, room } = playable(local, { secret: await startDatabase('postgres') });
    await play(podman, [...settings, job('migrate')]);
    await play(podman, [...settings, ...rooms.map(room)]);
    await isUp(rooms);
    const flow = await containerNamed(podman, 'flow', 'flow');
    await podman.run('stop', '-t', '30', flow);
    expect(await podman.run('inspect', flow, '--format', '{{.State.ExitCode}}')).toBe('0');
  }, 240_000);

  test('start the rooms of the base on a real Kafka, a bridge beside each: rest answers, once crypto and db have told it what it must know', async ({ skip }) => {
    skip(whyNotRun !== undefined || noKafka, whyNotRun ?? 'there is no Kafka');
    const gatewayAddress = await podman.run('network', 'inspect', podman.network, '--format', '{{(index .Subnets 0).Gateway}}');
    // The network's address is there once something is on it.
    await podman.run('run', '-d', '--network', podman.network, '--pod', 'new:cordage-first', '--entrypoint', 'node', imageOf('rest'), '-e', 'setTimeout(() => {}, 600_000)');
    const kafka = await startKafka({ host: gatewayAddress });
    closing.push(() => kafka.close());
    const { settings, job, room } = playable(kustomized('base'), { secret: await startDatabase('postgres-of-base'), settings: { KAFKA_BROKERS: kafka.bootstrap } });
    await play(podman, [...settings, job('migrate'), job('topics')]);
    // Rest speaks TLS, for which crypto makes the key.
    const played: readonly Room[] = ['db', 'crypto', 'rest'];
    await play(podman, [...settings, ...played.map(room)]);
    await isUp(played, () => 'bridge', 7001);
    await isUp(played);
    const ask = `process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0'; fetch('https://127.0.0.1:8888/api/v5_2/hello?addressee=door', { method: 'POST', headers: { authorization: 'Basic ' + btoa('admin:secret-of-password') } }).then((answer) => answer.text()).then(console.log)`;
    const restName = await containerNamed(podman, 'rest', 'rest');
    const answered = async (): Promise<string | undefined> => (await podman.run('exec', restName, 'node', '--no-warnings', '-e', ask)).match(/door/)?.[0];
    expect(await until('rest to know the administrator', answered, startMsMax)).toBe('door');
  }, 240_000);
});
