/** The sections of the configuration: what is read, what is refused, and the document made of them. */
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import * as z from 'zod';
import { startValuesOf } from '../../containers/live-config.ts';
import { settingsShape } from '../../containers/settings.ts';
import { openConfigSecret, sealConfigSecret } from '../../src/cipher/config-secret.ts';
import { readSection, sectionNames, sections, type SectionName } from '../../src/messages/configuration/sections.ts';
import type { StoredSection } from '../../src/messages/db-to-all.config.ts';
import { createLog, silentLog } from '../../src/observability/log.ts';
import { createConfig, fixedConfig } from '../../src/shell/live-config.ts';

const valueOf = <Name extends SectionName>(name: Name, source: unknown, start?: object) => {
  const read = readSection(name, source, start as Record<string, unknown>);
  if (read.type === 'invalid') throw new Error(JSON.stringify(read.details));
  return read.value;
};

describe('a section', () => {
  test.each(sectionNames)('%s is whole without a source, and reads again what it gave', (name) => {
    const value = valueOf(name, {});
    expect(valueOf(name, JSON.parse(JSON.stringify(value)))).toEqual(value);
  });

  test('takes what is set over what the process began with, and that over the defaults, field by field', () => {
    const start = { sslConfig: { tlsType: 'MUTUAL', revocationCheck: { mode: 'HARD_FAIL' } } };
    expect(valueOf('corda.p2p.gateway', {}, start).sslConfig).toEqual({ tlsType: 'MUTUAL', revocationCheck: { mode: 'HARD_FAIL' } });
    expect(valueOf('corda.p2p.gateway', { sslConfig: { revocationCheck: { mode: 'OFF' } } }, start).sslConfig).toEqual({ tlsType: 'MUTUAL', revocationCheck: { mode: 'OFF' } });
    expect(valueOf('corda.p2p.gateway', { sslConfig: { tlsType: 'ONE_WAY' } }, start).sslConfig.tlsType).toBe('ONE_WAY');
  });

  test('leaves out what Corda alone has, says so, and refuses what nobody has', () => {
    expect(readSection('corda.p2p.linkManager', { heartbeatEnabled: true, maxReplayingMessages: 7 })).toMatchObject({ type: 'read', value: { maxReplayingMessages: 7 }, ignored: { heartbeatEnabled: expect.any(String) } });
    expect(readSection('corda.p2p.gateway', { connectionConfig: { retryDelay: 5 } })).toMatchObject({ type: 'read', ignored: { 'connectionConfig.retryDelay': expect.any(String) } });
    expect(readSection('corda.p2p.gateway', { connectionConfig: { retryDelays: 5 }, colour: 1 })).toEqual({ type: 'invalid', details: { 'connectionConfig.retryDelays': 'there is no such field', colour: 'there is no such field' } });
  });

  test('no JSON at all breaks the reader', () => {
    fc.assert(
      fc.property(fc.constantFrom(...sectionNames), fc.jsonValue({ maxDepth: 6 }), (name, source) => {
        expect(['read', 'invalid']).toContain(readSection(name, source).type);
      }),
    );
    const read = readSection('corda.flow', JSON.parse('{"__proto__":{"session":{"timeout":5000}}}'));
    expect(read.type === 'read' ? read.value.session.timeout : 1_800_000).toBe(1_800_000);
  });

  test('a secret stands encrypted or not at all', () => {
    const key = { alias: 'next', salt: 'salt of it' };
    const hsm = (passphrase: unknown) => readSection('corda.crypto', { hsm: { wrappingKeys: [{ ...key, passphrase }], defaultWrappingKey: 'next' } }).type;
    expect([hsm('clear'), hsm({ configSecret: { encryptedSecret: '1.a.b.c' } })]).toEqual(['invalid', 'read']);
    expect(readSection('corda.crypto', { hsm: { defaultWrappingKey: 'nowhere' } }).type).toBe('invalid');
  });

  test('the environment\'s start values are such as the sections take', () => {
    expect(() => fixedConfig(startValuesOf(settingsShape.parse({})))).not.toThrow();
    expect(fixedConfig(startValuesOf(settingsShape.parse({ CORDAGE_GATEWAY_TLS: 'mutual' }))).get('corda.p2p.gateway').sslConfig.tlsType).toBe('MUTUAL');
    expect(fixedConfig(startValuesOf(settingsShape.parse({})))).toMatchObject({});
  });
});

