/** rest-to-db.config: replaces a section of the configuration, if the caller has seen the one that it replaces. */
import { openConfigSecret } from '../../cipher/config-secret.ts';
import { CipherError } from '../../cipher/cipher-error.ts';
import { configSchemaVersion, configSecret, isSectionName, readSection } from '../../messages/configuration/sections.ts';
import type { StoredSection } from '../../messages/db-to-all.config.ts';
import type { Outcome, Refusal } from '../../messages/grammar/envelope.ts';
import type { BodyOf } from '../../messages/grammar/wire.ts';
import { restToDbConfig } from '../../messages/rest-to-db.config.ts';
import type { Log } from '../../observability/log.ts';
import type { Answered, Answering } from '../../shell/worker.ts';
import type { DbTx } from './db-tx.ts';
import { configRecord } from './publication.ts';

type Body = BodyOf<typeof restToDbConfig>;

export type ConfigOptions = {
  readonly log: Log;
  /** With which secrets are opened to see that they can be; without it they are taken as they are. */
  readonly passphrase?: string | undefined;
};

const refused = (code: string, message: string, details?: Readonly<Record<string, string>>): Refusal => ({ type: 'refused', code, message, ...(details === undefined ? {} : { details: { ...details } }) });

const parse = (source: string): unknown => {
  try {
    return JSON.parse(source);
  } catch {
    return undefined;
  }
};

/** Every encrypted secret in the value, with its path. */
const secretsIn = (value: unknown, path = ''): { path: string; text: string }[] => {
  const secret = configSecret.safeParse(value);
  if (secret.success) return [{ path, text: secret.data.configSecret.encryptedSecret }];
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, inner]) => secretsIn(inner, path === '' ? name : `${path}.${name}`));
};

const checkSecrets = async (value: unknown, passphrase: string): Promise<Refusal | undefined> => {
  for (const { path, text } of secretsIn(value)) {
    try {
      await openConfigSecret(passphrase, text);
    } catch (error) {
      if (!(error instanceof CipherError)) throw error;
      return refused('DB_CONFIG_INVALID', `${path}: the secret cannot be opened with this cluster's passphrase; make it with \`cordage config encrypt\``, { [path]: 'the secret cannot be opened' });
    }
  }
  return undefined;
};

const check = async ({ section, schemaVersion, source }: Body, { log, passphrase }: ConfigOptions): Promise<Refusal | undefined> => {
  if (!isSectionName(section)) return refused('DB_CONFIG_SECTION_UNKNOWN', `There is no configuration section ${section}`, { section });
  const { major, minor } = configSchemaVersion;
  if (schemaVersion.major !== major || schemaVersion.minor !== minor) {
    return refused('DB_CONFIG_INVALID', `The schema version of ${section} is ${major}.${minor}, not ${schemaVersion.major}.${schemaVersion.minor}`);
  }
  const read = readSection(section, parse(source));
  if (read.type === 'invalid') {
    const [path, reason] = Object.entries(read.details)[0] ?? ['config', 'it is malformed'];
    return refused('DB_CONFIG_INVALID', `Configuration of ${section} is invalid: ${path}: ${reason}`, read.details);
  }
  if (Object.keys(read.ignored).length > 0) log.warn('db.config.without-meaning', { section, fields: read.ignored });
  return passphrase === undefined ? undefined : checkSecrets(read.value, passphrase);
};

const replace = async (tx: DbTx, body: Body, options: ConfigOptions, now: number): Promise<Outcome<StoredSection>> => {
  const { section, version, schemaVersion, source } = body;
  const refusal = await check(body, options);
  if (refusal !== undefined) return refusal;
  const current = (await tx.config.findToChange(section))?.version ?? 0;
  if (version !== current) return refused('DB_CONFIG_VERSION', `The configuration of ${section} has version ${current}; the request replaces version ${version}`, { section, version: String(current) });
  const next: StoredSection = { section, version: current + 1, schemaVersion, source, updatedAt: now };
  await tx.config.put(next);
  return { type: 'done', value: next };
};

export const onConfig = (options: ConfigOptions): Answering<Body, StoredSection, DbTx> => ({
  wire: restToDbConfig,
  answer: async (requests, tx, now) => {
    const answered: Answered<StoredSection>[] = [];
    for (const { body } of requests) {
      const outcome = await replace(tx, body, options, now);
      const isDone = outcome.type === 'done';
      const details = isDone ? `version ${outcome.value.version}` : outcome.message.slice(0, 1_000);
      await tx.audit.add({ at: now, actor: body.actor, action: 'config.update', target: body.section, outcome: isDone ? 'done' : outcome.code, details });
      answered.push({ outcome, effects: isDone ? [configRecord(outcome.value)] : [] });
    }
    return answered;
  },
});
