/**
 * Logins of PostgreSQL for the rooms, from CORDAGE_DATABASE_LOGINS. What a login may do is what its room's role may
 * (src/workers/db/migrations/repeatable-roles.sql): it is a member of that role and of no other.
 */
import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto';
import type { Database, TransactionSql } from '../src/postgres/database.ts';
import { listOf } from './settings.ts';

/** The rooms that have a database. */
export const databaseRooms = ['flow', 'db', 'crypto', 'member', 'link-manager'] as const;
export type DatabaseRoom = (typeof databaseRooms)[number];

export type DatabaseLogin = { readonly user: string; readonly password: string; readonly room: DatabaseRoom };

/** Identifiers are cut at 63 bytes by the server. */
const userPattern = /^[a-z_][a-z0-9_-]{0,62}$/;
const passwordCharsMin = 8;

/** `user:password:room`, separated by commas; the password may hold colons. */
export const parseLogins = (text: string): readonly DatabaseLogin[] =>
  listOf(text, ',').map((entry) => {
    const [user = '', ...rest] = entry.split(':');
    const room = databaseRooms.find((one) => one === rest.at(-1));
    const password = rest.slice(0, -1).join(':');
    if (!userPattern.test(user) || room === undefined || password.length < passwordCharsMin) {
      throw new Error(
        `CORDAGE_DATABASE_LOGINS: "${user}:…" must be user:password:room, the user of small letters, digits, _ and -, the password of ${passwordCharsMin} characters at least, the room one of ${databaseRooms.join(', ')}`,
      );
    }
    return { user, password, room };
  });

const scramIterations = 4_096;

/** What the server keeps of a password (RFC 5802 section 3): made here, so that the password itself is in no statement and no log. */
const scramVerifier = (password: string): string => {
  const salt = randomBytes(16);
  const salted = pbkdf2Sync(password.normalize('NFKC'), salt, scramIterations, 32, 'sha256');
  const keyed = (text: string): Buffer => createHmac('sha256', salted).update(text).digest();
  const storedKey = createHash('sha256').update(keyed('Client Key')).digest('base64');
  return `SCRAM-SHA-256$${scramIterations}:${salt.toString('base64')}$${storedKey}:${keyed('Server Key').toString('base64')}`;
};

const makeLogin = async (sql: TransactionSql, { user, password, room }: DatabaseLogin): Promise<void> => {
  const [found] = await sql<{ super: boolean }[]>`select rolsuper as super from pg_catalog.pg_roles where rolname = ${user}`;
  if (found?.super === true) throw new Error(`CORDAGE_DATABASE_LOGINS: ${user} is a superuser; a room needs a login of its own`);
  // Checked above and Base64: neither can hold a quote.
  if (found === undefined) await sql.unsafe(`create role "${user}" nologin`);
  await sql.unsafe(`alter role "${user}" login password '${scramVerifier(password)}'`);
  await sql`select migrations.grant_room(${user}, ${room.replace('-', '_')})`;
};

/** Makes what is missing, gives each its password, and takes what is of another room away. Again, it changes nothing but passwords. */
export const makeLogins = async (database: Database, logins: readonly DatabaseLogin[]): Promise<void> => {
  if (logins.length === 0) return;
  await database.transact(async (sql) => {
    for (const login of logins) await makeLogin(sql, login);
  });
};