describe('a secret', () => {
  test('opens with its passphrase alone, and never looks the same twice', async () => {
    const [one, other] = [await sealConfigSecret('passphrase', 'geheim'), await sealConfigSecret('passphrase', 'geheim')];
    expect(one).not.toBe(other);
    expect(one).not.toContain('geheim');
    expect(await openConfigSecret('passphrase', one)).toBe('geheim');
    await expect(openConfigSecret('another one', one)).rejects.toThrow();
    await expect(openConfigSecret('passphrase', `${one.slice(0, -1)}${one.endsWith('A') ? 'B' : 'A'}`)).rejects.toThrow();
    await expect(openConfigSecret('passphrase', 'geheim')).rejects.toThrow('cordage config encrypt');
  });
});

describe('the live configuration', () => {
  const stored = (source: string, version = 1): StoredSection => ({ section: 'corda.flow', version, schemaVersion: { major: 1, minor: 0 }, source, updatedAt: 0 });
  const open = (log = silentLog) => {
    const bodies = new Map<string, StoredSection>();
    const listeners = new Set<() => void>();
    const view = { get: (name: string) => bodies.get(name), onChange: (listener: () => void) => (listeners.add(listener), () => void listeners.delete(listener)) };
    const put = (body: StoredSection): void => {
      bodies.set('corda.flow', body);
      for (const listener of listeners) listener();
    };
    return { config: createConfig({ view, log }), put };
  };

  test('is what stands there now, and the same object while nothing changes', () => {
    const { config, put } = open();
    expect(config.get('corda.flow').session.timeout).toBe(1_800_000);
    put(stored('{"session":{"timeout":5000}}'));
    expect(config.get('corda.flow').session.timeout).toBe(5_000);
    expect(config.get('corda.flow')).toBe(config.get('corda.flow'));
    put(stored('{}', 2));
    expect(config.get('corda.flow').session.timeout).toBe(1_800_000);
  });

  test('stays as it was where what came cannot be read, and says so once', () => {
    const lines: string[] = [];
    const { config, put } = open(createLog({ level: 'error', write: (line) => void lines.push(line) }));
    put(stored('{"session":{"timeout":5000}}'));
    config.get('corda.flow');
    for (const source of ['{', '{"session":{"timeout":-1}}', '{"unknown":1}']) {
      put(stored(source));
      expect([config.get('corda.flow').session.timeout, config.get('corda.flow').session.timeout]).toEqual([5_000, 5_000]);
    }
    expect(lines.filter((line) => line.includes('config.section-invalid'))).toHaveLength(3);
  });

  test('tells who asks that something changed', () => {
    const { config, put } = open();
    let told = 0;
    const end = config.onChange(() => told++);
    put(stored('{}'));
    end();
    put(stored('{}', 2));
    expect(told).toBe(1);
  });
});

// ── The document ─────────────────────────────────────────────────────────────────────────────────────────────────────

type Json = { readonly [key: string]: any };

const typeOf = (schema: Json): string => {
  if (schema['enum'] !== undefined) return schema['enum'].map((word: string) => `\`${word}\``).join(', ');
  if (schema['unit'] === 'configSecret') return 'secret';
  if (schema['type'] === 'integer' || schema['type'] === 'number') return `${schema['minimum']} to ${schema['maximum']}${schema['unit'] === undefined ? '' : ` ${schema['unit']}`}`;
  if (schema['type'] === 'array') return schema['items']['enum'] === undefined ? 'list' : `list of ${typeOf(schema['items'])}`;
  return schema['type'] === 'string' ? 'text' : 'object';
};

