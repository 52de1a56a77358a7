/** The database that the settings name: with which TLS, through which pooler, by how many connections. */
import { readFileSync } from 'node:fs';
import { openDatabase, type Database, type DatabaseOptions } from '../src/postgres/database.ts';
import type { TlsMaterial } from '../src/postgres/database-url.ts';
import type { Log } from '../src/observability/log.ts';
import type { Settings } from './settings.ts';

type Names = 'CORDAGE_DATABASE_CA_FILE' | 'CORDAGE_DATABASE_CERTIFICATE_FILE' | 'CORDAGE_DATABASE_KEY_FILE';

const readPem = (settings: Settings, name: Names): string | undefined => {
  const path = settings[name];
  if (path === undefined) return undefined;
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new Error(`${name}: the file ${path} cannot be read`, { cause });
  }
};

const connectionsMaxDefault = 6;

export const readTlsMaterial = (settings: Settings): TlsMaterial => ({
  ca: readPem(settings, 'CORDAGE_DATABASE_CA_FILE'),
  certificate: readPem(settings, 'CORDAGE_DATABASE_CERTIFICATE_FILE'),
  key: readPem(settings, 'CORDAGE_DATABASE_KEY_FILE'),
});

export const openSettledDatabase = (settings: Settings, log: Log, own: Partial<DatabaseOptions> = {}): Database => {
  const tls = readTlsMaterial(settings);
  const connectionsMax = settings.CORDAGE_DATABASE_CONNECTIONS ?? own.connectionsMax ?? connectionsMaxDefault;
  return openDatabase({ url: settings.DATABASE_URL!, tls, pooler: settings.CORDAGE_DATABASE_POOLER, log, ...own, connectionsMax });
};
