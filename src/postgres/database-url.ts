/** `DATABASE_URL`, of which the client must not see what concerns TLS: it would send unknown parameters to the server. */
import type { DatabaseTls } from '../host/database-socket.ts';

export const sslModes = ['disable', 'require', 'verify-ca', 'verify-full'] as const;
export type SslMode = (typeof sslModes)[number];

/** What is not in the URL: PEM texts. */
export type TlsMaterial = Omit<DatabaseTls, 'mode'>;

export type DatabasePlace = {
  /** Without parameters that concern TLS. */
  readonly url: string;
  readonly tls: DatabaseTls | undefined;
};

export class DatabaseUrlError extends Error {
  readonly code = 'DATABASE_URL';
  constructor(message: string) {
    super(message);
    this.name = 'DatabaseUrlError';
  }
}

const fileParameters = ['sslrootcert', 'sslcert', 'sslkey'] as const;

const modeOf = (text: string | null, material: TlsMaterial): SslMode => {
  // An authority is given so that somebody checks by it.
  if (text === null) return material.ca === undefined ? 'disable' : 'verify-full';
  const mode = sslModes.find((one) => one === text);
  if (mode === undefined) throw new DatabaseUrlError(`DATABASE_URL: sslmode is ${sslModes.join(', ')}, not ${text}: a mode that falls back to plain text protects nothing`);
  return mode;
};

export const readDatabaseUrl = (text: string, material: TlsMaterial = {}): DatabasePlace => {
  if (!URL.canParse(text)) throw new DatabaseUrlError('DATABASE_URL is not a URL; it has the form postgres://user:password@host:5432/database, special characters percent-encoded');
  const url = new URL(text);
  for (const name of fileParameters) {
    if (url.searchParams.has(name)) throw new DatabaseUrlError(`DATABASE_URL: ${name} is given by a setting of its own, CORDAGE_DATABASE_${name === 'sslrootcert' ? 'CA' : name === 'sslcert' ? 'CERTIFICATE' : 'KEY'}_FILE`);
  }
  const mode = modeOf(url.searchParams.get('sslmode'), material);
  url.searchParams.delete('sslmode');
  return { url: url.href, tls: mode === 'disable' ? undefined : { mode, ...material } };
};