const rowsOf = (schema: Json, path = ''): string[] =>
  Object.entries(schema['properties'] as Json).flatMap(([name, field]: [string, Json]) => {
    const here = path === '' ? name : `${path}.${name}`;
    const row = (): string => `| \`${here}\` | ${typeOf(field)} | ${field['default'] === undefined ? '' : `\`${JSON.stringify(field['default']).replaceAll('"', '')}\``} | ${field['description'] ?? ''} |`;
    if (field['type'] === 'object' && field['properties'] !== undefined && field['unit'] === undefined) return [...(field['description'] === undefined ? [] : [row()]), ...rowsOf(field, here)];
    if (field['type'] === 'array' && field['items']?.['properties'] !== undefined) return [row(), ...rowsOf(field['items'] as Json, `${here}[]`)];
    return [row()];
  });

const ignoredRows = (ignored: Readonly<Record<string, string>>): string[] => Object.entries(ignored).map(([path, why]) => `| \`${path}\` | ${why} |`);

const chapterOf = (name: SectionName): string => {
  const { says, schema, ignored } = sections[name];
  // zod's own type of the result is wider than what is written here.
  const rows = rowsOf(z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as Json);
  const fields = rows.length === 0 ? '' : `\n| field | values | default | |\n|---|---|---|---|\n${rows.join('\n')}\n`;
  if (rows.length === 0) return `### ${name}\n\n${says} Fields of Corda's are taken and mean nothing: ${Object.keys(ignored).map((path) => `\`${path}\``).join(', ')}.\n`;
  const others = Object.keys(ignored).length === 0 ? '' : `\nTaken from clients of Corda, and without meaning here:\n\n| field | why |\n|---|---|\n${ignoredRows(ignored).join('\n')}\n`;
  return `### ${name}\n\n${says}\n${fields}${others}`;
};

const introduction = `# Configuration

Made from the sections in \`src/messages/configuration\` by \`test/messages/configuration.test.ts\`; change those, and run that test with \`--update=all\`.

Operators set a section by REST, as in Corda; it is replaced as a whole:

\`\`\`sh
curl -u admin "$REST/api/v5_2/config/corda.p2p.gateway"        # its version, what was set, and what is in force
curl -u admin -X PUT "$REST/api/v5_2/config" -H 'Content-Type: application/json' -d '{
  "section": "corda.p2p.gateway", "version": 0, "schemaVersion": { "major": 1, "minor": 0 },
  "config": { "sslConfig": { "revocationCheck": { "mode": "OFF" } } } }'
\`\`\`

- **Order.** What is set by REST stands above what the environment sets, and that above the defaults, field by field. The environment's variables for
  such fields (\`CORDAGE_GATEWAY_TLS\`, \`CORDAGE_GATEWAY_REVOCATION\`, \`CORDAGE_LINK_KEY_AGREEMENT\`) are start values: in force until the field is set. Separate processes
  each have an environment; \`configWithDefaults\` shows that of the REST server.
- **Live.** Every worker reads a field when it needs it: the next operation obeys, nothing restarts, no flow is lost. Where something begins with a value (a session's
  key agreement, the time at which a flow that ended is forgotten), it keeps the one it began with. Root wrapping keys alone (\`corda.crypto\`, \`hsm\`) are read when a crypto
  worker starts: restart them one by one.
- **Versions.** A section that nobody has set has version 0. The request names the version that it replaces; another is answered 409.
- **Checked.** A field that does not exist and a value out of bounds are 400 with their path. Fields that Corda has and Cordage has not are taken, kept in \`sourceConfig\`
  and left out of \`configWithDefaults\`; db's log says which, and the tables below say why.
- **Secrets** stand encrypted (AES-256-GCM under a key of \`CORDAGE_CONFIG_PASSPHRASE\`), as in Corda: \`echo "$SECRET" | cordage config encrypt\` makes
  \`{"configSecret":{"encryptedSecret":"…"}}\`. They are never shown in clear; db refuses one that the cluster's passphrase does not open.
- **Audit.** \`GET /api/v5_2/audit?target=<section>\` says who set what and when, and what was refused.

`;

test('docs/configuration.md is what the sections say', async () => {
  await expect(`${introduction}${sectionNames.map(chapterOf).join('\n')}`).toMatchFileSnapshot('../../docs/configuration.md');
});
