/** The configuration: a section as it is set and as it is in force, and setting one. */
import * as z from 'zod';
import { configSchemaVersion, isSectionName } from '../../../messages/configuration/sections.ts';
import { restToDbConfig } from '../../../messages/rest-to-db.config.ts';
import { text } from '../parameter.ts';
import { parseStrictJson } from '../parsing/json.ts';
import { refuse } from '../refusal.ts';
import { done, jsonBody, route } from '../routing/routing.ts';
import { protocolVersionRoute } from './protocol-version.ts';

const tag = 'Configuration';
const int32 = z.int32().meta({ format: 'int32' });
/** Clients send numbers as numeric text too. */
const numeric = z.preprocess((given) => (typeof given === 'string' && /^\d{1,9}$/.test(given) ? Number(given) : given), int32.min(0));

const schemaVersion = z.object({ major: int32, minor: int32 }).meta({ id: 'ConfigSchemaVersion' });

const updateParameters = z
  .object({
    /** A JSON object, or its text. */
    config: z.unknown(),
    schemaVersion: z.object({ major: numeric, minor: numeric }).meta({ id: 'ConfigSchemaVersion' }),
    section: z.string().max(100),
    version: numeric,
  })
  .meta({ id: 'UpdateConfigParameters' });

const updateResponse = z.object({ config: z.string(), schemaVersion, section: z.string(), version: int32 }).meta({ id: 'UpdateConfigResponse' });

const configResponse = z
  .object({ configWithDefaults: z.string(), schemaVersion, section: z.string(), sourceConfig: z.string(), version: int32 })
  .meta({ id: 'GetConfigResponse' });

export const configRoutes = [
  route({
    method: 'PUT',
    path: '/config',
    tag,
    summary: 'Replaces a section of the configuration; every worker follows it from its next operation on',
    body: jsonBody('request', updateParameters),
    reply: updateResponse,
    statuses: [202],
    handle: async ({ room, body, login }) => {
      const { requests, limits, views } = room;
      const source = typeof body.config === 'string' ? body.config : JSON.stringify(body.config);
      const parsed = parseStrictJson(source ?? '', limits.jsonDepthMax);
      if (parsed.type === 'malformed') return refuse('REST_BODY_INVALID', `Invalid request body: config: ${parsed.reason}`, { config: parsed.reason });
      const { section, version } = body;
      const outcome = await requests.ask(restToDbConfig, {
        key: section.slice(0, 100),
        body: { section, version, schemaVersion: body.schemaVersion, source, actor: login },
        timeoutMs: limits.askTimeoutMs,
      });
      if (outcome.type === 'refused') return outcome;
      await views.config.refresh();
      return done({ config: outcome.value.source, schemaVersion: outcome.value.schemaVersion, section, version: outcome.value.version }, 202);
    },
  }),
  route({
    method: 'GET',
    path: '/config/{section}',
    tag,
    summary: 'Reads a section of the configuration, as it was set and with its defaults',
    pathParameters: { section: text(z.string().max(100)) },
    reply: configResponse,
    handle: async ({ room, path: { section } }) => {
      if (!isSectionName(section)) return refuse('REST_CONFIG_SECTION_UNKNOWN', `There is no configuration section ${section}`, { section });
      await room.views.config.refresh();
      const stored = room.views.config.get(section);
      return done({
        configWithDefaults: JSON.stringify(room.config.get(section)),
        schemaVersion: stored?.schemaVersion ?? configSchemaVersion,
        section,
        sourceConfig: stored?.source ?? '{}',
        version: stored?.version ?? 0,
      });
    },
  }),
  protocolVersionRoute('config', tag),
];
