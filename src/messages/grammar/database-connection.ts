/**
 * How an administrator names a database for a virtual node, and how that is kept. Taken are
 *
 *     postgres://user:password@host:5432/database?sslmode=require&currentSchema=vault
 *     jdbc:postgresql://host:5432/database?user=…&password=…
 *     {"database":{"jdbc":{"url":"jdbc:postgresql://host:5432/database"},"user":"…","pass":"…"}}      Corda's
 *
 * the last as an object or as its text. `pass` may be a secret of the configuration (`cordage config encrypt`). What stands in a connection
 * and would not be obeyed is refused by its name.
 */
import * as z from 'zod';
import { configSecret } from '../configuration/field.ts';
import { base64url } from './shapes.ts';

/** Sealed to a key of db, the `reader` (cipher/sealed.ts): no one else reads what is in it, neither on the bus nor in the database. */
export const sealedConnection = z.object({
  reader: base64url.length(43),
  sealed: z.object({ ephemeralPublicKey: base64url.length(43), nonce: base64url.max(24), ciphertext: base64url.max(20_000) }),
});
export type SealedConnection = z.infer<typeof sealedConnection>;
/** What sealer and reader say that it is. */
export const connectionContext = 'connection of a virtual node';

const sslModes = ['disable', 'require', 'verify-ca', 'verify-full'] as const;
const password = z.union([z.string().min(1).max(1_000), configSecret]);
const schemaShape = /^[a-z][a-z0-9_]{0,62}$/;
const schemaDefault = 'public';

export const databaseConnection = z.strictObject({
  v: z.literal(1),
  /** As a URL has it: IPv6 in brackets. */
  host: z.string().min(1).max(300),
  port: z.int().min(1).max(65_535),
  database: z.string().min(1).max(63),
  schema: z.string().regex(schemaShape),
  sslmode: z.enum(sslModes),
  user: z.string().min(1).max(63),
  password,
});
export type DatabaseConnection = z.infer<typeof databaseConnection>;

export type ParsedConnection = { readonly type: 'connection'; readonly connection: DatabaseConnection } | { readonly type: 'invalid'; readonly reason: string };
type Given = { readonly url: string; readonly user?: string; readonly password?: DatabaseConnection['password'] };

const cordaConnection = z.strictObject({
  database: z.strictObject({
    jdbc: z.strictObject({ url: z.string().max(5_000), driver: z.string().max(300).optional(), directory: z.unknown().optional() }),
    user: z.string(),
    pass: password,
    /** Bounds of Corda's pool; ours has its own. */
    pool: z.unknown().optional(),
  }),
});

const invalid = (reason: string): ParsedConnection => ({ type: 'invalid', reason });
const forms = 'give postgres://user:password@host:5432/database, or Corda\'s {"database":{"jdbc":{"url":"jdbc:postgresql://host:5432/database"},"user":"…","pass":"…"}}';

// ── Parameters of the URL ────────────────────────────────────────────────────────────────────────────────────────────

const read = new Set(['sslmode', 'ssl', 'currentSchema', 'user', 'password']);
/** Of JDBC's driver: they concern the driver alone. */
const needless = new Set(['ApplicationName', 'reWriteBatchedInserts', 'connectTimeout', 'loginTimeout', 'socketTimeout', 'tcpKeepAlive', 'prepareThreshold', 'driver']);

const sslModeOf = (parameters: URLSearchParams): DatabaseConnection['sslmode'] | { readonly reason: string } => {
  const given = parameters.get('sslmode') ?? (parameters.get('ssl') === 'true' || parameters.get('ssl') === '' ? 'require' : 'disable');
  return sslModes.find((mode) => mode === given) ?? { reason: `sslmode is ${sslModes.join(', ')}, not ${JSON.stringify(given)}: a mode that falls back to plain text protects nothing` };
};

const faultOf = (parameters: URLSearchParams): string | undefined => {
  const unknown = [...parameters.keys()].find((name) => !read.has(name) && !needless.has(name));
  if (unknown !== undefined) return `the parameter ${JSON.stringify(unknown.slice(0, 100))} would not be obeyed; leave it out`;
  const schema = parameters.get('currentSchema');
  if (schema !== null && !schemaShape.test(schema)) return 'currentSchema is one name of small letters, digits and "_"';
  if (schema !== null && /^(pg_|information_schema$)/.test(schema)) return `currentSchema: ${schema} belongs to PostgreSQL`;
  return undefined;
};

// ── Texts ────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** `undefined` where the escapes are none. */
const decoded = (text: string): string | undefined => {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
};

const parseUrl = ({ url: text, user, password: secret }: Given): ParsedConnection => {
  const plain = text.replace(/^jdbc:/, '');
  if (!/^postgres(ql)?:\/\//.test(plain)) return invalid(`the database is no PostgreSQL; ${forms}`);
  if (!URL.canParse(plain)) return invalid(`the URL cannot be read (one host, special characters percent-encoded); ${forms}`);
  const url = new URL(plain);
  const fault = faultOf(url.searchParams);
  if (fault !== undefined) return invalid(fault);
  const sslmode = sslModeOf(url.searchParams);
  if (typeof sslmode === 'object') return invalid(sslmode.reason);
  const name = decoded(url.pathname.slice(1));
  const login = user ?? url.searchParams.get('user') ?? decoded(url.username);
  const pass = secret ?? url.searchParams.get('password') ?? decoded(url.password);
  if (url.hostname === '' || name === undefined || name === '') return invalid(`the URL names no host or no database; ${forms}`);
  if (login === undefined || login === '' || pass === undefined || pass === '') return invalid(`user or password is missing; ${forms}`);
  const parsed = databaseConnection.safeParse({
    v: 1, host: url.hostname, port: url.port === '' ? 5432 : Number(url.port), database: name, schema: url.searchParams.get('currentSchema') ?? schemaDefault, sslmode, user: login, password: pass,
  });
  if (parsed.success) return { type: 'connection', connection: parsed.data };
  // Of the value nothing is said: it may be the password.
  return invalid(`${parsed.error.issues[0]?.path.join('.') ?? 'it'} is too long or malformed`);
};

const parseObject = (value: unknown): ParsedConnection => {
  const parsed = cordaConnection.safeParse(value);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    const where = issue === undefined ? '' : [...issue.path, ...(issue.code === 'unrecognized_keys' ? issue.keys.slice(0, 1) : [])].join('.').slice(0, 200);
    return invalid(`${where === '' ? 'the connection' : where} is not what a connection has; ${forms}`);
  }
  const { jdbc, user, pass } = parsed.data.database;
  return parseUrl({ url: jdbc.url, user, password: pass });
};

export const parseConnection = (given: unknown): ParsedConnection => {
  if (typeof given !== 'string') return parseObject(given);
  const text = given.trim();
  if (!text.startsWith('{')) return parseUrl({ url: text });
  try {
    return parseObject(JSON.parse(text));
  } catch {
    return invalid(`the text is neither a URL nor JSON; ${forms}`);
  }
};
