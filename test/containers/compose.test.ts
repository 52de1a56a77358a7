/** The compose files say what the code says, within the part of the Compose specification that they use. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import * as z from 'zod';
import { parseCredentials } from '../../containers/broker.ts';
import { processKinds, readSettings, requiredBy, settingsShape } from '../../containers/settings.ts';
import { rooms } from '../../src/messages/grammar/wire.ts';
import { root } from '../tidy/source.ts';

/** https://github.com/compose-spec/compose-spec/blob/main/schema/compose-spec.json, what we use of it; a field that is misspelt is refused. */
const duration = z.string().regex(/^\d+(ms|s|m)$/);
const service = z.strictObject({
  image: z.string(),
  build: z.strictObject({ context: z.literal('..'), dockerfile: z.literal('containers/Dockerfile'), target: z.string() }).optional(),
  restart: z.enum(['no', 'always', 'on-failure', 'unless-stopped']).optional(),
  read_only: z.boolean().optional(),
  tmpfs: z.array(z.string().startsWith('/')).optional(),
  cap_drop: z.array(z.string()).optional(),
  security_opt: z.array(z.string()).optional(),
  stop_grace_period: duration.optional(),
  depends_on: z.record(z.string(), z.strictObject({ condition: z.enum(['service_started', 'service_healthy', 'service_completed_successfully']) })).optional(),
  ports: z.array(z.string().regex(/^([\d.]+:)?\d+:\d+$/)).optional(),
  environment: z.record(z.string(), z.string()).optional(),
  volumes: z.array(z.string().regex(/^[a-z]+:\//)).optional(),
  healthcheck: z.strictObject({ test: z.array(z.string()), interval: duration }).optional(),
});
const compose = z.strictObject({ name: z.string(), services: z.record(z.string(), service), volumes: z.record(z.string(), z.strictObject({})) });
type Service = z.infer<typeof service>;

const readCompose = (file: string): z.infer<typeof compose> => {
  // Merge keys are of YAML 1.1; Compose reads them.
  const whole = z.record(z.string(), z.unknown()).parse(parse(readFileSync(join(root, 'containers', file), 'utf8'), { merge: true }));
  return compose.parse(Object.fromEntries(Object.entries(whole).filter(([name]) => !name.startsWith('x-'))));
};

const files = ['compose.yaml', 'compose.embedded.yaml'];
const own = (file: string): [string, Service][] => Object.entries(readCompose(file).services).filter(([, { build }]) => build !== undefined);

/** As Compose would put them in, with one password for all. */
const filled = (environment: Readonly<Record<string, string>>): Record<string, string> =>
  Object.fromEntries(Object.entries(environment).map(([name, value]) => [name, value.replaceAll(/\$\{\w+(:\?|:-([^}]*))\}/g, (_all, how: string, fallback?: string) => (how === ':?' ? 'a-long-password' : (fallback ?? '')))]));

describe.each(files)('%s', (file) => {
  test('is of the Compose specification, and depends on services and volumes that it has', () => {
    const { services, volumes } = readCompose(file);
    for (const { depends_on: needs, volumes: mounts } of Object.values(services)) {
      for (const name of Object.keys(needs ?? {})) expect(services).toHaveProperty(name);
      for (const mount of mounts ?? []) expect(volumes).toHaveProperty(mount.split(':')[0]!);
    }
  });

  test('starts kinds of process that there are, each with settings that it takes', () => {
    for (const [name, { build, image, environment = {} }] of own(file)) {
      const kind = processKinds.find((one) => one === build!.target)!;
      expect(kind, name).toBe(name);
      expect(image).toBe(`cordage/${kind}`);
      expect(Object.keys(environment).filter((variable) => !(variable in settingsShape.shape)), name).toEqual([]);
      expect(requiredBy(kind).filter((variable) => !(variable in environment)), name).toEqual([]);
      expect(readSettings(kind, filled(environment)), name).toMatchObject({ type: 'settings' });
    }
  });

  test('gives no process a writable root, a capability or a port that it does not serve', () => {
    const { CORDAGE_REST_PORT, CORDAGE_GATEWAY_PORT } = settingsShape.parse({});
    const served: Readonly<Record<string, readonly number[]>> = { rest: [CORDAGE_REST_PORT], gateway: [CORDAGE_GATEWAY_PORT], combined: [CORDAGE_REST_PORT, CORDAGE_GATEWAY_PORT] };
    for (const [name, { read_only: readOnly, cap_drop: dropped, ports = [] }] of own(file)) {
      expect(readOnly, name).toBe(true);
      expect(dropped, name).toEqual(['ALL']);
      expect(ports.map((port) => Number(port.split(':').at(-1))), name).toEqual(served[name] ?? []);
    }
  });
});

test('compose.yaml runs the seven rooms, the bridge and both jobs, and the bridge knows a credential of each room', () => {
  const { services } = readCompose('compose.yaml');
  expect(own('compose.yaml').map(([name]) => name).sort()).toEqual([...rooms, 'bridge', 'migrate', 'topics'].sort());
  const credentials = parseCredentials(filled(services['bridge']!.environment!)['CORDAGE_BUS_CREDENTIALS']!);
  expect(credentials.map(({ room }) => room)).toEqual([...rooms]);
});
